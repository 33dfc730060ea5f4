"""The precisions of a file, and which engine makes each."""

import dataclasses

from keras_effnet.errors import InputError
from keras_effnet.errors import check_one_of

INPUT_TYPES = ("float32", "uint8", "int8")
ENGINES = ("tflite", "litert")


@dataclasses.dataclass(frozen=True)
class Precision:
    """How numbers are stored and computed.

    Attributes:
        text: What it means, in a line.
        calibrated: Whether it needs images to find the ranges of activations.
        engines: Which can make it, the preferred one first.
        input_type: Of the file where the user does not say.
        partitions: How many pieces XNNPACK takes the graph in, where it is known
            to be one; `None` where it depends on the network.
    """

    text: str
    calibrated: bool
    engines: tuple[str, ...]
    input_type: str = "float32"
    partitions: int | None = None


PRECISIONS = {
    "float32": Precision("as trained", False, ("tflite",), partitions=1),
    "float16": Precision(
        "weights in 16 bits, computed in float",
        False,
        ("litert", "tflite"),
        partitions=1,
    ),
    "dynamic": Precision(
        "weights in 8 bits, activations quantised while it runs", False, ENGINES
    ),
    "weight-only": Precision(
        "weights in 8 bits, computed in float", False, ("litert",), partitions=1
    ),
    "int8": Precision(
        "weights and activations in 8 bits", True, ENGINES, "int8", partitions=1
    ),
    "int16x8": Precision("weights in 8 bits, activations in 16", True, ("litert",)),
}


def check_input_type(input_type: str | None) -> None:
    """Raises an `InputError` for an input type that there is not."""
    if input_type is not None:
        check_one_of("input_type", input_type, INPUT_TYPES)


def engine_of(precision: str, engine: str | None = None) -> str:
    """The engine that makes a precision, the preferred one when `None`."""
    able = PRECISIONS[precision].engines
    if engine is not None:
        check_one_of("engine", engine, ENGINES)
    if engine is None or precision == "float32":  # what the others are made of
        return able[0]
    if engine not in able:
        raise InputError(
            f"`engine` for {precision} must be one of {', '.join(able)}. "
            f"Received: {engine!r}"
        )
    return engine
