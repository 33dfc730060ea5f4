"""find the fastest .tflite file within a limit of lost accuracy

keras-effnet quantize EfficientNetV2B0 --weights imagenet --calibrate photos/ \\
    --min-agreement 0.97 --budget 20m --output out
keras-effnet quantize model.keras --calibrate photos/ --evaluate labelled/ \\
    --max-drop 0.5 --output out

The search tries better ranges and kernels rounded together, and while all int8 files
lose more than the limit, the operators that matter most in float; with --budget also
distillation. It keeps every file that it makes, with its figures:
size, latency on this machine, and what it loses on the photographs of --evaluate. The
fastest file within the limit is chosen.

Labels are optional: --min-agreement needs none, it is the share of the photographs on
which the file names the same class as the float model. Without --evaluate every
third photograph of --calibrate is kept out of the calibration, to judge by.

Stopped or killed, the same command with the same --output goes on from the last file.
Where no file keeps the limit the exit code is 1, and the best one is kept and named.
OUTPUT/search.html shows the trade-off, search.json holds it, candidates/ the files.
"""

import re

from keras_effnet.cli import _export
from keras_effnet.cli import _model
from keras_effnet.errors import InputError
from keras_effnet.progress import tell
from keras_effnet.quiet import import_keras

_BUDGET = re.compile(r"(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?")


def add_arguments(parser):
    parser.add_argument("model", help="a .keras file, or a network's name")
    _model.add_weights(parser)
    _export.add_calibration(parser, 250)
    _export.add_judging(parser, "judged there beside the float model")
    parser.add_argument(
        "--min-agreement",
        type=float,
        metavar="SHARE",
        help="on which it must name the float model's class, 0 to 1",
    )
    parser.add_argument(
        "--budget",
        metavar="TIME",
        help="end the search after 90s, 20m or 1h30m (default: no end, and no "
        "distillation)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    _export.add_files(
        parser,
        "float32, uint8 or int8 (default: float32); uint8 is what MediaPipe and the "
        "Task Library take",
        required=True,
    )


def run(args):
    _check_limits(args)
    budget = None if args.budget is None else seconds_of(args.budget)
    if not args.calibrate:
        raise InputError(
            "A quantised file needs photographs to find the ranges of the activations: "
            "give --calibrate PHOTOS. Received: no --calibrate"
        )
    import_keras()
    model = _model.load(args)
    from keras_effnet import export
    from keras_effnet.data.finding import has_classes
    from keras_effnet.export.tuning import search_page

    if args.max_drop is not None and not has_classes(args.evaluate):
        raise InputError(
            "--max-drop needs classes: a folder of one folder per class, or a list, "
            "CSV or JSON Lines, with file and label or class_index; --min-agreement "
            "needs none. "
            f"Received: --evaluate {args.evaluate}"
        )
    result = export.quantize(
        model,
        args.output,
        args.calibrate,
        evaluation=args.evaluate,
        max_drop=args.max_drop,
        on_broken=args.on_broken,
        all_images=args.all_images,
        min_agreement=args.min_agreement,
        budget=budget,
        name=args.name,
        input_type=args.input_type,
        calibration_images=args.calibration_images,
        seed=args.seed,
        settings=_export.settings(args),
        # Also where nobody watches: a log of minutes of work tells how far it came.
        progress=lambda line: tell(f"keras-effnet: {line}"),
    )
    print(search_page.table(result.candidates, result.chosen["name"]))
    print(result.folder / "search.html")
    print(result.path)
    if not result.met:
        raise InputError(
            f"No file keeps the limit. The best is kept as {result.path} "
            f"({result.chosen['name']}): {search_page.figures_of(result.chosen)}. "
            f"Received: {_limits(args)}"
        )


def seconds_of(text: str) -> int:
    """Seconds, at least 1, of `"90s"`, `"20m"` or `"1h30m"`.

    Raises:
        InputError: It is no such length of time, or 0.
    """
    match = _BUDGET.fullmatch(text)
    seconds = 0
    if match:
        hours, minutes, rest = (int(part or 0) for part in match.groups())
        seconds = 3600 * hours + 60 * minutes + rest
    if not seconds:
        raise InputError(
            "--budget must be a length of time with its unit, such as 90s, 20m or "
            f"1h30m, whole numbers above 0. Received: {text!r}"
        )
    return seconds


def _check_limits(args):
    drop, agreement = args.max_drop, args.min_agreement
    if drop is None and agreement is None:
        raise InputError(
            "The search needs a limit: --max-drop POINTS, or without classes "
            "--min-agreement SHARE. Received: neither"
        )
    if drop is not None and not 0 <= drop <= 100:
        raise InputError(
            "--max-drop must be a number of percentage points from 0 to 100. "
            f"Received: {drop:g}"
        )
    if drop is not None and not args.evaluate:
        raise InputError(
            "--max-drop needs photographs with their classes: give --evaluate, or "
            f"--min-agreement instead. Received: --max-drop {drop:g}"
        )
    if agreement is not None and not 0 <= agreement <= 1:
        meant = agreement / 100
        hint = f"Did you mean {meant:g}? " if 1 < agreement <= 100 else ""
        raise InputError(
            f"--min-agreement must be a share from 0 to 1. {hint}"
            f"Received: {agreement:g}"
        )


def _limits(args):
    limits = (("--max-drop", args.max_drop), ("--min-agreement", args.min_agreement))
    return " ".join(f"{name} {value:g}" for name, value in limits if value is not None)
