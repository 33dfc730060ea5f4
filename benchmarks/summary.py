"""Many run times in a few numbers."""

import numpy as np


def summarize(latency_ns):
    """The statistics of one series of run times.

    Args:
        latency_ns: Nanoseconds of each run; at least one.

    Returns:
        A dict in milliseconds, named after `LatencyMetrics` of TensorFlow's
        benchmark_result.proto, with `p90_ms` and `p99_ms` beside its `p5_ms`
        and `p95_ms`. Percentiles interpolate linearly; `stddev_ms` is the
        population's (divided by n), as there.
    """
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
