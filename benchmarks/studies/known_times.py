"""The measuring held against times that are known: a part of `measuring_check.py`."""

import statistics
import time

import numpy as np

from keras_effnet import benchmarks
from keras_effnet.benchmarks.targets.target import Target
from keras_effnet.benchmarks.workers import latency

# A system's own sleep comes 0.1 to 0.2 ms late.
SLEEPS_MS = (20, 50, 100)
TOLERANCE = 0.02


class Sleeper(Target):
    """A target whose runs take a known time: the loop of the real one around a sleep.

    Args:
        seconds: Of each run.
    """

    name = "sleeper"

    def __init__(self, seconds):
        self._seconds = seconds

    def close(self):
        """There is nothing to end."""

    def answers(self, path, inputs):
        raise NotImplementedError

    def measure(self, path, request):
        runs = [request[key] for key in ("min_runs", "min_seconds", "max_seconds")]
        times = latency.timed_runs(lambda: time.sleep(self._seconds), *runs)
        memory = ("init_footprint_kb", "overall_footprint_kb", "peak_footprint_kb")
        return {
            "init_ns": times[0],
            "first_ns": times[0],
            "warmup_ns": [],
            "latency_ns": times.tolist(),
            "memory": dict.fromkeys((*memory, "peak_mem_mb")),
            "operators": {"partitions": None, "undelegated": None},
            "inputs": [],
            "outputs": [],
            "output_sha256": "",
            "runtime": {"name": "sleep", "version": ""},
            "device": latency.device_facts(),
        }


def sleeps(path, runs=30):
    """Known times against what comes out.

    Args:
        path: Of any .tflite file, which is not run.
        runs: Of each time.

    Returns:
        A list of dicts, one for each time.
    """
    rows = []
    for known in SLEEPS_MS:
        (result,) = benchmarks.benchmark_many(
            [path], target=Sleeper(known / 1e3), rounds=3, min_runs=runs, min_seconds=0
        )
        latency = result.latency_metrics
        rows.append(
            {
                "known_ms": known,
                "median_ms": latency.median_ms,
                "error": latency.median_ms / known - 1,
                "within": abs(latency.median_ms / known - 1) <= TOLERANCE,
                "statistics_differ_by": _worst_statistic(result),
            }
        )
    return rows


def _worst_statistic(result):
    """The largest relative difference from NumPy and the standard library."""
    found = result.latency_metrics
    times = [ns / 1e6 for part in result.rounds for ns in part.latency_ns]
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    pairs = [
        (found.avg_ms, np.mean(times)),
        (found.avg_ms, statistics.fmean(times)),
        (found.median_ms, np.median(times)),
        (found.median_ms, statistics.median(times)),
        (found.stddev_ms, np.std(times)),
        (found.stddev_ms, statistics.pstdev(times)),
        (found.min_ms, min(times)),
        (found.max_ms, max(times)),
        *((getattr(found, f"p{n}_ms"), cuts[n - 1]) for n in (5, 90, 95, 99)),
        *(
            (getattr(found, f"p{n}_ms"), np.percentile(times, n))
            for n in (5, 90, 95, 99)
        ),
    ]
    return max(abs(a / b - 1) for a, b in map(tuple, pairs))


def overhead(runs=100_000):
    """What a run costs beside its own time, µs: of a run that does nothing, all."""
    started = time.perf_counter_ns()
    latency.timed_runs(lambda: None, runs, 0, 600)
    return (time.perf_counter_ns() - started) / runs / 1e3
