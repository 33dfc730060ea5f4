"""The one result of every measurement; docs/benchmarking.md explains each field.

`LatencyMetrics`, `MemoryMetrics` and `MiscMetrics` have the names and units of
TensorFlow's tensorflow/lite/tools/benchmark/proto/benchmark_result.proto, and a
few fields more.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

SCHEMA_VERSION = 2


@dataclasses.dataclass(frozen=True)
class LatencyMetrics:
    """Wall time in milliseconds, of all rounds together.

    `init_ms` and `first_inference_ms` occur once a round: their median.
    `average_warm_up_ms` leaves the first inference out. A program that keeps no times
    of its runs has no `p90_ms` and `p99_ms`.
    """

    avg_ms: float
    min_ms: float
    max_ms: float
    stddev_ms: float
    median_ms: float
    p5_ms: float
    p90_ms: float | None
    p95_ms: float
    p99_ms: float | None
    init_ms: float
    first_inference_ms: float
    average_warm_up_ms: float | None


def summarize(latency_ns: Sequence[int]) -> dict[str, float]:
    """The statistics of one series of run times, at least one, in milliseconds: named
    after `LatencyMetrics` of TensorFlow's benchmark_result.proto, with `p90_ms` and
    `p99_ms` beside its `p5_ms` and `p95_ms`. Percentiles interpolate linearly;
    `stddev_ms` is the population's (divided by n), as there."""
    times = np.asarray(latency_ns, dtype=np.float64) / 1e6
    p5, median, p90, p95, p99 = np.percentile(times, (5, 50, 90, 95, 99))
    return {
        "avg_ms": float(times.mean()),
        "min_ms": float(times.min()),
        "max_ms": float(times.max()),
        "stddev_ms": float(times.std()),
        "median_ms": float(median),
        "p5_ms": float(p5),
        "p90_ms": float(p90),
        "p95_ms": float(p95),
        "p99_ms": float(p99),
    }


@dataclasses.dataclass(frozen=True)
class MemoryMetrics:
    """Largest of all rounds; `None` where the system does not tell.

    The footprints, in KiB, are what the model added to a process that had
    loaded the runtime; `peak_mem_mb`, in MiB, is the whole process.
    """

    init_footprint_kb: int | None
    overall_footprint_kb: int | None
    peak_footprint_kb: int | None
    peak_mem_mb: float | None


@dataclasses.dataclass(frozen=True)
class MiscMetrics:
    model_size_mb: float
    num_runs: int
    num_warmup_runs: int


@dataclasses.dataclass(frozen=True)
class Round:
    """One process: raw nanoseconds, in the order they were measured."""

    init_ns: int
    first_ns: int
    warmup_ns: tuple[int, ...]
    latency_ns: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class BenchmarkResult:
    """What was measured, of which file, on what, and how."""

    schema_version: int
    name: str
    target: str
    harness: dict
    date: str
    model: dict
    options: dict
    runtime: dict
    device: dict
    latency_metrics: LatencyMetrics
    memory_metrics: MemoryMetrics
    misc_metrics: MiscMetrics
    operators: dict
    inputs: list
    outputs: list
    output_sha256: str
    instructions: int | None
    agreement: dict | None
    warnings: tuple[str, ...]
    rounds: tuple[Round, ...]
    accuracy: dict | None = None
    sustained: list | None = None
    profile: list | None = None

    def to_dict(self) -> dict[str, Any]:
        """The result as plain values that `json` writes."""
        return dataclasses.asdict(self)


def layer_times(profile: list | None) -> dict[str, float]:
    """`{layer: ms}` of a profile, the longest first; empty where none is told."""
    found: dict[str, float] = {}
    for row in profile or ():
        for layer, ms in (row.get("layers") or {}).items():
            found[layer] = found.get(layer, 0) + ms
    return dict(sorted(found.items(), key=lambda each: -each[1]))
