"""Runs for minutes: how much slower a target gets when it is warm."""

import numpy as np

from keras_effnet.benchmarks.results_text import milliseconds


def sustained(path, target, minutes, request, progress=None):
    """Runs a file minute after minute, from 1; runs and seconds of `request` are set
    here.

    Each minute has `device` too, what the target says of itself then (its temperature
    and battery, where it knows them)."""
    request = request | {
        "min_runs": 1,
        "min_seconds": 60,
        "max_seconds": 60,
        "warmup_runs": 0,
        "warmup_seconds": 0,
    }
    series = []
    for minute in range(1, minutes + 1):
        part = target.measure(path, request)
        times = np.asarray(part["latency_ns"]) / 1e6
        series.append(
            {
                "minute": minute,
                "median_ms": float(np.median(times)),
                "p90_ms": float(np.percentile(times, 90)),
                "runs": len(times),
                "device": part["device"],
            }
        )
        if progress:
            ms = milliseconds(series[-1]["median_ms"])
            progress(f"minute {minute} of {minutes}: {ms} ms")
    return series
