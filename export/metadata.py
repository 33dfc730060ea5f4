"""Metadata for a .tflite file; `keras_effnet.tflite_metadata` knows its format."""

import io
import math
import zipfile
from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np

from keras_effnet.class_names import check_names
from keras_effnet.errors import InputError
from keras_effnet.errors import explained
from keras_effnet.export import flatbuffer
from keras_effnet.tflite_metadata import ENTRY
from keras_effnet.tflite_metadata import IDENTIFIER
from keras_effnet.tflite_metadata import SCALARS
from keras_effnet.tflite_metadata import TABLES
from keras_effnet.tflite_metadata import TENSOR_AXIS_LABELS
from keras_effnet.tflite_metadata import read_metadata
from keras_effnet.tflite_metadata import read_model

__all__ = ["read_metadata", "with_metadata"]

LABELS = "labels.txt"

# The history in metadata_schema.fbs: none of the fields in use came later.
_MIN_PARSER_VERSION = "1.0.0"
_COLOR_SPACES = {3: 1, 1: 2}  # ColorSpaceType: channels -> RGB, GRAYSCALE
# The values of an integer tensor.
_INTEGERS = {
    flatbuffer.TENSOR_TYPES[name]: (np.iinfo(name).min, np.iinfo(name).max)
    for name in ("uint8", "int8", "int16")
}


def with_metadata(
    data: bytes,
    *,
    name: str | None,
    description: str | None = None,
    licence: str | None = None,
    author: str | None = None,
    version: str | None = None,
    mean: Sequence[float] = (0.0,),
    std: Sequence[float] = (1.0,),
    class_names: Sequence[str] | None = None,
) -> bytes:
    """Adds metadata to a .tflite image classifier.

    The file, of one input, `(batch, height, width, channels)`, and one output, `(batch,
    classes)`, computes what it did, and keeps the entries that the converter made.
    Metadata that it already has is replaced, and so is a zip after its end.

    Readers normalise pixels, 0-255 RGB, by `(pixel - mean) / std`, then quantise for an
    integer input; both have one value or one per channel, but MediaPipe takes only
    equal ones. A file that holds its preprocessing takes the defaults. MediaPipe Tasks
    and Task Library give a uint8 input the pixels as they are and refuse an int8 input
    or output.

    An `InputError` where this is no such file, or has weights outside of its
    flatbuffer, as files over 2 GB do; `mean` and `std` do not fit; or the names, in the
    order of the outputs, are not as many as the classes, or not lines of text.
    """
    data = bytes(data)
    buffers = read_model(data, "bytes")["buffers"]
    if any((buffer["offset"] or 0) > 1 for buffer in buffers or []):
        raise InputError(
            "Metadata needs a .tflite file below 2 GB, with its weights inside of the "
            f"flatbuffer. Received: {len(data)} bytes"
        )
    with explained("The .tflite file is damaged: {}.", "bytes"):
        model = flatbuffer.unpack(data)
        inputs, outputs = _tensors(model)
    _check_normalisation(mean, std, inputs.shape[-1])
    if class_names is not None:
        _check_names(class_names, outputs.shape[-1])
    fields = {
        "name": name,
        "description": description,
        "version": version,
        "author": author,
        "license": licence,
        "min_parser_version": _MIN_PARSER_VERSION,
        "subgraph_metadata": [
            {
                "input_tensor_metadata": [_image(inputs, mean, std)],
                "output_tensor_metadata": [_probability(outputs, class_names)],
            }
        ],
    }
    builder = flatbuffers.Builder(1024)
    root = _write(builder, "ModelMetadata", fields)
    builder.Finish(root, IDENTIFIER)
    file = io.BytesIO()
    with explained("The .tflite file is damaged: {}.", "bytes"):
        _set_entry(model, builder.Output())
        file.write(flatbuffer.pack(model))
    if class_names is not None:
        with zipfile.ZipFile(file, "w") as archive:
            # A fixed date and no compression: the same bytes each time, and the
            # readers take the text from where it lies.
            text = "".join(f"{line}\n" for line in class_names)
            archive.writestr(zipfile.ZipInfo(LABELS), text)
    return file.getvalue()


def _tensors(model: Any) -> tuple:
    try:
        graph = flatbuffer.graph(model)
        (inputs,) = (graph.tensors[index] for index in graph.inputs)
        (outputs,) = (graph.tensors[index] for index in graph.outputs)
        _, _, _, _ = inputs.shape
        _, _ = outputs.shape
    except (ValueError, TypeError) as error:
        raise InputError(
            "Metadata describes an image classifier: a file of one graph with one "
            "input, (batch, height, width, channels), and one output, (batch, "
            "classes). Received: another .tflite file"
        ) from error
    return inputs, outputs


def _check_normalisation(
    mean: Sequence[float], std: Sequence[float], channels: int
) -> None:
    fits = len(mean) == len(std) and len(mean) in (1, channels)
    if not fits or not all(map(math.isfinite, (*mean, *std))) or min(std) <= 0:
        raise InputError(
            "`mean` and `std` must have one value each, or one per channel "
            f"({channels}), and `std` only positive ones. "
            f"Received: mean={mean!r}, std={std!r}"
        )


def _check_names(class_names: Sequence[str], classes: int) -> None:
    check_names(class_names, classes)
    for name in class_names:
        if not isinstance(name, str) or name.splitlines() != [name]:
            raise InputError(
                "The name of a class must be one line of text, as the labels are one "
                f"to a line. Received: {name!r}"
            )


def _image(tensor: Any, mean: Sequence[float], std: Sequence[float]) -> dict:
    _, height, width, channels = tensor.shape
    low, high = (
        [(pixel - m) / s for m, s in zip(mean, std, strict=True)] for pixel in (0, 255)
    )
    if tensor.type in _INTEGERS:
        low, high = ([limit] for limit in _INTEGERS[tensor.type])
    color_space = _COLOR_SPACES.get(int(channels), 0)
    return {
        "name": "image",
        "description": f"The image to classify, {height} by {width} pixels.",
        "content": {
            "content_properties": {"ImageProperties": {"color_space": color_space}}
        },
        "process_units": [
            {"options": {"NormalizationOptions": {"mean": mean, "std": std}}}
        ],
        "stats": {"min": low, "max": high},
    }


def _probability(tensor: Any, class_names: Sequence[str] | None) -> dict:
    low, high = _INTEGERS.get(tensor.type, (0.0, 1.0))
    labels = {
        "name": LABELS,
        "description": "The names of the classes, one to a line.",
        "type": TENSOR_AXIS_LABELS,
    }
    return {
        "name": "probability",
        "description": "The probability of each class.",
        "content": {"content_properties": {"FeatureProperties": {}}},
        "stats": {"min": [low], "max": [high]},
        "associated_files": None if class_names is None else [labels],
    }


def _set_entry(model: Any, metadata: bytes) -> None:
    """Puts the metadata among the buffers of a `ModelT`, in place of an old one."""
    model.metadata = model.metadata or []
    old = [entry for entry in model.metadata if entry.name == ENTRY.encode()]
    if not old:
        old = [flatbuffer.schema.MetadataT(name=ENTRY, buffer=len(model.buffers))]
        model.metadata += old
        model.buffers.append(flatbuffer.schema.BufferT())
    model.buffers[old[0].buffer].data = np.frombuffer(metadata, np.uint8)


def _write(builder: flatbuffers.Builder, table: str, fields: dict[str, Any]) -> int:
    """Writes a table of the metadata, a dict as `read_table` gives it."""
    slots = []
    for field, kind in TABLES[table].items():
        value = fields.get(field)
        if isinstance(kind, tuple):
            member, content = next(iter(value.items())) if value else (None, None)
            slots.append(("byte", kind.index(member) + 1 if value else None))
            kind, value = member, content
        if value is not None and kind not in SCALARS:
            value = _write_value(builder, kind, value)
        slots.append((kind, value))
    builder.StartObject(len(slots))
    for slot, (kind, value) in enumerate(slots):
        if value is None:
            continue
        if kind == "byte":
            builder.PrependInt8Slot(slot, value, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, value, 0)
    return builder.EndObject()


def _write_value(builder: flatbuffers.Builder, kind: str, value: Any) -> int:
    if kind == "string":
        return builder.CreateString(value)
    if kind[0] == "[":
        return _write_vector(builder, kind[1:-1], value)
    return _write(builder, kind, value)


def _write_vector(builder: flatbuffers.Builder, kind: str, values: Sequence) -> int:
    prepend = builder.PrependFloat32
    if kind != "float":
        values = [_write_value(builder, kind, value) for value in values]
        prepend = builder.PrependUOffsetTRelative
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        prepend(value)
    return builder.EndVector()
