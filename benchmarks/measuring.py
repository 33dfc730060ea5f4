"""Measures .tflite files in interleaved rounds, on any target."""

import datetime
import os
import pathlib
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_effnet import __version__
from keras_effnet import files
from keras_effnet.benchmarks import outputs
from keras_effnet.benchmarks import schema
from keras_effnet.benchmarks.journal import Journal
from keras_effnet.benchmarks.significance import rounds_needed
from keras_effnet.benchmarks.targets.host import Host
from keras_effnet.benchmarks.targets.target import Target
from keras_effnet.errors import InputError
from keras_effnet.errors import check_number
from keras_effnet.tflite import check_file

_NOISY = 1.3
# The runtime dies of a signal where the system refuses it a thread.
_MAX_THREADS = 256


def benchmark(path: str | os.PathLike, **options: Any) -> schema.BenchmarkResult:
    """Measures one .tflite file in one round; see `benchmark_many`.

    Args:
        path: The .tflite file.
        **options: Of `benchmark_many`, but for `rounds`.

    Raises:
        InputError: The file can't be read or run, or an option is impossible.
    """
    return benchmark_many([path], rounds=1, **options)[0]


def benchmark_many(
    paths: Sequence[str | os.PathLike],
    *,
    target: Target | None = None,
    rounds: int = rounds_needed(),
    threads: int = 1,
    min_runs: int = 50,
    min_seconds: float = 1.0,
    warmup_runs: int = 5,
    warmup_seconds: float = 0.5,
    max_seconds: float = 150.0,
    cool_down_seconds: float = 0.0,
    xnnpack: bool = True,
    weight_cache: bool = False,
    journal: Journal | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[schema.BenchmarkResult]:
    """Measures .tflite files in interleaved rounds, so that they compare fairly.

    A machine's speed drifts. In every round each file is run once, in a fresh
    process, and the order is rotated from round to round, so that the drift
    falls on all of them. The rounds share the runs and the seconds.

    Args:
        paths: The .tflite files.
        target: Where they are measured: of `keras_effnet.benchmarks.targets`; this
            machine when `None`.
        rounds: How many processes measure each file; by default the fewest by which
            two files can be told apart.
        threads: Of the interpreter; at most 256.
        min_runs: At least so many timed runs of each file, and
        min_seconds: at least so many seconds of them.
        warmup_runs: At least so many runs, after the first, ahead of the
            timed ones in every round, and
        warmup_seconds: at least so many seconds of them.
        max_seconds: The timed runs of a file end after so many seconds, even
            with fewer than `min_runs`; its warm-ups end likewise. At least
            `min_seconds`.
        cool_down_seconds: Nothing is run for so long between two processes.
        xnnpack: Whether the XNNPACK delegate is used, as it is by default.
        weight_cache: Whether XNNPACK finds the weights that it packed before in a
            file; on this machine, and it needs a compiler.
        journal: Of rounds that are measured already, which are not measured again.
        progress: Called with a line of text before each process starts.

    Returns:
        A result for each path, in the order given.

    Raises:
        InputError: A file can't be read or run, or an option is impossible.
        TargetLost: The target went away.
    """
    target = target or Host()
    # One process counts an emulated core's instructions to the last.
    rounds = min(rounds, target.most_rounds or rounds)
    if isinstance(paths, str | os.PathLike):
        raise InputError(f"`paths` must be a list of paths. Received: paths={paths!r}")
    _check_integers(1, rounds=rounds, threads=threads, min_runs=min_runs)
    _check_integers(0, warmup_runs=warmup_runs)
    if threads > _MAX_THREADS:
        raise InputError(
            f"`threads` must be at most {_MAX_THREADS}. Received: threads={threads!r}"
        )
    _check_seconds(
        min_seconds=min_seconds,
        warmup_seconds=warmup_seconds,
        max_seconds=max_seconds,
        cool_down_seconds=cool_down_seconds,
    )
    if max_seconds < min_seconds:
        raise InputError(
            "`max_seconds` must be at least `min_seconds`. Received: "
            f"max_seconds={max_seconds!r}, min_seconds={min_seconds!r}"
        )
    if weight_cache:
        check_weight_cache(target.name, xnnpack)
    models = [_read_model(path) for path in paths]
    options = {
        "threads": threads,
        "delegate": "xnnpack" if xnnpack else None,
        "rounds": rounds,
        "min_runs": min_runs,
        "min_seconds": min_seconds,
        "warmup_runs": warmup_runs,
        "warmup_seconds": warmup_seconds,
        "max_seconds": max_seconds,
        "cool_down_seconds": cool_down_seconds,
        "weight_cache": bool(weight_cache),
    }
    request = {
        "threads": threads,
        "xnnpack": bool(xnnpack),
        "weight_cache": bool(weight_cache),
        "min_runs": -(-min_runs // rounds),
        "min_seconds": min_seconds / rounds,
        "warmup_runs": warmup_runs,
        "warmup_seconds": warmup_seconds,
        "max_seconds": max_seconds / rounds,
    }
    measured: list[list[dict]] = [[] for _ in models]
    indices = list(range(len(models)))
    warm = False
    for number in range(rounds):
        for index in np.roll(indices, -number).tolist():
            model = models[index]
            key = [model["sha256"], target.name, options, number]
            answer = journal and journal.get(key)
            if not answer:
                if progress:
                    progress(f"{model['path']}: round {number + 1} of {rounds}")
                if warm:
                    time.sleep(cool_down_seconds)
                answer, warm = target.measure(model["path"], request), True
                if journal:
                    journal.put(key, answer)
            measured[index].append(answer)
    return [
        _merge(name, model, target, options, parts)
        for name, model, parts in zip(_names(models), models, measured, strict=True)
    ]


def check_weight_cache(target: str, xnnpack: bool) -> None:
    """Raises an `InputError` unless weights can be cached on the target of a name."""
    if not (xnnpack and target == Host.name):
        raise InputError(
            "`weight_cache` is XNNPACK's, on this machine. "
            f"Received: target={target!r}, xnnpack={xnnpack!r}"
        )


def _check_integers(lowest: int, **values: int) -> None:
    for name, value in values.items():
        valid = f"an integer from {lowest} up"
        check_number(name, value, valid, lambda number: number >= lowest, whole=True)


def _check_seconds(**values: float) -> None:
    for name, value in values.items():
        check_number(
            name, value, "a number from 0 up", lambda number: 0 <= number < float("inf")
        )


def _read_model(path: str | os.PathLike) -> dict[str, Any]:
    with files.told("The model can't be read", path):
        file = check_file(path)
        digest = files.checksum(file)
    return {"path": str(file), "sha256": digest, "bytes": file.stat().st_size}


def _names(models: list[dict]) -> list[str]:
    """The files' names, with folders where files of one name are told apart by them."""
    paths = [pathlib.Path(model["path"]).resolve().with_suffix("") for model in models]
    names: list[str] = []
    for depth in range(1, 1 + max((len(path.parts) for path in paths), default=0)):
        names = [pathlib.Path(*path.parts[-depth:]).as_posix() for path in paths]
        if len(set(names)) == len(set(paths)):
            break
    return names


def _merge(
    name: str, model: dict, target: Target, options: dict, parts: list[dict]
) -> schema.BenchmarkResult:
    latency_ns = [time for part in parts for time in part["latency_ns"]]
    warmup_ns = [time for part in parts for time in part["warmup_ns"]]
    latency = _latency(parts, latency_ns, warmup_ns)
    num_runs = sum(part.get("num_runs", len(part["latency_ns"])) for part in parts)
    off = None
    if target.name != Host.name:
        off = outputs.difference_from_host(model["path"], parts[0])
    return schema.BenchmarkResult(
        schema_version=schema.SCHEMA_VERSION,
        name=name,
        target=target.name,
        harness={"name": "keras_effnet.benchmarks", "version": __version__},
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        model=model,
        options=options,
        runtime=parts[0]["runtime"],
        device=parts[0]["device"],
        latency_metrics=latency,
        memory_metrics=schema.MemoryMetrics(
            **{key: _largest(parts, key) for key in parts[0]["memory"]}
        ),
        misc_metrics=schema.MiscMetrics(
            model_size_mb=model["bytes"] / 1e6,
            num_runs=num_runs,
            num_warmup_runs=sum(
                part.get("num_warmup_runs", len(part["warmup_ns"])) for part in parts
            ),
        ),
        operators=parts[0]["operators"],
        inputs=parts[0]["inputs"],
        outputs=parts[0]["outputs"],
        output_sha256=parts[0]["output_sha256"],
        instructions=parts[0].get("instructions"),
        agreement=off,
        warnings=tuple(_warnings(options, parts, latency, num_runs, off)),
        rounds=tuple(
            schema.Round(
                init_ns=part["init_ns"],
                first_ns=part["first_ns"],
                warmup_ns=tuple(part["warmup_ns"]),
                latency_ns=tuple(part["latency_ns"]),
            )
            for part in parts
        ),
    )


def _latency(
    parts: list[dict], latency_ns: list[int], warmup_ns: list[int]
) -> schema.LatencyMetrics:
    if "latency_metrics" in parts[0]:
        # A program that keeps no times of its runs: the middle of its own figures.
        found = [part["latency_metrics"] for part in parts]
        return schema.LatencyMetrics(
            **{key: _median([each[key] for each in found]) for key in found[0]}
        )
    return schema.LatencyMetrics(
        **schema.summarize(latency_ns),
        init_ms=_median_ms(parts, "init_ns"),
        first_inference_ms=_median_ms(parts, "first_ns"),
        average_warm_up_ms=float(np.mean(warmup_ns)) / 1e6 if warmup_ns else None,
    )


def _median(values: list) -> Any:
    return None if None in values else float(np.median(values))


def _median_ms(parts: list[dict], key: str) -> float:
    return float(np.median([part[key] for part in parts])) / 1e6


def _largest(parts: list[dict], key: str) -> Any:
    values = [part["memory"][key] for part in parts]
    return None if None in values else max(values)


def _warnings(
    options: dict,
    parts: list[dict],
    latency: schema.LatencyMetrics,
    num_runs: int,
    off: dict | None,
) -> Iterator[str]:
    """What a reader should know before trusting or comparing the numbers."""
    noise = (latency.p90_ms or latency.p95_ms) / latency.median_ms
    emulated = parts[0]["device"].get("emulated")
    if noise > _NOISY and not emulated:
        yield (
            f"Noisy: the 90th percentile is {noise:.2f} times the median; close other "
            "programs and measure again"
        )
    if num_runs < options["min_runs"] and not emulated:
        yield (
            f"Stopped after {options['max_seconds']:g} seconds with {num_runs} of "
            f"{options['min_runs']} runs"
        )
    cores = parts[0]["device"]["cores"]
    if options["threads"] > cores:
        yield f"{options['threads']} threads share {cores} cores"
    if any(-1 in tensor["shape_signature"] for tensor in parts[0]["inputs"]):
        yield "The batch is open and measured at 1; a fixed one can be faster"
    if len({part["output_sha256"] for part in parts}) > 1:
        yield "The outputs differ between rounds on the same input"
    if far := off and outputs.too_far(off):
        yield f"The outputs are not this machine's: off by {far}"
