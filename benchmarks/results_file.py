"""Result files, as `keras-effnet benchmark --output` writes them, read and checked."""

import dataclasses
import pathlib
import sys

from keras_effnet import files
from keras_effnet.benchmarks import schema
from keras_effnet.errors import InputError

_FIELDS = [field.name for field in dataclasses.fields(schema.BenchmarkResult)]
# What a page shows where there is any.
_TEXTS = (
    *(("device", key) for key in ("cpu", "machine", "os", "governor")),
    *(("runtime", key) for key in ("name", "version")),
    ("options", "delegate"),
    ("model", "path"),
)
_NUMBERS = (
    ("device", "cores"),
    ("operators", "partitions"),
    ("agreement", "largest_steps"),
    ("agreement", "largest_relative_error"),
)
_METRICS = {
    "latency_metrics": schema.LatencyMetrics,
    "memory_metrics": schema.MemoryMetrics,
    "misc_metrics": schema.MiscMetrics,
}
_TYPES = {
    "name": str,
    "target": str,
    "date": str,
    "harness": dict,
    "model": dict,
    "options": dict,
    "runtime": dict,
    "device": dict,
    "operators": dict,
    "warnings": list,
    "rounds": list,
}
# Written by some targets and commands only; see docs/benchmarking.md.
_OPTIONAL = {"agreement": dict, "accuracy": dict, "profile": list, "sustained": list}


def read_all(paths):
    """Reads result files, and of folders every .json file directly in them that holds a
    list; others are other things' files.

    Gives dicts, as `BenchmarkResult.to_dict` makes them, in the order of the files,
    each with its file's path in `source` besides. Raises where a file is damaged, holds
    no results or those of another schema version, or a folder has none."""
    results, seen = [], set()
    for path in map(pathlib.Path, paths):
        for file in _files(path):
            if file.resolve() in seen:
                continue
            seen.add(file.resolve())
            content = read_json(file)
            if not path.is_dir() or isinstance(content, list):
                results += _checked(content, file)
        if path.is_dir() and not any(_inside(result, path) for result in results):
            raise InputError(
                "The folder has no result files of `keras-effnet benchmark --output`. "
                f"Received: {str(path)!r}"
            )
    return results


def read(path):
    """Reads one result file; see `read_all`."""
    return _checked(read_json(path), path)


def read_json(path):
    """Reads any JSON file; NaN and infinity, which are no JSON, are refused."""
    with files.told("The file can't be read", path):
        try:
            data = files.read_bytes(path, files.JSON_LIMIT)
            return files.parse_json(data, parse_constant=_refuse)
        except ValueError as error:
            raise InputError(
                f"The file is no JSON, or was cut short ({error}). "
                f"Received: {str(path)!r}"
            ) from error


def _files(path):
    with files.told("The folder can't be read", path):
        return sorted(path.glob("*.json")) if path.is_dir() else [path]


def _inside(result, folder):
    return pathlib.Path(result["source"]).resolve().parent == folder.resolve()


def _refuse(constant):
    raise ValueError(f"{constant} is no number")


def _checked(content, path):
    if not isinstance(content, list):
        raise InputError(
            "A result file holds a list, as `keras-effnet benchmark --output` writes "
            f"it. Received: {str(path)!r}, which holds {_kind(content)}"
        )
    if not content:
        raise InputError(
            "The result file holds an empty list: nothing was measured. "
            f"Received: {str(path)!r}"
        )
    for number, result in enumerate(content):
        _check_version(result, path)
        if wrong := _wrong(result):
            raise InputError(
                f"The result file is damaged: {wrong} of result {number + 1}; measure "
                f"again. Received: {str(path)!r}"
            )
    return [{**result, "source": str(path)} for result in content]


def _kind(content):
    names = {dict: "an object", str: "a string", type(None): "null"}
    return names.get(type(content), "a single value")


def _check_version(result, path):
    version = result.get("schema_version") if isinstance(result, dict) else None
    if version is None:
        raise InputError(
            "The file holds no results of `keras-effnet benchmark --output`: "
            f"`schema_version` is missing. Received: {str(path)!r}"
        )
    if version != schema.SCHEMA_VERSION:
        raise InputError(
            f"The results have schema version {version!r}, and this package reads "
            f"version {schema.SCHEMA_VERSION}; measure again with `keras-effnet "
            f"benchmark`. Received: {str(path)!r}"
        )


def _wrong(result):
    """What is damaged, in words; `None` for a whole result."""
    for name in _FIELDS:
        if name not in result:
            return f"`{name}` is missing"
    for name, kind in _TYPES.items():
        if not isinstance(result[name], kind):
            return f"`{name}` is {result[name]!r:.40}"
    for name, kind in _OPTIONAL.items():
        if not isinstance(result.get(name), kind | None):
            return f"`{name}` is {result[name]!r:.40}"
    for name, metrics in _METRICS.items():
        for field in dataclasses.fields(metrics):
            if not isinstance(result[name], dict) or field.name not in result[name]:
                return f"`{name}.{field.name}` is missing"
            value = _value(result[name], field.name)
            if value is not None and not _number(value):
                return f"`{name}.{field.name}` is {value!r:.40}"
    if not _number(_value(result["latency_metrics"], "median_ms"), above=0):
        return "`latency_metrics.median_ms`"
    for name, key, kind in (
        ("model", "sha256", str),
        ("model", "bytes", int),
        ("options", "threads", int),
        ("harness", "name", str),
        ("harness", "version", str),
    ):
        if not isinstance(result[name].get(key), kind):
            return f"`{name}.{key}` is {result[name].get(key)!r:.40}"
    for name, key in _TEXTS:
        if not isinstance(value := result[name].get(key), str | None):
            return f"`{name}.{key}` is {value!r:.40}"
    for name, key in _NUMBERS:
        value = _value(result[name], key)
        if value is not None and not _number(value):
            return f"`{name}.{key}` is {value!r:.40}"
    if not isinstance(result["instructions"], int | None):
        return f"`instructions` is {result['instructions']!r:.40}"
    if not all(isinstance(text, str) for text in result["warnings"]):
        return "`warnings`"
    return _wrong_rounds(result["rounds"]) or _wrong_optional(result)


def _wrong_rounds(rounds):
    for part in rounds:
        times = _value(part, "latency_ns")
        if not isinstance(times, list) or not times:
            return "a round has no `latency_ns`; it"
        if not all(_number(time, above=0) for time in times):
            return "`latency_ns` of a round"
    return None if rounds else "`rounds` is empty; it"


def _wrong_optional(result):
    found = result.get("accuracy") or {}
    for key in ("top1", "agreement", "agreement_with_float"):
        value = found.get(key)
        if value is not None and not (_number(value) and 0 <= value <= 1):
            return f"`accuracy.{key}` is {value!r:.40}"
    for row in result.get("profile") or []:
        if not isinstance(_value(row, "operator"), str):
            return "`profile`"
        layers = row.get("layers", {})
        if not isinstance(layers, dict):
            return "`profile`"
        values = [row.get(key, 0) for key in ("share", "ms", "count")]
        if not all(map(_number, (*values, *layers.values()))):
            return "`profile`"
    for minute in result.get("sustained") or []:
        median = minute.get("median_ms") if isinstance(minute, dict) else minute
        if not _number(median, above=0):
            return "`sustained`"
    return None


def _value(mapping, key):
    return mapping.get(key) if isinstance(mapping, dict) else None


def _number(value, above=float("-inf")):
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return real and above < value <= sys.float_info.max
