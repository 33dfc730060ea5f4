"""print a network's table: its stages, and what each costs

  keras-effnet show EfficientNetB0
  keras-effnet show EfficientNetV2S --image-size 300 --layers
  keras-effnet show model.keras --json

The table is read from the built network and numbered as in the papers: V1's from
1, V2's (which has Fused-MBConv) from 0. The resolution is that of the map that
enters a stage. Multiply-adds are for one image, in the papers' convention.
"""

import dataclasses
import json
import pathlib

from keras_effnet.cli import _model
from keras_effnet.errors import InputError
from keras_effnet.quiet import import_keras
from keras_effnet.report.text import format_table
from keras_effnet.report.text import giga
from keras_effnet.specs import get_spec


def add_arguments(parser):
    parser.add_argument("model", help="a network's name, or a .keras file")
    parser.add_argument(
        "--image-size",
        type=int,
        metavar="PIXELS",
        help="height and width of the input (default: the network's own)",
    )
    add_output_arguments(parser)


def add_output_arguments(parser):
    parser.add_argument(
        "--layers", action="store_true", help="every layer, not only the stages"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args):
    size = args.image_size
    if size is not None and size < 1:
        raise InputError(f"--image-size must be at least 1. Received: {size}")
    path = pathlib.Path(args.model)
    if path.suffix == ".keras":
        if not path.is_file():
            raise InputError(f"There is no such file. Received: {args.model!r}")
        import_keras()
        from keras_effnet.analysis import analyze
        from keras_effnet.saving import load_model

        found = analyze(load_model(path), size)
    elif _model.is_file(path):
        raise InputError(
            "`show` reads a .keras file or builds a network by name. "
            f"Received: {args.model!r}"
        )
    else:
        found = analyze_spec(get_spec(args.model), size)
    print_analysis(found, args)


def analyze_spec(spec, image_size=None):
    """The `Analysis` of a network that is built but not filled with weights."""
    import_keras()
    from keras_effnet.analysis import analyze
    from keras_effnet.analysis import build_without_weights

    size = image_size or spec.image_size
    return analyze(build_without_weights(spec, input_shape=(size, size, 3)))


def print_analysis(found, args):
    """Prints an `Analysis` as `add_output_arguments` asks for it."""
    print(_as_json(found, args.layers) if args.json else _report(found, args.layers))


def _as_json(found, with_layers):
    content = dataclasses.asdict(found)
    for number, stage in enumerate(content["stages"], start=_first_number(found)):
        stage["number"] = number
    if not with_layers:
        del content["layers"]
    return json.dumps(content, indent=2)


def _first_number(found):
    # The V2 paper, which brought Fused-MBConv, counts its stages from 0.
    return 0 if any("Fused-" in stage.operator for stage in found.stages) else 1


def _report(found, with_layers):
    inputs = ", ".join(" x ".join(map(str, shape)) for shape in found.input_shapes)
    parts = [f"{found.name}, {inputs}"]
    if found.stages:
        parts.append(_stages(found))
    if with_layers:
        parts.append(_layers(found))
    parts.append(_totals(found))
    return "\n\n".join(parts)


def _stages(found):
    rows = [
        [
            "stage",
            "operator",
            "resolution",
            "channels",
            "layers",
            "parameters",
            "10^9 multiply-adds",
            "name",
        ]
    ]
    rows += [
        [
            str(number),
            stage.operator,
            " x ".join(map(str, stage.resolution)),
            str(stage.channels),
            str(stage.layers),
            f"{stage.parameters:,}",
            giga(stage.multiply_adds),
            stage.name,
        ]
        for number, stage in enumerate(found.stages, start=_first_number(found))
    ]
    return format_table(rows, left=(1, 7))


def _layers(found):
    rows = [["layer", "type", "output", "parameters", "multiply-adds"]]
    rows += [
        [
            layer.name,
            layer.type,
            " x ".join(map(str, layer.output_shape)),
            f"{layer.parameters:,}",
            "unknown" if layer.multiply_adds is None else f"{layer.multiply_adds:,}",
        ]
        for layer in found.layers
    ]
    return format_table(rows, left=(0, 1))


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
