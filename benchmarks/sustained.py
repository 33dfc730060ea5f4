"""Runs for minutes: how much slower a target gets when it is warm."""

import numpy as np

from keras_effnet.benchmarks.results_text import milliseconds
from keras_effnet.benchmarks.targets.target import ONCE


def sustained(path, target, minutes, request, progress=None):
    """Runs a file minute after minute, from 1; runs and seconds of `request` are set
    here.

    Each minute has `device` too, what the target says of itself then (its temperature
    and battery, where it knows them)."""
    request = request | ONCE | {"min_seconds": 60, "max_seconds": 60}
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
