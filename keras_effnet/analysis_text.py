"""The analysis of a network as a person or a program reads it."""

import dataclasses
import itertools

from keras_effnet.analysis import Analysis
from keras_effnet.report.text import format_table
from keras_effnet.report.text import giga
from keras_effnet.report.text import tabulate


def as_json(found: Analysis, layers: bool = False) -> dict:
    """An analysis as plain values, its stages numbered as in the papers."""
    content = dataclasses.asdict(found)
    for number, stage in enumerate(content["stages"], start=_first_number(found)):
        stage["number"] = number
    if not layers:
        del content["layers"]
    return content


def _first_number(found):
    # The V2 paper, which brought Fused-MBConv, counts its stages from 0.
    return 0 if any("Fused-" in stage.operator for stage in found.stages) else 1


def text(found: Analysis, layers: bool = False) -> str:
    """An analysis as tables: its stages, its layers if they are wanted, its sums."""
    inputs = ", ".join(" x ".join(map(str, shape)) for shape in found.input_shapes)
    parts = [f"{found.name}, {inputs}"]
    if found.stages:
        parts.append(_stages(found))
    if layers:
        parts.append(_layers(found))
    parts.append(_totals(found))
    return "\n\n".join(parts)


def _stages(found):
    numbers = itertools.count(_first_number(found))
    columns = {
        "stage": lambda stage: str(next(numbers)),
        "operator": lambda stage: stage.operator,
        "resolution": lambda stage: " x ".join(map(str, stage.resolution)),
        "channels": lambda stage: str(stage.channels),
        "layers": lambda stage: str(stage.layers),
        "parameters": lambda stage: f"{stage.parameters:,}",
        "10^9 multiply-adds": lambda stage: giga(stage.multiply_adds),
        "name": lambda stage: stage.name,
    }
    return tabulate(found.stages, columns, left=(1, 7))


def _layers(found):
    columns = {
        "layer": lambda layer: layer.name,
        "type": lambda layer: layer.type,
        "output": lambda layer: " x ".join(map(str, layer.output_shape)),
        "parameters": lambda layer: f"{layer.parameters:,}",
        "multiply-adds": lambda layer: (
            "unknown" if layer.multiply_adds is None else f"{layer.multiply_adds:,}"
        ),
    }
    return tabulate(found.layers, columns, left=(0, 1))


def _totals(found):
    rows = [
        [
            "parameters",
            f"{found.total_parameters:,}, {found.trainable_parameters:,} trainable",
        ],
        [
            "multiply-adds",
            f"{found.multiply_adds:,}, {giga(found.multiply_adds)} x 10^9",
        ],
        [
            "activations",
            f"{_mebibytes(found.activation_bytes)} in all layers together, "
            f"{_mebibytes(found.peak_bytes)} alive at once at most "
            f"(one image, {found.bytes_per_element} bytes an element)",
        ],
    ]
    if found.not_counted:
        rows.append(["not counted", f"the work of {', '.join(found.not_counted)}"])
    return format_table(rows, left=(0, 1))


def _mebibytes(number):
    return f"{number / 2**20:.1f} MiB"
