"""The table of a target's results, and all results as CSV."""

import csv
import io

from keras_effnet.benchmarks.report import entries
from keras_effnet.report.text import cell
from keras_effnet.report.text import cells
from keras_effnet.report.text import known
from keras_effnet.report.text import printable
from keras_effnet.report.text import significant

# The CSV file's columns, names and units of which docs/benchmarking.md explains, and
# their places in a result.
_CSV = {
    "name": "name",
    "target": "target",
    "cpu": "device.cpu",
    "threads": "options.threads",
    "delegate": "options.delegate",
    "harness": "harness.name",
    "harness_version": "harness.version",
    "runtime": "runtime.name",
    "runtime_version": "runtime.version",
    "date": "date",
    "sha256": "model.sha256",
    "bytes": "model.bytes",
    "top1": "accuracy.top1",
    "agreement_with_float": "accuracy.agreement_with_float",
    "agreement_with_host": "accuracy.agreement",
    "images": "accuracy.images",
    "instructions": "instructions",
    "median_ms": "latency_metrics.median_ms",
    "p5_ms": "latency_metrics.p5_ms",
    "p90_ms": "latency_metrics.p90_ms",
    "p95_ms": "latency_metrics.p95_ms",
    "p99_ms": "latency_metrics.p99_ms",
    "avg_ms": "latency_metrics.avg_ms",
    "stddev_ms": "latency_metrics.stddev_ms",
    "min_ms": "latency_metrics.min_ms",
    "max_ms": "latency_metrics.max_ms",
    "first_inference_ms": "latency_metrics.first_inference_ms",
    "average_warm_up_ms": "latency_metrics.average_warm_up_ms",
    "init_ms": "latency_metrics.init_ms",
    "init_footprint_kb": "memory_metrics.init_footprint_kb",
    "overall_footprint_kb": "memory_metrics.overall_footprint_kb",
    "peak_footprint_kb": "memory_metrics.peak_footprint_kb",
    "peak_mem_mb": "memory_metrics.peak_mem_mb",
    "num_runs": "misc_metrics.num_runs",
    "rounds": "rounds",
    "partitions": "operators.partitions",
    "undelegated": "operators.undelegated",
    "largest_steps": "agreement.largest_steps",
    "largest_relative_error": "agreement.largest_relative_error",
    "warnings": "warnings",
    "path": "model.path",
    "source": "source",
}


def rows(group):
    """The cells of a target's table, the heading first, from an `entries.Group`; a
    column in which no result has a value is left out."""
    columns = {
        "file": lambda r: group.numbered(r, group.names()[entries.file_key(r)]),
        "threads": lambda r: str(r["options"]["threads"]),
        "delegate": lambda r: r["options"].get("delegate") or "none",
        **_costs(group),
        "top-1": lambda r: cell(entries.accuracy(r, "top1"), ".1%"),
        "as float": lambda r: cell(entries.accuracy(r, "agreement_with_float"), ".1%"),
        "as host": lambda r: cell(entries.accuracy(r, "agreement"), ".1%"),
        "MB": lambda r: f"{r['model']['bytes'] / 1e6:.2f}",
        "peak MiB": lambda r: cell(entries.peak_mebibytes(r), ".1f"),
        "runs": lambda r: cell(r["misc_metrics"]["num_runs"], ","),
        "partitions": lambda r: cell(r["operators"].get("partitions"), ","),
        "off from host": _distance,
    }
    if all(r["options"].get("delegate") == "xnnpack" for r in group.results):
        del columns["delegate"]
    return known(cells(group.results, columns))


def _costs(group):
    if group.emulated:
        return {"M instructions": lambda r: significant(group.cost(r), 5)}
    return {
        "median ms": lambda r: significant(r["latency_metrics"]["median_ms"]),
        "p90 ms": lambda r: significant(r["latency_metrics"]["p90_ms"]),
        "first ms": lambda r: significant(r["latency_metrics"]["first_inference_ms"]),
        "init ms": lambda r: significant(r["latency_metrics"]["init_ms"]),
    }


def _distance(result):
    found = result["agreement"] or {}
    if (steps := found.get("largest_steps")) is not None:
        return "1 step" if steps == 1 else f"{steps} steps"
    return cell(found.get("largest_relative_error"), ".1e")


def to_csv(results):
    """All results, dicts as `results_file.read_all` returns them, a line each."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV)
    for result in results:
        # Times of an emulated core mean nothing and would be taken for latencies.
        hidden = entries.emulated(result)
        writer.writerow(
            "" if hidden and name.endswith("_ms") else _field(result, path)
            for name, path in _CSV.items()
        )
    return text.getvalue()


def _field(result, path):
    value = result
    for key in path.split("."):
        value = (value or {}).get(key)
    if path == "rounds":
        return len(value)
    if isinstance(value, dict):
        value = [f"{name} {count}" for name, count in value.items()]
    value = "; ".join(value) if isinstance(value, list) else value
    return printable(value) if isinstance(value, str) else value
