"""What a page posts, checked: it is as good as the browser it runs in."""

from keras_effnet.benchmarks.targets import refusals
from keras_effnet.errors import InputError

_LONGEST_MS = 1e9


def check(job, path):
    """Refuses what is no whole result of a `Job`."""
    result = job.result
    if result["failed"]:
        reason = str(result.get("error")).split("\n")[0]
        raise refusals.refused(path, reason, " in the browser")
    parts = [result.get(key) for key in ("times", "runtime", "device")]
    whole = all(isinstance(part, dict) for part in parts)
    whole = whole and len(job.outputs) == len(job.inputs)
    if whole and job.message["kind"] == "measure":
        whole = _are_times(result["times"])
        whole = whole and isinstance(result["device"].get("cores"), int)
    if not whole:
        raise InputError(
            "The browser's result is not whole; another browser may do better. "
            f"Received: {str(path)!r}"
        )


def _are_times(times):
    warmup, timed = times.get("warmup_ms"), times.get("latency_ms")
    if not (isinstance(warmup, list) and isinstance(timed, list) and timed):
        return False
    timed = [times.get("init_ms"), times.get("first_ms"), *timed]
    # A coarse clock may not tell a single run of the warm-up from nothing.
    return all(map(_is_time, [*timed, *warmup])) and min(timed) > 0


def _is_time(value):
    return isinstance(value, int | float) and 0 <= value <= _LONGEST_MS


def nanoseconds(times):
    """The times of a result, in milliseconds (`_ms`), as `measure` gives them
    (`_ns`)."""
    return {
        f"{key.removesuffix('_ms')}_ns": (
            [round(value * 1e6) for value in times[key]]
            if isinstance(times[key], list)
            else round(times[key] * 1e6)
        )
        for key in ("init_ms", "first_ms", "warmup_ms", "latency_ms")
    }
