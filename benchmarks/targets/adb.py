"""Android devices, by `adb`."""

import os
import shutil
import subprocess
from collections.abc import Sequence

from keras_effnet import children
from keras_effnet.benchmarks.targets.shell import Shell
from keras_effnet.benchmarks.targets.shell_target import ShellTarget
from keras_effnet.errors import InputError

_WAYS_OUT = {
    "unauthorized": "confirm this computer's key on the device's screen",
    "offline": "plug the device in again, or run `adb reconnect offline`",
    "no permissions": "see the udev rules in Android's documentation of adb",
}
_MACHINES = {"arm64-v8a": "aarch64", "x86_64": "x86_64"}


class Adb(ShellTarget):
    """An Android device with USB debugging, by the platform tools' `adb`.

    The runtime, the runner in C and the C library that both need are copied to a
    temporary folder, which is removed in the end; nothing is installed, and root is
    not needed.

    Args:
        serial: The device's serial number as `adb devices` lists it; by default
            `$ANDROID_SERIAL` or the only device.
        cores: The numbers of the processor's cores to run on, or `None` for any.
        folder: In which folder of the device the temporary one is made.
        benchmark_model: The path here of TensorFlow Lite's `benchmark_model` for
            Android, which then measures, or `None`.

    Raises:
        InputError: There is no such device, or it can't run what is needed.
    """

    def __init__(
        self,
        serial: str | None = None,
        *,
        cores: Sequence[int] | None = None,
        folder: str = "/data/local/tmp",
        benchmark_model: str | os.PathLike | None = None,
    ) -> None:
        shell = _AdbShell(_device(serial or os.environ.get("ANDROID_SERIAL")), folder)
        super().__init__(shell, None, cores, benchmark_model)

    def _machine(self):
        abi = self._shell.run(["getprop", "ro.product.cpu.abi"]).text
        if abi not in _MACHINES:
            raise InputError(
                f"The device's ABI is not supported; {' and '.join(_MACHINES)} are, "
                "which LiteRT is published for. "
                f"Received: {self.name!r} with the ABI {abi!r}"
            )
        return _MACHINES[abi]


class _AdbShell(Shell):
    def __init__(self, serial, parent):
        super().__init__(f"adb:{serial}", parent)
        self._adb = ["adb", "-s", serial]

    def client(self, script):
        return [*self._adb, "shell", script]

    holding_client = client

    def push(self, local, remote, timeout):
        client = children.finished(
            [*self._adb, "push", str(local), remote],
            stdin=subprocess.DEVNULL,
            timeout=timeout,
        )
        if client.returncode == 0:
            return None
        self.run(["true"])  # raises where the device, and not the file, is the reason
        told = f"{client.stdout}\n{client.stderr}".strip()
        lines = [line for line in told.splitlines() if "error" in line]
        reason = lines[-1] if lines else told
        return reason.removeprefix("adb: ").removeprefix("error: ")

    def unreachable(self, reason):
        return InputError(
            f"adb can't reach the device: {reason}; `adb devices` lists those there "
            f"are. Received: {self.name!r}"
        )


def _device(serial):
    """The serial number of a device that is ready."""
    received = f"Received: adb{f':{serial}' if serial else ''}"
    devices = _devices(received)
    if serial:
        if serial not in devices:
            raise InputError(
                f"adb has no device {serial}; it has "
                f"{', '.join(devices) or 'none: connect one with USB debugging on'}. "
                f"{received}"
            )
        devices = {serial: devices[serial]}
    ready = [name for name, state in devices.items() if state == "device"]
    if len(ready) > 1:
        raise InputError(
            f"adb has several devices: {', '.join(ready)}; name one, as in "
            f"adb:{ready[0]}. {received}"
        )
    if ready:
        return ready[0]
    if not devices:
        raise InputError(
            "adb has no device: connect one, with USB debugging switched on in its "
            f"developer options. {received}"
        )
    name, state = next(iter(devices.items()))
    ways = (way for text, way in _WAYS_OUT.items() if state.startswith(text))
    way = next(ways, "wait until it is ready")
    raise InputError(f"adb's device {name} is {state.split(';')[0]}: {way}. {received}")


def _devices(received):
    """The states of all devices by their serial numbers."""
    if shutil.which("adb") is None:
        raise InputError(
            "`adb` is not installed here; Android's platform tools have it (on Debian "
            f"the package adb). {received}"
        )
    try:
        client = children.finished(
            ["adb", "devices"], stdin=subprocess.DEVNULL, timeout=60
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(
            f"`adb devices` does not answer; run `adb kill-server`. {received}"
        ) from error
    if client.returncode:
        reason = children.last_line(client)
        raise InputError(f"`adb devices` failed: {reason}. {received}")
    lines = (line.split("\t") for line in client.stdout.splitlines())
    return {line[0]: line[1].strip() for line in lines if len(line) == 2}
