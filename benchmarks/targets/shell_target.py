"""A target with a command line: what `adb` and `ssh` share."""

from keras_effnet.benchmarks.native import building
from keras_effnet.benchmarks.native import model_io
from keras_effnet.benchmarks.targets.benchmark_model import BenchmarkModel
from keras_effnet.benchmarks.targets.device_facts import device_state
from keras_effnet.benchmarks.targets.runners import NativeRunner
from keras_effnet.benchmarks.targets.runners import PythonWorker
from keras_effnet.benchmarks.targets.target import Target
from keras_effnet.errors import InputError


class ShellTarget(Target):
    """Puts on a target what it needs, once, and runs files there.

    A result's `device` also has `battery` and `thermal`, `before` and `after` the
    round, or `None` where the target has neither, and `pinned`, the numbers of the
    cores, or `None`. Without a `python` there it is the runner in C that measures, or
    `benchmark_model`, the path here of that tool."""

    profiles = True

    def __init__(self, shell, python, cores, benchmark_model):
        self.name = shell.name
        self._shell = shell
        self._cores = cores
        try:
            shell.open()
            self._check_cores()
            self._program = self._chosen(python, benchmark_model)
        except BaseException:
            shell.close()
            raise

    def _check_cores(self):
        if self._cores is None:
            return
        answer = self._shell.run(["cat", "/sys/devices/system/cpu/online"])
        if answer.code:  # it isn't told; then the runner refuses
            return
        told, online = answer.text, set()
        for part in told.split(","):
            first, _, last = part.partition("-")
            online.update(range(int(first), int(last or first) + 1))
        if not self._cores or not online.issuperset(self._cores):
            raise InputError(
                f"`cores` must be of those that {self.name} has: {told}. "
                f"Received: cores={self._cores!r}"
            )

    def _chosen(self, python, benchmark_model):
        shell, cores = self._shell, self._cores
        if benchmark_model is not None:
            return BenchmarkModel(shell, benchmark_model, cores)
        if python is not None and PythonWorker.runs_on(shell, python):
            return PythonWorker(shell, python, cores)
        return NativeRunner(shell, self._machine(), cores)

    def _machine(self):
        machine = self._shell.run(["uname", "-m"]).text
        if machine not in building.MACHINES:
            raise InputError(
                "The target's processor is not supported without Python there; "
                f"{' and '.join(building.MACHINES)} are. Install ai-edge-litert, and "
                f"name its Python by `python`. Received: {self.name!r} with {machine!r}"
            )
        return machine

    def close(self):
        self._shell.close()

    def measure(self, path, request):
        before = device_state(self._shell)
        answer = self._program.measure(str(path), request)
        after = device_state(self._shell)
        states = {
            key: before[key] and {"before": before[key], "after": after[key]}
            for key in before
        }
        pinned = None if self._cores is None else list(self._cores)
        return answer | {"device": answer["device"] | states | {"pinned": pinned}}

    def profile(self, path, request):
        program = self._program
        if not isinstance(program, NativeRunner):
            program = NativeRunner(self._shell, self._machine(), self._cores)
        return program.profile(str(path), request)

    def answers(self, path, inputs):
        return model_io.as_rows(self._program.answers(str(path), inputs), path)
