"""What a program needs beside it to run where nothing is installed.

LiteRT's library, and the C and C++ libraries with their loader.
"""

import importlib.metadata
import importlib.util
import pathlib
import platform
import sys
import tempfile
import zipfile

from keras_effnet import children
from keras_effnet import files
from keras_effnet.benchmarks.native import building
from keras_effnet.errors import InputError

RUNTIME = "libLiteRt.so"
LOADERS = {"x86_64": "ld-linux-x86-64.so.2", "aarch64": "ld-linux-aarch64.so.1"}
_PACKAGES = {
    "libc.so.6": "libc6",
    "libdl.so.2": "libc6",
    "libm.so.6": "libc6",
    "libpthread.so.0": "libc6",
    "librt.so.1": "libc6",
    "libgcc_s.so.1": "libgcc-s1",
    "libstdc++.so.6": "libstdc++6",
}


def libraries(machine):
    """The files here that stand in one folder with a program, by the names that they
    need there: `./LOADER --library-path . ./program` runs it; the loader's name is in
    `LOADERS`."""
    command = building.compiler(machine)
    names = (LOADERS[machine], *_PACKAGES)
    found = {name: _of_compiler(command, name, machine) for name in names}
    return {RUNTIME: runtime(machine), **found}


def runtime(machine):
    """LiteRT's library for a processor, of the version that is installed here.

    For another processor than this machine's it comes out of ai-edge-litert's wheel,
    which pip downloads once and verifies."""
    if machine == platform.machine():
        found = importlib.util.find_spec("ai_edge_litert")
        return pathlib.Path(found.origin).with_name(RUNTIME)
    version = importlib.metadata.version("ai-edge-litert")
    path = building.cache_folder() / f"litert-{version}-{machine}" / RUNTIME
    if path.is_file():
        return path
    files.check_folder(path.parent)
    with files.locked(path.parent):
        # Another process may have fetched it meanwhile.
        if not path.is_file():
            _fetch(version, machine, path)
    return path


def _fetch(version, machine, path):
    requirement = f"ai-edge-litert=={version}"
    platforms = [
        option
        for tag in ("manylinux_2_27", "manylinux_2_28", "manylinux2014")
        for option in ("--platform", f"{tag}_{machine}")
    ]
    with tempfile.TemporaryDirectory() as folder:
        done = children.finished(
            [
                *(sys.executable, "-P", "-m", "pip", "download", "--quiet"),
                "--no-deps",
                *("--only-binary", ":all:", "--retries", "1", *platforms),
                *("--dest", folder, requirement),
            ]
        )
        wheels = list(pathlib.Path(folder).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            reason = children.last_line(done).rstrip(".")
            raise InputError(
                f"pip can't download LiteRT for {machine}: {reason}; "
                "with a network it is fetched once, and kept. "
                f"Received: {requirement!r}"
            )
        with zipfile.ZipFile(wheels[0]) as wheel, files.replacing(path) as temporary:
            temporary.write_bytes(wheel.read(f"ai_edge_litert/{RUNTIME}"))


def _of_compiler(command, name, machine):
    """The library of that name which the compiler links programs with."""
    told = children.finished([command, f"-print-file-name={name}"])
    path = pathlib.Path(told.stdout.strip())
    if not path.is_absolute() or not path.is_file():
        package = _PACKAGES.get(name, "libc6") + building.debian_suffix(machine)
        raise InputError(
            f"The library {name} for {machine} is missing; install Debian's package "
            f"{package}. Received: {command!r}"
        )
    return path.resolve()


def measured(found):
    """What a result has of the JSON that the runner in C prints."""
    times = ("init_ns", "first_ns", "warmup_ns", "latency_ns", "memory")
    version = importlib.metadata.version("ai-edge-litert")
    return {
        **{key: found[key] for key in times},
        "operators": {"partitions": None, "undelegated": None},
        "runtime": {"name": "ai-edge-litert", "version": version, "runner": "lrbench"},
    }
