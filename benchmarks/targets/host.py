"""Measures on this machine, each file in a process of its own."""

import json
import pathlib
import signal
import subprocess
import sys

import numpy as np

from keras_effnet.benchmarks.targets.local_shell import native_runner
from keras_effnet.benchmarks.targets.target import Target
from keras_effnet.errors import InputError

_ONCE = {"min_runs": 1, "min_seconds": 0, "warmup_runs": 0, "warmup_seconds": 0}
_WORKER = pathlib.Path(__file__).parents[1] / "workers" / "latency.py"


class Host(Target):
    """This machine: LiteRT's Python interpreter in a process of its own.

    Profiles, and measurements with a weight cache, are the runner's in C.
    """

    name = "host"
    profiles = True

    def close(self):
        """Nothing is left behind on this machine."""

    def measure(self, path, request):
        if not request.get("weight_cache"):
            return _measure(path, request)
        with native_runner() as runner:
            # The run that writes the cache packs the weights, as without one.
            runner.measure(path, request | _ONCE)
            return runner.measure(path, request)

    def profile(self, path, request):
        with native_runner() as runner:
            return runner.profile(path, request)

    def answers(self, path, inputs):
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
        source = interpreter.get_input_details()[0]["index"]
        target = interpreter.get_output_details()[0]["index"]
        found = []
        for image in inputs:
            interpreter.set_tensor(source, image[None])
            interpreter.invoke()
            found.append(interpreter.get_tensor(target)[0].copy())
        return np.stack(found)


def _measure(path, request):
    # -P keeps this folder off the child's import path.
    command = [sys.executable, "-P", str(_WORKER), json.dumps(request | {"path": path})]
    # Warm-up and runs end by themselves; this ends a process that hangs.
    timeout = 60 + 4 * request["max_seconds"]
    try:
        child = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",  # the runtime quotes a damaged file's bytes
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(
            f"The model did not finish within {timeout:.0f} seconds; a larger "
            f"`max_seconds` gives it longer. Received: {path!r}"
        ) from error
    if child.returncode < 0:
        name = signal.Signals(-child.returncode).name
        raise InputError(
            f"The runtime crashed on the model ({name}); the file may be damaged, or "
            f"too large for this machine's memory. Received: {path!r}"
        )
    if child.returncode:
        raise RuntimeError(f"The measuring process failed:\n{child.stderr}")
    answer = json.loads(child.stdout.splitlines()[-1])
    if "error" in answer:
        reason = answer["error"].rstrip(". ")
        raise InputError(f"The model can't be run: {reason}. Received: {path!r}")
    return answer
