"""Drives TensorFlow Lite's own `benchmark_model`, which the user supplies.

Its text holds statistics and no times of single runs: the 90th and 99th percentiles,
which it doesn't print, are `None`, and so are the outputs. The tests run a script that
prints what the documentation of the tool shows, not the tool itself: no package of a
public registry has it.
"""

import pathlib
import re

from keras_effnet import files
from keras_effnet.benchmarks.native import model_io
from keras_effnet.benchmarks.targets.device_facts import device_facts
from keras_effnet.benchmarks.targets.runners import ended
from keras_effnet.errors import InputError

_NUMBER = r"([-+.\deE]+)"
_TIMINGS = re.compile(
    rf"Inference timings in us: Init: {_NUMBER}, First inference: {_NUMBER}, "
    rf"Warmup \(avg\): {_NUMBER}, Inference \(avg\): {_NUMBER}"
)
_MEMORY = re.compile(
    r"(?:Memory footprint delta from the start of the tool|Peak memory footprint) "
    rf"\(MB\): init={_NUMBER} overall={_NUMBER}"
)
_PEAK = re.compile(
    rf"Overall peak memory footprint \(MB\) via periodic monitoring: {_NUMBER}"
)
_PARTITIONS = re.compile(r"TfLiteXNNPackDelegate\).*yielding (\d+) partitions")
_STATISTICS = {
    "avg_ms": "avg",
    "min_ms": "min",
    "max_ms": "max",
    "stddev_ms": "std",
    "median_ms": "median",
    "p5_ms": "p5",
    "p95_ms": "p95",
}


class BenchmarkModel:
    """Measures with `benchmark_model` on a target that has a shell."""

    def __init__(self, shell, binary, cores=None):
        self._shell, self._cores = shell, cores
        binary = pathlib.Path(binary)
        with files.told("The `benchmark_model` can't be read", binary):
            digest = files.checksum(binary)
        self._runtime = {"name": "benchmark_model", "version": None, "sha256": digest}
        self._binary = shell.put(binary, "benchmark_model")
        shell.run(["chmod", "755", f"{shell.folder}/{self._binary}"])

    def measure(self, path, request):
        """One round; see `ShellTarget.measure`, and `parse` for what differs."""
        device = device_facts(self._shell)
        command = [f"./{self._binary}", *arguments(self._shell.put(path), request)]
        if self._cores:
            # Toybox's taskset takes no list.
            mask = sum(1 << core for core in set(self._cores))
            command = ["taskset", f"{mask:x}", *command]
        answer = ended(self._shell, command, 4 * request["max_seconds"], path)
        parsed = None if answer.code else parse(f"{answer.text}\n{answer.stderr}")
        if parsed is None:
            raise InputError(
                f"`benchmark_model` failed on {self._shell.name} (exit code "
                f"{answer.code}): {answer.last_line}. Received: {str(path)!r}"
            )
        return (
            parsed
            | model_io.described(path)
            | {
                "output_sha256": None,
                "output_base64": None,
                "runtime": self._runtime,
                "device": device,
            }
        )

    def answers(self, path, inputs):
        """The tool prints no outputs."""
        raise InputError(
            "`benchmark_model` gives no outputs to compare; leave it out to evaluate "
            f"photos on {self._shell.name}. Received: {str(path)!r}"
        )


def arguments(model, request):
    """The tool's command line, without the tool."""
    return [
        f"--graph={model}",
        f"--num_runs={request['min_runs']}",
        f"--min_secs={request['min_seconds']:g}",
        f"--max_secs={request['max_seconds']:g}",
        # Its warm-up begins with the first inference, which isn't one here.
        f"--warmup_runs={request['warmup_runs'] + 1}",
        f"--warmup_min_secs={request['warmup_seconds']:g}",
        f"--num_threads={request['threads']}",
        f"--use_xnnpack={'true' if request['xnnpack'] else 'false'}",
    ]


def parse(text):
    """What the tool prints, like the answer of `Target.measure`; `None` where the
    results are missing. In place of single times it has `latency_metrics`, as far as
    they are known, `num_runs` and `num_warmup_runs`."""
    timings = _TIMINGS.search(text)
    counted = re.findall(r"count=(\d+) (.*)", text)
    if not timings or len(counted) < 2:
        return None
    (warmups, _), (runs, line) = counted[0], counted[-1]
    found = dict(re.findall(rf"(\w+)={_NUMBER}", line))
    if runs == "1":  # then it prints the one time as `curr` alone
        found |= dict.fromkeys(
            ("min", "max", "avg", "median", "p5", "p95"), found["curr"]
        )
        found["std"] = "0"
    init, first, warmup, _ = (float(value) for value in timings.groups())
    memory, peak = _MEMORY.search(text), _PEAK.search(text)
    partitions = _PARTITIONS.search(text)
    statistics = {
        name: float(found[key]) / 1e3 if key in found else None
        for name, key in _STATISTICS.items()
    }
    return {
        "init_ns": round(init * 1e3),
        "first_ns": round(first * 1e3),
        "warmup_ns": [],
        "latency_ns": [],
        "latency_metrics": {
            **statistics,
            "p90_ms": None,
            "p99_ms": None,
            "init_ms": init / 1e3,
            "first_inference_ms": first / 1e3,
            "average_warm_up_ms": warmup / 1e3,
        },
        "num_runs": int(runs),
        "num_warmup_runs": int(warmups) - 1,
        "memory": {
            "init_footprint_kb": _kib(memory and memory[1]),
            "overall_footprint_kb": _kib(memory and memory[2]),
            "peak_footprint_kb": None,
            "peak_mem_mb": float(peak[1]) if peak else None,
        },
        "operators": {
            "partitions": int(partitions[1]) if partitions else None,
            "undelegated": None,
        },
    }


def _kib(megabytes):
    return None if megabytes is None else round(float(megabytes) * 1024)
