"""Files by threads by targets: what `keras-effnet benchmark` measures, in one call."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

from keras_effnet import files as writing
from keras_effnet.benchmarks import outputs
from keras_effnet.benchmarks import sustained as sustaining
from keras_effnet.benchmarks.journal import Journal
from keras_effnet.benchmarks.measuring import benchmark_many
from keras_effnet.benchmarks.measuring import check_weight_cache
from keras_effnet.benchmarks.schema import BenchmarkResult
from keras_effnet.benchmarks.targets import open_target
from keras_effnet.benchmarks.targets import target_class
from keras_effnet.errors import InputError
from keras_effnet.errors import check_one_of
from keras_effnet.tflite import check_file

# Of `benchmark_many`; quick and full are MLPerf Mobile's.
SETTINGS = {
    "standard": {
        "min_runs": 50,
        "min_seconds": 1.0,
        "max_seconds": 150.0,
        "cool_down_seconds": 0.0,
    },
    "quick": {"min_runs": 128, "min_seconds": 10.0, "cool_down_seconds": 60.0},
    "full": {
        "min_runs": 1024,
        "min_seconds": 60.0,
        "max_seconds": 600.0,
        "cool_down_seconds": 300.0,
    },
}
_PROFILE = {
    "min_runs": 20,
    "min_seconds": 1.0,
    "warmup_runs": 5,
    "warmup_seconds": 0.5,
    "max_seconds": 60.0,
}


def measure(
    files: Sequence[str | os.PathLike],
    targets: Sequence[str] = ("host",),
    *,
    threads: Sequence[int] = (1,),
    settings: str = "standard",
    profile: bool = False,
    evaluate: str | os.PathLike | None = None,
    on_broken: str = "skip",
    all_images: bool = False,
    sustained: int | None = None,
    output: str | os.PathLike | None = None,
    cores: Sequence[int] | None = None,
    ssh_options: Sequence[str] = (),
    benchmark_model: str | os.PathLike | None = None,
    address: tuple[str, int] = ("127.0.0.1", 0),
    accelerator: str = "wasm",
    progress: Callable[[str], None] | None = None,
    **options: Any,
) -> list[BenchmarkResult]:
    """Measures files on targets, with all that can be asked for beside the times.

    Args:
        files: Paths of .tflite files; on each target they are measured in
            interleaved rounds.
        targets: Names: `"host"`, `"adb"`, `"adb:SERIAL"`, `"ssh:USER@HOST[:PORT]"`,
            `"arm:CORE"`, `"browser"`.
        threads: Numbers of the interpreter's threads, each measured by itself. Those
            that are too many for a target are left out, unless all are.
        settings: A key of `SETTINGS`: how many runs and seconds, and how long the
            pauses are.
        profile: Whether operators are timed too; of host, adb and ssh.
        evaluate: Photographs to run on each target and here: a folder of one folder
            per class, a CSV file with the columns file and class_index, or a folder
            of photographs without classes.
        on_broken: What becomes of photographs that can't be read: `"skip"` leaves them
            out and tells which, `"fail"` ends at them.
        all_images: Whether photographs count that a file's model learned from.
        sustained: Minutes, from 1, for which each file then runs.
        output: Path of a JSON file for the results with all raw times. The same call
            again goes on where this one was stopped.
        cores: Numbers of the cores to run on, of adb and ssh.
        ssh_options: For the program `ssh`.
        benchmark_model: Path of TensorFlow's own program for the device, to be used
            on adb and ssh.
        address: `(host, port)` of this machine where the browser's page is served; 0
            takes any port.
        accelerator: Of the browser: `"wasm"` or `"webgpu"`.
        progress: Called with a line of text before each step.
        **options: Of `benchmark_many`, in place of the settings'.

    Returns:
        The results, by targets, threads and files.

    Raises:
        InputError: A file can't be read or run, a target can't be reached, or an
            option is impossible; what can be refused is refused before a target is
            looked for.
        TargetLost: A target went away.
    """
    options = _options(settings, options)
    tell = progress or (lambda line: None)
    targets = tuple(dict.fromkeys(targets))
    _check(files, targets, profile, sustained, options)
    opened = {}
    if evaluate:
        opened = outputs.photographs(files, evaluate, on_broken, all_images)
    shell = {"cores": cores, "benchmark_model": benchmark_model}
    browser = {"host": address[0], "port": address[1], "accelerator": accelerator}
    arguments: dict[str, dict] = {
        "adb": shell,
        "ssh": shell | {"options": tuple(ssh_options)},
        "browser": browser | {"tell": tell},
    }
    results, journal = [], None
    with contextlib.ExitStack() as stack:
        if output:
            # Opened first: that it can't be written should show before the wait.
            temporary = stack.enter_context(writing.replacing(output))
            options["journal"] = journal = Journal(f"{output}.rounds")
        for name in targets:
            with open_target(name, arguments) as target:
                found = _measured(files, target, threads, options, tell)
                for result in found:
                    extra = _more(result, target, profile, opened, sustained, tell)
                    results.append(dataclasses.replace(result, **extra))
        if output:
            text = json.dumps([result.to_dict() for result in results])
            temporary.write_text(text + "\n", encoding="utf-8")
    if journal:
        journal.remove()
    return results


def _options(settings: str, options: dict[str, Any]) -> dict[str, Any]:
    check_one_of("settings", settings, SETTINGS)
    found = SETTINGS["standard"] | SETTINGS[settings] | options
    if "max_seconds" not in options:
        found["max_seconds"] = max(found["max_seconds"], found["min_seconds"])
    return found


def _check(files, targets, profile, sustained, options):
    """Refuses what can be refused without a target's tools."""
    if isinstance(files, str | os.PathLike):
        raise InputError(f"`files` must be a list of paths. Received: files={files!r}")
    if sustained is not None and sustained < 1:
        raise InputError(f"`sustained` must be at least 1. Received: {sustained!r}")
    for name in targets:
        if profile and not target_class(name).profiles:
            raise InputError(
                f"`profile` is of host, adb and ssh. Received: `targets` {name}"
            )
        if options.get("weight_cache"):
            check_weight_cache(name, options.get("xnnpack", True))
    for path in files:
        check_file(path)


def _measured(files, target, threads, options, tell):
    for path in files:
        target.check(path)
    found = []
    for number in _possible(threads, target, tell):
        found += benchmark_many(
            files,
            target=target,
            threads=number,
            progress=lambda line: tell(f"{target.name}: {line}"),
            **options,
        )
    return found


def _possible(threads, target, tell):
    """Of a matrix the cells that a target has, unless it has none."""
    most = target.most_threads
    if most is None or min(threads) > most:
        return threads
    if left := [number for number in threads if number > most]:
        tell(f"{target.name}: not with {', '.join(map(str, left))} threads")
    return [number for number in threads if number <= most]


def _more(result, target, profile, opened, sustained, tell):
    """What was asked for beside the times, as fields of a result."""
    path, found = result.model["path"], {}
    request = {
        "threads": result.options["threads"],
        "xnnpack": result.options["delegate"] is not None,
    }

    def told(line):
        tell(f"{target.name}: {path}: {line}")

    if profile:
        told("profile")
        found["profile"] = target.profile(path, request | _PROFILE)
    if path in opened:
        found["accuracy"] = outputs.evaluate(path, target, opened[path], told)
    if sustained:
        found["sustained"] = sustaining.sustained(
            path, target, sustained, request, told
        )
    return found
