"""write a model as .tflite files, with their numbers beside them

keras-effnet export EfficientNetLite0 --weights imagenet --output out
keras-effnet export model.keras --precision float32,int8 --calibrate photos/
"""

import pathlib
import sys

from keras_effnet.cli import _model
from keras_effnet.errors import InputError
from keras_effnet.quiet import import_keras


def add_arguments(parser):
    parser.add_argument("model", help="a .keras file, or a network's name")
    _model.add_weights(parser)
    parser.add_argument(
        "--precision",
        default="float32",
        help="float32, int8, or both with a comma (default: float32)",
    )
    parser.add_argument(
        "--calibrate",
        nargs="+",
        metavar="PHOTOS",
        help="for int8: photographs or folders that resemble those of later use",
    )
    parser.add_argument(
        "--calibration-images",
        type=int,
        default=200,
        metavar="N",
        help="use N of them, evenly spread (default: 200)",
    )
    parser.add_argument(
        "--output", default=".", metavar="FOLDER", help="default: this folder"
    )


def run(args):
    precisions = [name.strip() for name in args.precision.split(",")]
    photos = _calibration_photos(args, precisions)
    model = _load(args)

    from keras_effnet.export import export

    exported = export(model, args.output, precisions, _calibration(model, photos))
    for file in exported:
        numbers = file.numbers
        seconds = numbers["trace_seconds"] + numbers["convert_seconds"]
        print(
            f"{file.path}  {numbers['bytes'] / 1e6:.1f} MB  "
            f"{sum(numbers['operators'].values())} operators, "
            f"{sum(numbers['float_operators'].values())} in float  {seconds:.1f} s"
        )


def _calibration_photos(args, precisions):
    from keras_effnet.data.photos import find_photos
    from keras_effnet.data.photos import read_photo

    if "int8" not in precisions:
        return None
    if not args.calibrate:
        raise InputError(
            "int8 needs photographs to find the ranges of the activations. "
            "Received: --precision int8 without --calibrate"
        )
    if args.calibration_images < 1:
        raise InputError(
            "--calibration-images must be at least 1. "
            f"Received: {args.calibration_images}"
        )
    found = find_photos(args.calibrate)
    step = max(1, len(found) / args.calibration_images)
    chosen = [found[int(i * step)] for i in range(int(len(found) / step))]
    for photo in chosen:
        # A damaged one is better found now than in the middle of a conversion.
        read_photo(photo)
    return chosen


def _calibration(model, photos):
    from keras_effnet.data.photos import batches
    from keras_effnet.evaluation import load_classifier

    if photos is None:
        return None
    classifier = load_classifier(model)
    shape, rule = classifier.input_shape, classifier.preprocessing
    return lambda: batches(photos, shape, rule, batch_size=1)


def _load(args):
    if not _model.is_file(args.model):
        spec = _model.find_spec(args.model)
        if not args.weights:
            print(
                "keras-effnet: note: no --weights, the network is random",
                file=sys.stderr,
            )
        return _model.build(spec, args)
    if pathlib.Path(args.model).suffix != ".keras":
        raise InputError(f"Export starts from a .keras file. Received: {args.model!r}")
    _model.refuse_weights(args)
    import_keras()
    from keras_effnet.saving import load_model

    return load_model(args.model)
