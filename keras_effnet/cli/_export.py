"""What the commands that write .tflite files have in common."""

import hashlib
import pathlib
import shlex

from keras_effnet.cli import _model
from keras_effnet.cli import _photos
from keras_effnet.errors import InputError


def add_calibration(parser, images, purpose=""):
    """Adds the arguments that name photographs to calibrate with."""
    parser.add_argument(
        "--calibrate",
        nargs="+",
        metavar="PHOTOS",
        help=f"{purpose}photographs or folders that resemble those of later use",
    )
    parser.add_argument(
        "--calibration-images",
        type=int,
        default=images,
        metavar="N",
        help=f"use N of them, evenly spread (default: {images})",
    )


def add_judging(parser, compared="compared there with the Keras model"):
    """Adds the arguments that name photographs to judge by, and the limit."""
    parser.add_argument(
        "--evaluate",
        metavar="PHOTOS",
        help="a folder of one folder per class, a list, CSV or JSON Lines, with "
        "file and label or class_index, a folder of photographs without classes, or "
        f"that of a run, for those that it held out: each file is {compared}",
    )
    parser.add_argument(
        "--max-drop",
        type=float,
        metavar="POINTS",
        help="percentage points of accuracy that a file may lose; needs classes",
    )
    _photos.add_on_broken(parser)
    _photos.add_all_images(parser)


def add_files(parser, input_type, **output):
    """Adds the arguments that say what the files are and where they go."""
    parser.add_argument("--input-type", metavar="TYPE", help=input_type)
    parser.add_argument(
        "--name", help="of the files (default: the model file's, or the network's)"
    )
    parser.add_argument("--output", metavar="FOLDER", **output)


def settings(args):
    """How to make the files again, for their sheets, and by what to know the model.

    That is a digest: a sheet is published, and a path may tell of its owner.
    """
    source = [args.model, args.weights or ""]
    if _model.is_file(args.model):
        source[0] = str(pathlib.Path(args.model).resolve())
    digest = hashlib.sha256("\n".join(source).encode()).hexdigest()
    return {"command": shlex.join(["keras-effnet", *args.argv]), "source": digest}


def refuse_over_limit(exported, max_drop):
    """Raises an `InputError` for files that lost more than they might."""
    over = [file for file in exported if file.over_limit]
    if over:
        lost = ", ".join(
            f"{file.path} ({file.sheet.evaluation.drop:.2f})" for file in over
        )
        raise InputError(
            f"More than --max-drop {max_drop:g} percentage points were lost; kept "
            f"under another name. Received: {lost}"
        )
