"""Results as the command prints them."""

import functools
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

from keras_effnet.benchmarks.schema import BenchmarkResult
from keras_effnet.benchmarks.schema import layer_times
from keras_effnet.report.text import cell
from keras_effnet.report.text import significant
from keras_effnet.report.text import tabulate

_TIMES = {
    "median": "median_ms",
    "p90": "p90_ms",
    "p95": "p95_ms",
    "min": "min_ms",
    "mean": "avg_ms",
    "first": "first_inference_ms",
    "init": "init_ms",
}
# Of a profile's operators, and of its layers, those that are named.
_OPERATORS = 6


def table(results: Sequence[BenchmarkResult]) -> str:
    """Times, memory and what else was measured, with a line for each place."""
    columns = _columns(results)
    lines = [tabulate(results, columns, left=(0,)), ""]
    for result in {result.target: result for result in results}.values():
        device, runtime = result.device, result.runtime
        place = "this host" if result.target == "host" else result.target
        # An emulator's times mean nothing.
        unit = "Instructions" if _is_emulated(result) else "Milliseconds"
        lines.append(
            f"{unit} of one run on {place}: "
            f"{device['cpu'] or device['machine']}, "
            f"{device['cores']} cores, {runtime['name']} {runtime['version']}, "
            f"{result.options['delegate'] or 'no delegate'}."
        )
    for result in results:
        if result.profile:
            whole = sum(row["ms"] for row in result.profile)
            parts = [
                f"{row['operator']} {row['ms'] / whole:.0%}"
                for row in result.profile[:_OPERATORS]
            ]
            lines.append(f"{result.name} on {result.target}: {', '.join(parts)}.")
            layers = list(layer_times(result.profile).items())[:_OPERATORS]
            parts = [f"{layer} {ms / whole:.0%}" for layer, ms in layers]
            if parts:
                lines.append(f"Of its layers the longest: {', '.join(parts)}.")
    lines += [
        f"Warning: {result.name}: {text}."
        for result in results
        for text in result.warnings
    ]
    return "\n".join(lines)


def _columns(
    results: Sequence[BenchmarkResult],
) -> dict[str, Callable[[BenchmarkResult], str]]:
    """`{heading: function of a result}`: what any of the results has."""
    found = {"file": lambda result: result.name}
    if {result.target for result in results} != {"host"}:
        found["target"] = lambda result: result.target
    times = {} if all(map(_is_emulated, results)) else _TIMES
    for heading, key in times.items():
        found[heading] = functools.partial(_time, key)
    found["peak memory"] = _memory
    found["runs"] = lambda result: str(result.misc_metrics.num_runs)
    found["threads"] = lambda result: str(result.options["threads"])
    if any(result.instructions for result in results):
        found["instructions"] = lambda result: (
            f"{result.instructions:,}" if result.instructions else "-"
        )
    if any(result.agreement for result in results):
        found["off the host"] = lambda result: _difference(result.agreement)
    if any(result.accuracy for result in results):
        found["top-1"] = lambda result: cell(
            (result.accuracy or {}).get("top1"), ".1%", "-"
        )
        found["as the host"] = lambda result: cell(
            (result.accuracy or {}).get("agreement"), ".1%", "-"
        )
    return found


def _is_emulated(result: BenchmarkResult) -> bool:
    return bool(result.device.get("emulated"))


def _time(key: str, result: BenchmarkResult) -> str:
    if _is_emulated(result):
        return "-"
    return milliseconds(getattr(result.latency_metrics, key))


def _memory(result: BenchmarkResult) -> str:
    peak_kb = result.memory_metrics.peak_footprint_kb
    return "unknown" if peak_kb is None else f"{peak_kb / 1024:.1f} MiB"


def _difference(agreement: dict[str, Any] | None) -> str:
    if agreement is None:
        return "-"
    if agreement["largest_steps"] is not None:
        return f"{agreement['largest_steps']} steps"
    return f"{agreement['largest_relative_error']:.0e}"


def milliseconds(value: float | None) -> str:
    """Four significant digits; a dash for what is unknown."""
    return significant(value, missing="-").replace(",", "")
