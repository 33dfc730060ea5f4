"""write a model as .tflite files, with their sheets beside them

keras-effnet export EfficientNetLite0 --weights imagenet --output out
keras-effnet export model.keras --precision float32,int8 --calibrate photos/
keras-effnet export model.keras --precision float16,dynamic,int8,int16x8 \\
    --calibrate photos/ --evaluate labelled/ --max-drop 0.5 --samples

Each file gets NAME_PRECISION.json and .html beside it: what is in it, what it lost,
how fast it is on this machine. A file that loses more than --max-drop is kept as
NAME_PRECISION-over-limit.tflite, and the exit code is 1.
"""

import pathlib
import shlex
import sys

from keras_effnet import files
from keras_effnet.cli import _model
from keras_effnet.errors import InputError
from keras_effnet.errors import suggest
from keras_effnet.quiet import import_keras
from keras_effnet.report.text import format_table

FORMATS = ("tflite", "saved_model", "keras", "onnx")
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
        "--input-type",
        metavar="TYPE",
        help="float32, uint8 or int8 (default: int8 for int8, else float32); uint8 is "
        "what MediaPipe and the Task Library take",
    )
    parser.add_argument(
        "--batch-size",
        default="1",
        metavar="N",
        help="images at a time, or `open` (default: 1)",
    )
    parser.add_argument(
        "--engine",
        help="tflite or litert (default: the better one for each precision)",
    )
    parser.add_argument(
        "--calibrate",
        nargs="+",
        metavar="PHOTOS",
        help="for int8 and int16x8: photographs or folders that resemble those of "
        "later use",
    )
    parser.add_argument(
        "--calibration-images",
        type=int,
        default=200,
        metavar="N",
        help="use N of them, evenly spread (default: 200)",
    )
    parser.add_argument(
        "--evaluate",
        metavar="PHOTOS",
        help="a folder of one folder per class, a CSV file with the columns file and "
        "class_index, or a folder of photographs without classes: each file is "
        "compared there with the Keras model",
    )
    parser.add_argument(
        "--max-drop",
        type=float,
        metavar="POINTS",
        help="percentage points of accuracy that a file may lose",
    )
    parser.add_argument(
        "--samples",
        action="store_true",
        help="write programs in Python, Kotlin, Swift and C++ for each file",
    )
    parser.add_argument(
        "--no-latency", action="store_true", help="don't measure the files' speed here"
    )
    for option in ("description", "licence", "author"):
        parser.add_argument(
            f"--{option}", metavar="TEXT", help="of the model, for the metadata"
        )
    parser.add_argument("--name", help="of the files (default: the model's)")
    parser.add_argument(
        "--output", default=".", metavar="FOLDER", help="default: this folder"
    )


def run(args):
    formats = _list(args.format, FORMATS, "--format")
    if "tflite" not in formats:
        _refuse_options_of_tflite(args)
    precisions = [name.strip() for name in (args.precision or "float32").split(",")]
    batch_size = _batch_size(args.batch_size)
    import_keras()
    _check_precisions(precisions)
    model = load(args)
    folder, name = pathlib.Path(args.output), args.name or model.name
    exported = []
    if "tflite" in formats:
        exported = _export(args, model, precisions, batch_size)
    if "saved_model" in formats:
        from keras_effnet.export import write_saved_model

        base = folder / f"{name}_saved_model"
        versions = [int(p.name) for p in base.glob("*") if p.name.isdecimal()]
        print(write_saved_model(model, base, version=max(versions, default=0) + 1))
    if "keras" in formats:
        path = folder / f"{name}.keras"
        _model.refuse_itself(path, args)
        with files.replacing(path) as temporary:
            model.save(temporary)
        print(path)
    if "onnx" in formats:
        from keras_effnet.export import write_onnx

        write_onnx(model, folder / f"{name}.onnx", batch_size)
        print(folder / f"{name}.onnx")
    refuse_over_limit(exported, args.max_drop)


def _export(args, model, precisions, batch_size):
    from keras_effnet.cli import _export_photos
    from keras_effnet.export import PRECISIONS
    from keras_effnet.export import export
    from keras_effnet.export import write_samples

    needed = next((p for p in precisions if PRECISIONS[p].calibrated), None)
    photos, calibration = _export_photos.calibration(args, model, needed)
    exported = export(
        model,
        args.output,
        precisions,
        calibration,
        args.name,
        input_type=args.input_type,
        batch_size=batch_size,
        engine=args.engine,
        evaluation=_export_photos.evaluation(args, model, photos),
        max_drop=args.max_drop,
        description=args.description,
        licence=args.licence,
        author=args.author,
        settings={"command": shlex.join(["keras-effnet", *args.argv])},
        progress=tell,
    )
    if not args.no_latency:
        exported = measure(exported)
    if args.samples:
        for file in exported:
            write_samples(file.path, file.path.with_name(f"{file.path.stem}_samples"))
    print(report(exported))
    return exported


def measure(exported):
    """The files, with the latency on this host in their sheets."""
    from keras_effnet import benchmarks
    from keras_effnet.sheet import Latency

    results = benchmarks.benchmark_many(
        [file.path for file in exported],
        rounds=2,
        max_seconds=5,
        progress=tell,
    )
    times = {
        file.precision: result.latency_metrics.median_ms
        for file, result in zip(exported, results, strict=True)
    }
    return [
        file.with_sheet(
            latency=Latency(
                median_ms=result.latency_metrics.median_ms,
                p90_ms=result.latency_metrics.p90_ms,
                threads=result.options["threads"],
                runs=result.misc_metrics.num_runs,
                float_median_ms=times.get("float32"),
                host=result.device["cpu"] or result.device["machine"],
            )
        )
        for file, result in zip(exported, results, strict=True)
    ]


def report(exported):
    rows = [["file", "MB", "operators", "in float", "top-1", "drop", "agrees", "ms"]]
    for file in exported:
        numbers = file.numbers
        found = numbers.get("evaluation") or {}
        latency = numbers.get("latency") or {}
        rows.append(
            [
                str(file.path),
                f"{numbers['bytes'] / 1e6:.1f}",
                str(sum(numbers["operators"].values())),
                str(sum(numbers["float_operators"].values())),
                _or_dash(found.get("top1"), "{:.1%}"),
                _or_dash(found.get("drop"), "{:.1f}"),
                _or_dash(found.get("agreement"), "{:.1%}"),
                _or_dash(latency.get("median_ms"), "{:.1f}"),
            ]
        )
    kept = [
        i
        for i in range(len(rows[0]))
        if i == 0 or any(row[i] != "-" for row in rows[1:])
    ]
    lines = [format_table([[row[i] for i in kept] for row in rows], left=(0,))]
    for file in exported:
        if file.numbers["waste"]:
            lines.append(f"{file.path.name}: {', '.join(file.numbers['waste'])}")
    return "\n".join(lines)


def _or_dash(value, pattern):
    return "-" if value is None else pattern.format(value)


def refuse_over_limit(exported, max_drop):
    over = [file for file in exported if file.over_limit]
    if over:
        lost = ", ".join(
            f"{file.path} ({file.numbers['evaluation']['drop']:.2f})" for file in over
        )
        raise InputError(
            f"More than --max-drop {max_drop:g} percentage points were lost; kept "
            f"under another name. Received: {lost}"
        )


def tell(line):
    if sys.stderr.isatty():
        print(f"keras-effnet: {line}", file=sys.stderr, flush=True)


def _check_precisions(precisions):
    from keras_effnet.export.precisions import check_precision

    for precision in precisions:
        check_precision(precision)


def _refuse_options_of_tflite(args):
    for option in _OF_TFLITE:
        value = getattr(args, option.replace("-", "_"))
        if value not in (None, False):
            raise InputError(
                f"--{option} is for .tflite files; add tflite to --format. "
                f"Received: --format {args.format}"
            )


def _list(text, valid, option):
    values = [value.strip() for value in text.split(",")]
    for value in values:
        if value not in valid:
            raise InputError(
                f"{option} must be of {', '.join(valid)}. {suggest(value, valid)}"
                f"Received: {value!r}"
            )
    return values


def _batch_size(text):
    if text == "open":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise InputError(
            f"--batch-size must be a whole number from 1, or `open`. Received: {text!r}"
        )
    return int(text)


def load(args):
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
    from keras_effnet import saving

    model = saving.load_model(args.model)
    options = ("calibrate", "train", "evaluate")
    photographs = any(getattr(args, option, None) for option in options)
    if saving.attached(model) is None and photographs:
        print(
            "keras-effnet: note: the model carries no preprocessing; photographs go in "
            "as 0-255 pixels, cropped to the middle",
            file=sys.stderr,
        )
    return model
