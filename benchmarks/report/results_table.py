"""The table of a target's results, and all results as CSV."""

import csv
import io
import math

from keras_effnet.benchmarks.report import entries

_MISSING = "–"
# Names and units of the result's fields, which docs/benchmarking.md explains.
_CSV = (
    "name",
    "target",
    "cpu",
    "threads",
    "delegate",
    "harness",
    "harness_version",
    "runtime",
    "runtime_version",
    "date",
    "sha256",
    "bytes",
    "top1",
    "agreement_with_float",
    "agreement_with_host",
    "images",
    "instructions",
    "median_ms",
    "p5_ms",
    "p90_ms",
    "p95_ms",
    "p99_ms",
    "avg_ms",
    "stddev_ms",
    "min_ms",
    "max_ms",
    "first_inference_ms",
    "average_warm_up_ms",
    "init_ms",
    "init_footprint_kb",
    "overall_footprint_kb",
    "peak_footprint_kb",
    "peak_mem_mb",
    "num_runs",
    "rounds",
    "partitions",
    "undelegated",
    "largest_steps",
    "largest_relative_error",
    "warnings",
    "path",
    "source",
)


def rows(group):
    """The cells of a target's table.

    Args:
        group: An `entries.Group`.

    Returns:
        Lists of strings, the heading first. A column in which no result has a value
        is left out; a cell without one is a dash.
    """
    numbers, names = group.numbers(), group.names()
    named = {key: f"{numbers[key]}: {name}" for key, name in names.items()}
    columns = {
        "file": lambda r: named[entries.file_key(r)],
        "threads": lambda r: str(r["options"]["threads"]),
        "delegate": lambda r: r["options"].get("delegate") or "none",
        **_costs(group),
        "top-1": lambda r: _share(entries.accuracy(r, "top1")),
        "as float": lambda r: _share(entries.accuracy(r, "agreement_with_float")),
        "as host": lambda r: _share(entries.accuracy(r, "agreement")),
        "MB": lambda r: f"{r['model']['bytes'] / 1e6:.2f}",
        "peak MiB": _peak,
        "runs": lambda r: _whole(r["misc_metrics"]["num_runs"]),
        "partitions": lambda r: _whole(r["operators"].get("partitions")),
        "off from host": _distance,
    }
    if all(r["options"].get("delegate") == "xnnpack" for r in group.results):
        del columns["delegate"]
    table = [[name, *map(cell, group.results)] for name, cell in columns.items()]
    table = [column for column in table if set(column[1:]) != {_MISSING}]
    return [list(row) for row in zip(*table, strict=True)]


def _costs(group):
    if group.emulated:
        return {"M instructions": lambda r: significant(group.cost(r), 5)}
    keys = {
        "median ms": "median_ms",
        "p90": "p90_ms",
        "first": "first_inference_ms",
        "init": "init_ms",
    }
    return {
        name: lambda r, key=key: significant(r["latency_metrics"][key])
        for name, key in keys.items()
    }


def significant(value, digits=4):
    """A number above 0 in so many significant digits, and never an exponent."""
    if value is None:
        return _MISSING
    if value <= 0:
        return f"{value:g}"
    return f"{value:,.{max(0, digits - 1 - math.floor(math.log10(value)))}f}"


def _share(value):
    return _MISSING if value is None else f"{value:.1%}"


def _whole(value):
    return _MISSING if value is None else f"{value:,}"


def _peak(result):
    kilobytes = result["memory_metrics"]["peak_footprint_kb"]
    return _MISSING if kilobytes is None else f"{kilobytes / 1024:.1f}"


def _distance(result):
    found = result["agreement"] or {}
    if found.get("largest_steps") is not None:
        return (
            "1 step"
            if found["largest_steps"] == 1
            else f"{found['largest_steps']} steps"
        )
    if found.get("largest_relative_error") is not None:
        return f"{found['largest_relative_error']:.1e}"
    return _MISSING


def to_csv(results):
    """All results, a line each.

    Args:
        results: Dicts, as `results_file.read_all` returns them.

    Returns:
        Text: a line of names, then one for each result; a field without a value is
        empty.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, _CSV, lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(_flat, results))
    return text.getvalue()


def _flat(result):
    left = result["operators"].get("undelegated") or {}
    values = {
        **result["latency_metrics"],
        **result["memory_metrics"],
        **result["misc_metrics"],
        **(result.get("accuracy") or {}),
        **(result["agreement"] or {}),
        "agreement_with_host": entries.accuracy(result, "agreement"),
        "name": result["name"],
        "target": result["target"],
        "cpu": result["device"].get("cpu"),
        "threads": result["options"]["threads"],
        "delegate": result["options"].get("delegate"),
        "harness": result["harness"]["name"],
        "harness_version": result["harness"]["version"],
        "runtime": result["runtime"].get("name"),
        "runtime_version": result["runtime"].get("version"),
        "date": result["date"],
        "sha256": result["model"]["sha256"],
        "bytes": result["model"]["bytes"],
        "instructions": result["instructions"],
        "rounds": len(result["rounds"]),
        "partitions": result["operators"].get("partitions"),
        "undelegated": "; ".join(f"{name} {count}" for name, count in left.items()),
        "warnings": "; ".join(result["warnings"]),
        "path": result["model"].get("path"),
        "source": result["source"],
    }
    return {name: _told(result, name, values.get(name)) for name in _CSV}


def _told(result, name, value):
    """Times of an emulated core mean nothing and would be taken for latencies."""
    timed = name.endswith("_ms") and entries.emulated(result)
    return None if timed else value
