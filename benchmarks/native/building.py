"""Compiles the programs in C of this folder with the system's compiler, once."""

import functools
import hashlib
import pathlib
import platform
import shutil

from keras_effnet import children
from keras_effnet import files
from keras_effnet.errors import InputError
from keras_effnet.errors import check_one_of

_FOLDER = pathlib.Path(__file__).parent
_FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra")
MACHINES = ("x86_64", "aarch64")
RUNNER = ("lrbench.c", "fail.c", "litert.c", "options.c", "profile.c")


def runner(machine):
    """The runner of .tflite files, `lrbench.c`, for a processor: a program that is
    linked with the C library of the compiler's system."""
    return _compiled(f"lrbench-{machine}", machine, RUNNER)


def plugin(interface):
    """The plugin that counts instructions in QEMU, `icount.c`, a shared library for
    this machine."""
    flags = ("-shared", "-fPIC", f"-DPLUGIN_API={interface}")
    machine = platform.machine()
    return _compiled(f"icount-{interface}.so", machine, ("icount.c",), flags)


def compiler(machine):
    """The path of the compiler that makes programs for a processor."""
    check_one_of("machine", machine, MACHINES)
    cross = f"{machine}-linux-gnu-gcc"
    names = ("cc", "gcc") if machine == platform.machine() else (cross,)
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise InputError(
            f"A compiler is needed, and `{names[-1]}` is not installed; "
            f"install Debian's packages {_packages(machine)}. "
            f"Received: machine={machine!r}"
        )
    return found


def cache_folder():
    """Of what is compiled or fetched for other machines; it may not exist yet."""
    return files.keras_home() / "native" / "keras_effnet"


def _compiled(name, machine, sources, flags=()):
    """The program of these sources from the cache, where a changed one is another."""
    command = [compiler(machine), *_FLAGS, *flags]
    path = cache_folder() / f"{_digest(command)}-{name}"
    if path.is_file():
        return path
    paths = [str(_FOLDER / source) for source in sources]
    # Of two processes that come here at once the later one replaces the same file.
    with files.replacing(path) as temporary:
        done = children.finished([*command, "-o", str(temporary), *paths])
        if done.returncode:
            lines = done.stderr.splitlines()
            reason = next((line for line in lines if "error" in line), lines[-1])
            raise InputError(
                f"The compiler failed: {reason.strip().rstrip('.')}; Debian's "
                f"{_packages(machine)} are needed. Received: {command[0]!r}"
            )
        temporary.chmod(0o755)
    return path


def _digest(command):
    digest = hashlib.sha256("\0".join(command).encode())
    digest.update(_version(command[0]))
    for source in sorted(_FOLDER.glob("*.[ch]")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


@functools.cache
def _version(path):
    return children.finished([path, "--version"]).stdout.encode()


def debian_suffix(machine):
    """What Debian adds to the names of libraries for another processor."""
    names = {"aarch64": "arm64", "x86_64": "amd64"}
    return "" if machine == platform.machine() else f"-{names[machine]}-cross"


def _packages(machine):
    if machine == platform.machine():
        return "gcc and libc6-dev"
    gcc = f"gcc-{machine.replace('_', '-')}-linux-gnu"
    return f"{gcc} and libc6-dev{debian_suffix(machine)}"
