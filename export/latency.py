"""How fast files are on this machine."""

import dataclasses

from keras_effnet import benchmarks
from keras_effnet.sheet import Latency


def host_latency(paths, rounds=2, max_seconds=4, **options) -> list[Latency]:
    """Measures files in turn on this machine, each round in a process of its own.

    `max_seconds` are of each file in all rounds together.
    """
    results = benchmarks.benchmark_many(
        paths, rounds=rounds, max_seconds=max_seconds, **options
    )
    return [
        Latency(
            median_ms=result.latency_metrics.median_ms,
            p90_ms=result.latency_metrics.p90_ms,
            threads=result.options["threads"],
            runs=result.misc_metrics.num_runs,
            host=result.device["cpu"] or result.device["machine"],
        )
        for result in results
    ]


def measure(exported, progress=None):
    """`ExportedFile`s with latencies on this machine in their sheets, taken in turn."""
    paths = [file.path for file in exported]
    found = host_latency(paths, max_seconds=5, progress=progress)
    pairs = list(zip(exported, found, strict=True))
    medians = {file.precision: latency.median_ms for file, latency in pairs}
    of_float = medians.pop("float32", None)  # which is not held against itself
    return [
        file.with_sheet(
            latency=dataclasses.replace(
                latency, float_median_ms=of_float if file.precision in medians else None
            )
        )
        for file, latency in pairs
    ]
