"""Measures on this machine, each file in a process of its own."""

import contextlib
import pathlib
import platform
import shutil
import subprocess

import numpy as np

from keras_effnet import children
from keras_effnet.benchmarks.native import building
from keras_effnet.benchmarks.targets import refusals
from keras_effnet.benchmarks.targets.runners import NativeRunner
from keras_effnet.benchmarks.targets.shell import Shell
from keras_effnet.benchmarks.targets.target import ONCE
from keras_effnet.benchmarks.targets.target import Target
from keras_effnet.errors import InputError

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
        with _native_runner() as runner:
            # The run that writes the cache packs the weights, as without one.
            runner.measure(path, request | ONCE)
            return runner.measure(path, request)

    def profile(self, path, request):
        with _native_runner() as runner:
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
    # Warm-up and runs end by themselves; this ends a process that hangs.
    timeout = 60 + 4 * request["max_seconds"]
    try:
        return children.ask(_WORKER, request | {"path": path}, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise refusals.late(path, timeout) from error
    except children.ChildError as error:
        if error.signal is None:
            raise
        raise refusals.crashed(path, error.signal) from error
    except InputError as error:
        raise refusals.refused(path, str(error)) from error


class _LocalShell(Shell):
    def client(self, script):
        return ["sh", "-c", script]

    holding_client = client

    def push(self, local, remote, timeout):
        try:
            shutil.copyfile(local, remote)
        except OSError as error:
            return error.strerror
        return None

    def unreachable(self, reason):
        return InputError(f"This machine runs no shell: {reason}. Received: 'host'")


@contextlib.contextmanager
def _native_runner():
    """The runner in C on this machine, in a folder that goes with it."""
    machine = platform.machine()
    if machine not in building.MACHINES:
        raise InputError(
            "Profiles and weight caches are for the processors "
            f"{' and '.join(building.MACHINES)}. Received: {machine!r}"
        )
    shell = _LocalShell("host", None)
    with contextlib.closing(shell):
        shell.open()
        yield NativeRunner(shell, machine)
