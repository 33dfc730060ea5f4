"""print a network's table: its stages, and what each costs

  keras-effnet show EfficientNetB0
  keras-effnet show EfficientNetV2S --image-size 300 --layers
  keras-effnet show model.keras --json

The table is read from the built network and numbered as in the papers: V1's from
1, V2's (which has Fused-MBConv) from 0. The resolution is that of the map that
enters a stage. Multiply-adds are for one image, in the papers' convention.
"""

import pathlib

from keras_effnet.cli import _analysis
from keras_effnet.cli import _model
from keras_effnet.errors import InputError
from keras_effnet.quiet import import_keras
from keras_effnet.specs import get_spec


def add_arguments(parser):
    parser.add_argument("model", help="a network's name, or a .keras file")
    parser.add_argument(
        "--image-size",
        type=int,
        metavar="PIXELS",
        help="height and width of the input (default: the network's own)",
    )
    _analysis.add_output_arguments(parser)


def run(args):
    size = args.image_size
    if size is not None and size < 1:
        raise InputError(f"--image-size must be at least 1. Received: {size}")
    path = pathlib.Path(args.model)
    if path.suffix == ".keras":
        if not path.is_file():
            raise InputError(f"There is no such file. Received: {args.model!r}")
        import_keras()
        from keras_effnet import analysis
        from keras_effnet import saving

        found = analysis.analyze(saving.load_model(path), size)
    elif _model.is_file(path):
        raise InputError(
            "`show` reads a .keras file or builds a network by name. "
            f"Received: {args.model!r}"
        )
    else:
        found = _analysis.of_spec(get_spec(args.model), size)
    _analysis.show(found, args)
