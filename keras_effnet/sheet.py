"""The sheet of an exported file: what is known of it, in a .json file beside it."""

import dataclasses
import json
import os
import pathlib
import typing

from keras_effnet import files
from keras_effnet import rule
from keras_effnet.paired import Comparison
from keras_effnet.rule import Preprocessing

# 1 had no number of its own, and left out what was not known.
SCHEMA_VERSION = 2
OVER_LIMIT = "over the limit"
WITHIN_LIMIT = "within limit"


@dataclasses.dataclass(frozen=True)
class Tensor:
    """The input or the output of a file.

    Attributes:
        name: `"images"`, `"probabilities"`, or `"outputs"` of a model without a last
            softmax.
        shape: `(batch, height, width, channels)` or `(batch, classes)`; -1 is open.
        dtype: `"float32"`, `"uint8"`, `"int8"` or `"int16"`.
        scale: Of an integer, real value = scale x (stored - zero_point); 0 of a float.
        zero_point: See `scale`.
        pixels: Whether an integer input stores a pixel as it is (int8: minus 128),
            whatever its scale and zero point say beyond that.
    """

    name: str | None = None
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    scale: float | None = None
    zero_point: int | None = None
    pixels: bool | None = None


@dataclasses.dataclass(frozen=True)
class Calibration:
    """By which images the ranges of the activations were found.

    Attributes:
        images: How many.
        method: Such as `"min-max"`.
        sha256: Of all their values, float32, one after the other.
    """

    images: int | None = None
    method: str | None = None
    sha256: str | None = None


class LayerError(typing.TypedDict):
    """How far an operator's output is from the float file's.

    Attributes:
        name: The output tensor's, in the float file.
        operator: Such as `"CONV_2D"`.
        scale: Of the other file's tensor, the real value of one step; `None` where it
            is float.
        rms: Root mean square of the float file's tensor, in its own unit.
        error: Root mean square of the difference, as a multiple of the standard
            deviation of the float file's tensor; `None` where that is constant.
        sqnr: Signal-to-quantisation-noise ratio in dB, the mean square of the float
            file's tensor over that of the difference; `None` where one of them is 0.
        rmse_over_scale: Root mean square of the difference in steps of `scale`, as in
            TensorFlow's guide to its quantization debugger; rounding alone is
            1 / sqrt(12) = 0.29. `None` where the tensor is float.
    """

    name: str
    operator: str
    scale: float | None
    rms: float
    error: float | None
    sqnr: float | None
    rmse_over_scale: float | None


@dataclasses.dataclass(frozen=True)
class Latency:
    """Wall time of one inference on the machine that exported the file.

    Attributes:
        median_ms: Median of all runs, milliseconds.
        p90_ms: The 90th percentile, milliseconds.
        threads: How many LiteRT used.
        runs: How many were measured.
        float_median_ms: Median of the float32 file of the same export, measured in
            turn with this one; `None` where there was none.
        host: The processor's name, or the machine's.
    """

    median_ms: float | None = None
    p90_ms: float | None = None
    threads: int | None = None
    runs: int | None = None
    float_median_ms: float | None = None
    host: str | None = None


@dataclasses.dataclass(frozen=True)
class Sheet:
    """What is known of a .tflite file; `None` is what is not.

    Attributes:
        model: The model's name.
        precision: A key of `keras_effnet.export.PRECISIONS`.
        engine: What converted it, `"tflite"` or `"litert"`.
        file: The file's name.
        bytes: Its size.
        compressed_bytes: Its size as a whole by gzip and zstd.
        sparsity: The share of zeros in its kernels, 0 to 1.
        sha256: Of its bytes.
        batch_size: Images at a time; `None` also where it is open.
        preprocessing: The rule that photographs are prepared by.
        class_names: In the order of the outputs.
        input: Its input.
        output: Its output.
        operators: How many it has of each.
        float_operators: How many of each compute in float.
        partitions: In how many pieces XNNPACK takes the graph.
        outside_xnnpack: How many of each operator are in none of them.
        waste: What keeps the graph from being lean, short texts.
        calibration: By which images it was calibrated.
        made_with: Digests of the photographs that its model learned from, or that it
            was calibrated with, as `keras_effnet.made_with.as_text` writes them.
        levers: What a search changed, in order.
        evaluation: Its answers against the model's on the same images. `agreement`
            there is that of the answers of file and model, not of two machines.
        max_drop: Percentage points of accuracy that it might lose.
        verdict: `"within limit"` or `"over the limit"` of `max_drop`.
        layer_errors: Of each operator, in the order of the float file.
        latency: On the machine that exported it.
        seconds: That each step took.
        training: How it was trained for its file, `Compressed.figures`.
        settings: How to make it again; `command` is the command line.
        versions: Of the libraries that made it.
        schema_version: Of these fields.
    """

    model: str | None = None
    precision: str | None = None
    engine: str | None = None
    file: str | None = None
    bytes: int | None = None
    compressed_bytes: dict[str, int] | None = None
    sparsity: float | None = None
    sha256: str | None = None
    batch_size: int | None = None
    preprocessing: Preprocessing | None = None
    class_names: tuple[str, ...] | None = None
    input: Tensor | None = None
    output: Tensor | None = None
    operators: dict[str, int] | None = None
    float_operators: dict[str, int] | None = None
    partitions: int | None = None
    outside_xnnpack: dict[str, int] | None = None
    waste: tuple[str, ...] | None = None
    calibration: Calibration | None = None
    made_with: str | None = None
    levers: tuple[str, ...] | None = None
    evaluation: Comparison | None = None
    max_drop: float | None = None
    verdict: str | None = None
    layer_errors: tuple[LayerError, ...] | None = None
    latency: Latency | None = None
    seconds: dict[str, float] | None = None
    training: dict | None = None
    settings: dict | None = None
    versions: dict[str, str] | None = None
    schema_version: int = SCHEMA_VERSION

    @property
    def over_limit(self) -> bool:
        """Whether the file lost more accuracy than it might."""
        return self.verdict == OVER_LIMIT

    def to_dict(self) -> dict:
        """The sheet as the plain values that its .json file holds."""
        evaluation = self.evaluation and self.evaluation.as_json()
        plain = dataclasses.asdict(self) | {"evaluation": evaluation}
        # Lists for tuples, and text for what a user's settings may hold.
        return json.loads(json.dumps(plain, default=str))

    @classmethod
    def from_dict(cls, values: dict) -> "Sheet":
        """The reverse of `to_dict`, for sheets of any version.

        What is missing, or no such value, is `None`; what this version doesn't know
        is left out.
        """
        sheet = _part(cls, values) or cls()
        parts = {
            "input": _part(Tensor, sheet.input),
            "output": _part(Tensor, sheet.output),
            "calibration": _part(Calibration, sheet.calibration),
            "evaluation": _part(Comparison, sheet.evaluation),
            "latency": _part(Latency, sheet.latency),
            "preprocessing": _rule(sheet.preprocessing),
            "schema_version": sheet.schema_version or 1,
        }
        names = sheet.class_names
        if not isinstance(names, tuple) or not all(isinstance(n, str) for n in names):
            parts["class_names"] = None
        return dataclasses.replace(sheet, **parts)


def _part(kind: type, values: object) -> typing.Any:
    if not isinstance(values, dict):
        return None
    known = {field.name: values.get(field.name) for field in dataclasses.fields(kind)}
    return kind(
        **{
            name: tuple(value) if isinstance(value, list) else value
            for name, value in known.items()
        }
    )


def _rule(values: object) -> Preprocessing | None:
    try:
        return rule.from_json(values)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def read(path: str | os.PathLike) -> Sheet | None:
    """Reads the sheet beside a .tflite file.

    Args:
        path: Of the .tflite file.

    Returns:
        A `Sheet`, or `None` where there is none, or another .json file.
    """
    values = files.read_json(pathlib.Path(path).with_suffix(".json"))
    return None if values is None else Sheet.from_dict(values)


def write(sheet: Sheet, path: str | os.PathLike) -> None:
    """Writes a sheet beside its .tflite file.

    Args:
        sheet: A `Sheet`.
        path: Of the .tflite file.

    Raises:
        InputError: The .json file can't be written.
    """
    text = json.dumps(sheet.to_dict(), indent=2)
    files.write_text(pathlib.Path(path).with_suffix(".json"), text + "\n")
