"""What measures on a target with a shell: Python where it has it, else C."""

import json
import pathlib
import subprocess

from keras_effnet import children
from keras_effnet.benchmarks.native import building
from keras_effnet.benchmarks.native import model_io
from keras_effnet.benchmarks.native import sysroot
from keras_effnet.benchmarks.targets import refusals
from keras_effnet.benchmarks.targets.device_facts import device_facts

_FOLDER = pathlib.Path(__file__).parents[1] / "workers"
# `workers/latency.py` asks the interpreter for what it has from this version on.
_PROBE = """
import importlib.metadata, numpy
import ai_edge_litert.interpreter
version = importlib.metadata.version("ai-edge-litert")
print("ready" if tuple(map(int, version.split(".")[:2])) >= (2, 3) else version)
"""
_PINNED = """
import os, sys
os.sched_setaffinity(0, map(int, sys.argv[1].split(",")))
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""
_GRACE_SECONDS = 60
_SECONDS_OF_AN_ANSWER = 10


class PythonWorker:
    """Measures with the target's own Python, NumPy and ai-edge-litert."""

    def __init__(self, shell, python, cores=None):
        self._shell = shell
        pin = ["-c", _PINNED, ",".join(map(str, cores))] if cores else []
        self._python = [python, *pin]

    @staticmethod
    def runs_on(shell, python):
        """Whether the target has what the workers import."""
        return shell.run([python, "-c", _PROBE], timeout=120).text == "ready"

    def measure(self, path, request):
        options = json.dumps(request | {"path": self._shell.put(path)})
        worker = self._shell.put(_FOLDER / "latency.py", "latency.py")
        command = [*self._python, worker, options]
        return _answered(self._shell, command, 4 * request["max_seconds"], path)

    def answers(self, path, inputs):
        worker = self._shell.put(_FOLDER / "answers.py", "answers.py")
        files = self._shell.put(path), self._shell.put_bytes(inputs.tobytes(), "inputs")
        command = [*self._python, worker, *files, "outputs"]
        _answered(self._shell, command, _SECONDS_OF_AN_ANSWER * len(inputs), path)
        return self._shell.pull("outputs")


class NativeRunner:
    """Measures with the runner in C, which needs nothing that the target has."""

    def __init__(self, shell, machine, cores=None):
        self._shell = shell
        bundle = {"lrbench": building.runner(machine), **sysroot.libraries(machine)}
        for name, path in bundle.items():
            shell.put(path, name)
        loader = sysroot.LOADERS[machine]
        shell.run(["chmod", "755", f"{shell.folder}/{loader}"])
        self._command = [f"./{loader}", "--library-path", ".", "./lrbench"]
        self._command.append(f"./{sysroot.RUNTIME}")
        self._cores = ["--cores", ",".join(map(str, cores))] if cores else []

    def measure(self, path, request):
        shell = self._shell
        described = model_io.described(path)
        device = device_facts(shell)
        cache = []
        if request.get("weight_cache"):
            cache = ["--weight-cache", f"{pathlib.Path(shell.put(path)).stem}.cache"]
        found = self._run(path, request, cache)
        output = shell.pull("outputs")
        return {
            **sysroot.measured(found),
            **described,
            **model_io.digested(output),
            "device": device | {"cores": len(found["cores"])},
        }

    def profile(self, path, request):
        found = self._run(path, request, ["--profile"])
        runs, operators = found["runs"], found["operators"]
        layers = model_io.layers(path, [row["operator"] for row in operators])
        rows = {}
        for row, layer in zip(operators, layers, strict=True):
            ms = row["us"] / 1000 / runs
            empty = {"operator": row["operator"], "ms": 0, "count": 0, "layers": {}}
            sums = rows.setdefault(row["operator"], empty)
            sums["ms"] += ms
            sums["count"] += row["count"] / runs
            if layer:
                sums["layers"][layer] = sums["layers"].get(layer, 0) + ms
        return sorted(rows.values(), key=lambda row: -row["ms"])

    def _run(self, path, request, more):
        shell = self._shell
        source = shell.put_bytes(model_io.random_input_bytes(path))
        command = [
            *self._command,
            *(shell.put(path), "--input", source, "--output", "outputs"),
            *("--threads", str(request["threads"])),
            *([] if request["xnnpack"] else ["--no-xnnpack"]),
            *("--min-runs", str(request["min_runs"])),
            *("--min-seconds", f"{request['min_seconds']:g}"),
            *("--warmup-runs", str(request["warmup_runs"])),
            *("--warmup-seconds", f"{request['warmup_seconds']:g}"),
            *("--max-seconds", f"{request['max_seconds']:g}"),
            *self._cores,
            *more,
        ]
        return _answered(shell, command, 4 * request["max_seconds"], path)

    def answers(self, path, inputs):
        shell = self._shell
        source = shell.put_bytes(inputs.tobytes(), "inputs")
        command = [*self._command, shell.put(path), "--input", source]
        command += ["--output", "outputs", "--each"]
        command += self._cores
        _answered(shell, command, _SECONDS_OF_AN_ANSWER * len(inputs), path)
        return shell.pull("outputs")


def ended(shell, command, seconds, path):
    """Runs a program that measures, to its end; raises where it crashed, or took too
    long."""
    timeout = _GRACE_SECONDS + seconds
    try:
        answer = shell.start(command, timeout)
    except subprocess.TimeoutExpired as error:
        raise refusals.late(path, timeout, f" on {shell.name}") from error
    if answer.code > 128:
        name = children.signal_name(answer.code - 128)
        raise refusals.crashed(path, name, f" on {shell.name}")
    return answer


def _answered(shell, command, seconds, path):
    """Runs a worker; the JSON that it prints."""
    answer = ended(shell, command, seconds, path)
    found = children.last_answer(answer.text)
    if found is None:
        found = {"error": answer.last_line}
    if answer.code or "error" in found:
        reason = found.get("error", answer.last_line)
        raise refusals.refused(path, reason, f" on {shell.name}")
    return found
