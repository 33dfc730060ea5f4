"""ARM cores, emulated by QEMU: what a file computes there, in how many instructions."""

import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import tempfile

from keras_effnet import children
from keras_effnet import errors
from keras_effnet.benchmarks.native import building
from keras_effnet.benchmarks.native import counting
from keras_effnet.benchmarks.native import model_io
from keras_effnet.benchmarks.native import sysroot
from keras_effnet.benchmarks.targets import refusals
from keras_effnet.benchmarks.targets.target import Target
from keras_effnet.benchmarks.targets.target import TargetLost
from keras_effnet.errors import InputError

_MACHINE = "aarch64"
_ARMV8 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
_ARMV82 = f"{_ARMV8} atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp ssbs"
# Part number, variant, revision and features, as Linux on such a core tells them and
# as QEMU has them. LiteRT chooses its kernels by them; those of another core, or of
# this machine, end in instructions that are not there.
CORES = {
    "cortex-a53": ("0xd03", "0x0", 4, _ARMV8),
    "cortex-a72": ("0xd08", "0x0", 3, _ARMV8),
    "cortex-a76": ("0xd0b", "0x4", 1, _ARMV82),
}
# The count of a run does not vary, so a fixed few tell as much as the minimums of
# seconds that are asked for, which would go by a clock that means nothing here.
_WARMUP_RUNS, _RUNS = 1, 3
_SECONDS, _SECONDS_EACH = 3600, 120
_LOST = (signal.SIGHUP, signal.SIGINT, signal.SIGKILL, signal.SIGTERM)


class Emulated(Target):
    """A named ARM core in QEMU's user-mode emulation, which needs no root.

    Its times mean nothing (`device` says `"emulated": True`); the instructions of an
    inference, the same in every process to some millionths, are what to compare: the
    median of three runs after one that warms up, with one thread, whatever is asked
    for.

    Args:
        cpu: `"cortex-a53"`, `"cortex-a72"` or `"cortex-a76"`.

    Attributes:
        name: `"arm:"` and the core.
        emulator: QEMU and its version.

    Raises:
        InputError: There is no such core, or QEMU or the cross compiler is missing.
    """

    most_rounds = most_threads = 1

    def __init__(self, cpu: str) -> None:
        if cpu not in CORES:
            raise InputError(
                f"The emulated cores are {', '.join(CORES)}. "
                f"{errors.suggest(cpu, CORES)}Received: cpu={cpu!r}"
            )
        qemu = shutil.which(f"qemu-{_MACHINE}")
        if qemu is None:
            raise InputError(
                f"`qemu-{_MACHINE}` is not installed; install Debian's package "
                f"qemu-user. Received: cpu={cpu!r}"
            )
        self.name = f"arm:{cpu}"
        self._cpu = cpu
        files = {
            "lrbench": building.runner(_MACHINE),
            **sysroot.libraries(_MACHINE),
        }
        self._temporary = tempfile.TemporaryDirectory(prefix="keras_effnet-")
        try:
            self._folder = pathlib.Path(self._temporary.name)
            for name, path in files.items():
                (self._folder / name).symlink_to(path)
            _write_cpuinfo(self._folder, cpu)
            # -L puts this folder over the system's root: /proc/cpuinfo is the core's.
            self._qemu = [qemu, "-cpu", cpu, "-L", str(self._folder)]
            loader = sysroot.LOADERS[_MACHINE]
            self.emulator = f"QEMU {_version(qemu)}"
            program = str(self._folder / loader)
            self._plugin = counting.plugin([*self._qemu, program, "--version"])
            self._command = [f"./{loader}", "--library-path", ".", "./lrbench"]
            self._command += [f"./{sysroot.RUNTIME}", "model.tflite"]
            self._command += ["--input", "input", "--output", "output"]
        except BaseException:
            self.close()
            raise

    def close(self):
        self._temporary.cleanup()

    def measure(self, path, request):
        if request["threads"] != 1:
            raise InputError(
                "Instructions are counted with one thread: those of waiting threads "
                f"vary. Received: threads={request['threads']!r}"
            )
        described = model_io.described(path)
        load_average = os.getloadavg()[0]
        options = [
            *("--mark", "--min-runs", str(_RUNS), "--min-seconds", "0"),
            *("--warmup-runs", str(_WARMUP_RUNS), "--warmup-seconds", "0"),
            *("--max-seconds", str(request["max_seconds"])),
            *([] if request["xnnpack"] else ["--no-xnnpack"]),
        ]
        counts = self._folder / "counts"
        data = model_io.random_input_bytes(path)
        plugin = counting.option(self._plugin, counts)
        found = self._run(path, data, options, plugin, _SECONDS)
        output = (self._folder / "output").read_bytes()
        instructions = [int(line) for line in counts.read_text().split()]
        counted = instructions[-len(found["latency_ns"]) :]
        return {
            **sysroot.measured(found),
            # What is asked of Linux would be told of QEMU.
            "memory": dict.fromkeys(found["memory"]),
            **described,
            **model_io.digested(output),
            "device": {
                "cpu": self._cpu.title(),
                "machine": _MACHINE,
                "cores": 1,
                "os": f"Linux, emulated by {self.emulator}",
                "governor": None,
                "load_average": load_average,
                "emulated": True,
            },
            "instructions": int(statistics.median_low(counted)),
        }

    def answers(self, path, inputs):
        seconds = _SECONDS + _SECONDS_EACH * len(inputs)
        self._run(path, inputs.tobytes(), ["--each"], [], seconds)
        return model_io.as_rows((self._folder / "output").read_bytes(), path)

    def _run(self, path, data, options, plugin, seconds):
        """The JSON that the runner prints."""
        model = self._folder / "model.tflite"
        model.unlink(missing_ok=True)
        model.symlink_to(pathlib.Path(path).absolute())
        (self._folder / "input").write_bytes(data)
        try:
            done = children.finished(
                [*self._qemu, *plugin, *self._command, *options],
                # Of no length that varies: it stands on the program's stack.
                env={},
                cwd=self._folder,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired as error:
            raise refusals.late(path, seconds, f" on {self.name}") from error
        if -done.returncode in _LOST:
            raise TargetLost(
                f"QEMU was ended by {children.signal_name(-done.returncode)}; repeat "
                f"the command. Received: {self.name!r}"
            )
        found = children.last_answer(done.stdout)
        if not done.returncode and found and "error" not in found:
            return found
        told = found and not done.returncode
        reason = found["error"] if told else children.last_line(done)
        raise refusals.refused(path, reason, f" on {self.name}")


def _write_cpuinfo(folder, cpu):
    part, variant, revision, features = CORES[cpu]
    (folder / "proc").mkdir()
    (folder / "proc" / "cpuinfo").write_text(
        "processor\t: 0\nBogoMIPS\t: 100.00\n"
        f"Features\t: {features}\n"
        "CPU implementer\t: 0x41\nCPU architecture: 8\n"
        f"CPU variant\t: {variant}\nCPU part\t: {part}\nCPU revision\t: {revision}\n\n"
    )


def _version(qemu):
    told = children.finished([qemu, "--version"]).stdout
    found = re.search(r"version (\S+)", told)
    return found[1] if found else None
