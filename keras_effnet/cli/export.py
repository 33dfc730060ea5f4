"""write a model as .tflite files, with their sheets beside them

keras-effnet export EfficientNetLite0 --weights imagenet --output out
keras-effnet export model.keras --precision float32,int8 --calibrate photos/
keras-effnet export model.keras --precision float16,dynamic,int8,int16x8 \\
    --calibrate photos/ --evaluate labelled/ --max-drop 0.5 --samples
keras-effnet export model.keras --precision int8 --input-type uint8 \\
    --calibrate photos/ --samples android-app,ios-app

Each file gets NAME_PRECISION.json and .html beside it: what is in it, what it lost,
how fast it is on this machine. A file that loses more than --max-drop is kept as
NAME_PRECISION-over-limit.tflite, and the exit code is 1.
"""

import argparse
import pathlib

from keras_effnet import files
from keras_effnet.cli import _export
from keras_effnet.cli import _model
from keras_effnet.errors import InputError
from keras_effnet.errors import suggest
from keras_effnet.progress import step
from keras_effnet.quiet import import_keras

FORMATS = ("tflite", "saved_model", "keras", "onnx")
SAMPLES = ("code", "android-app", "ios-app")
_OF_TFLITE = (
    "precision",
    "input-type",
    "engine",
    "calibrate",
    "evaluate",
    "max-drop",
    "samples",
    "description",
    "licence",
    "author",
)


def add_arguments(parser):
    parser.add_argument("model", help="a .keras file, or a network's name")
    _model.add_weights(parser)
    parser.add_argument(
        "--precision",
        help="of float32, float16, dynamic, weight-only, int8, int16x8, with commas "
        "(default: float32)",
    )
    parser.add_argument(
        "--format",
        default="tflite",
        help=f"of {', '.join(FORMATS)}, with commas (default: tflite); saved_model "
        "has a signature for JPEG bytes, onnx needs keras-effnet[onnx]",
    )
    parser.add_argument(
        "--batch-size",
        default="1",
        metavar="N",
        help="images at a time, or `open` (default: 1)",
    )
    parser.add_argument(
        "--engine", help="tflite or litert (default: the better one for each precision)"
    )
    _export.add_calibration(parser, 200, "for int8 and int16x8: ")
    _export.add_judging(parser)
    parser.add_argument(
        "--samples",
        nargs="?",
        const=("code",),
        type=_samples,
        metavar="KINDS",
        help="write for each file, with commas: code, programs in Python, Kotlin, "
        "Swift and C++ (the default); android-app and ios-app, projects for Android "
        "Studio and Xcode with the file in place",
    )
    parser.add_argument(
        "--no-latency", action="store_true", help="don't measure the files' speed here"
    )
    for option in ("description", "licence", "author"):
        parser.add_argument(
            f"--{option}", metavar="TEXT", help="of the model, for the metadata"
        )
    _export.add_files(
        parser,
        "float32, uint8 or int8 (default: int8 for int8, else float32); uint8 is what "
        "MediaPipe and the Task Library take",
        default=".",
        help="default: this folder",
    )


def run(args):
    formats = _formats(args.format)
    if "tflite" not in formats:
        _refuse_options_of_tflite(args)
    precisions = [name.strip() for name in (args.precision or "float32").split(",")]
    batch_size = _batch_size(args.batch_size)
    import_keras()
    from keras_effnet import export

    model = _model.load(args)
    folder, name = pathlib.Path(args.output), args.name or model.name
    exported = []
    if "tflite" in formats:
        exported = export.export(
            model,
            folder,
            precisions,
            args.calibrate,
            args.name,
            input_type=args.input_type,
            batch_size=batch_size,
            engine=args.engine,
            evaluation=args.evaluate,
            max_drop=args.max_drop,
            on_broken=args.on_broken,
            all_images=args.all_images,
            description=args.description,
            licence=args.licence,
            author=args.author,
            settings=_export.settings(args),
            calibration_images=args.calibration_images,
            latency=not args.no_latency,
            samples=args.samples or False,
            progress=step,
        )
        print(export.table(exported))
        for path in [file.path for file in exported] if args.samples else ():
            print(f"{export.samples.folder_of(path)}: {', '.join(args.samples)}")
    if "saved_model" in formats:
        base = folder / f"{name}_saved_model"
        print(export.write_saved_model(model, base, version=None))
    if "keras" in formats:
        path = folder / f"{name}.keras"
        _model.refuse_itself(path, args)
        with files.replacing(path) as temporary:
            model.save(temporary)
        print(path)
    if "onnx" in formats:
        export.write_onnx(model, folder / f"{name}.onnx", batch_size)
        print(folder / f"{name}.onnx")
    _export.refuse_over_limit(exported, args.max_drop)


def _refuse_options_of_tflite(args):
    for option in _OF_TFLITE:
        value = getattr(args, option.replace("-", "_"))
        if value not in (None, False):
            raise InputError(
                f"--{option} is for .tflite files; add tflite to --format. "
                f"Received: --format {args.format}"
            )


def _formats(text):
    formats = [name.strip() for name in text.split(",")]
    for name in formats:
        if name not in FORMATS:
            raise InputError(
                f"--format must be of {', '.join(FORMATS)}. {suggest(name, FORMATS)}"
                f"Received: {name!r}"
            )
    return formats


def _samples(text):
    kinds = [kind.strip() for kind in text.split(",")]
    for kind in kinds:
        if kind not in SAMPLES:  # the model, of `--samples model.keras`
            raise argparse.ArgumentTypeError(
                f"must be of {', '.join(SAMPLES)}, or nothing, after the model. "
                f"Received: {kind!r}"
            )
    return kinds


def _batch_size(text):
    if text == "open":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise InputError(
            f"--batch-size must be a whole number from 1, or `open`. Received: {text!r}"
        )
    return int(text)
