"""The plugin that counts instructions, for the QEMU that is there."""

import re

from keras_effnet import children
from keras_effnet.benchmarks.native import building
from keras_effnet.errors import InputError

_OLDEST_INTERFACE = 1


def plugin(command):
    """The plugin for a QEMU, of which `command` runs a program that ends by itself; the
    plugin's option is put in second. Raises where this QEMU takes no such plugin."""
    path, told = _tried(command, _OLDEST_INTERFACE)
    # A newer QEMU names the interface that it wants, one that this plugin has too.
    wanted = re.search(r"supports only a minimum version of (\d+)", told or "")
    if wanted:
        path, told = _tried(command, int(wanted[1]))
    if told is not None:
        raise InputError(
            f"QEMU can't count instructions: {told.rstrip('.')}; Debian's package "
            f"qemu-user can, qemu-user-static can't. Received: {command[0]!r}"
        )
    return path


def _tried(command, interface):
    """The plugin of an interface, and QEMU's objection or `None`."""
    path = building.plugin(interface)
    done = children.finished(
        [command[0], *option(path, "/dev/null"), *command[1:]], env={}
    )
    return path, children.last_line(done) if done.returncode else None


def option(path, counts):
    """QEMU's arguments that load a plugin; the file `counts` gets a line with a number
    for each run."""
    path, counts = (str(name).replace(",", ",,") for name in (path, counts))
    return ["-plugin", f"{path},out={counts}"]
