"""This machine as if it were another: for the runner in C."""

import contextlib
import platform
import shutil

from keras_effnet.benchmarks.native import building
from keras_effnet.benchmarks.targets.runners import NativeRunner
from keras_effnet.benchmarks.targets.shell import Shell
from keras_effnet.errors import InputError


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
def native_runner():
    """The runner in C on this machine, in a folder that goes with it.

    Yields:
        A `NativeRunner`.

    Raises:
        InputError: There is no compiler, or this processor is not supported.
    """
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
