"""The whole road on digits that need no download: train, export, evaluate,
measure, report."""

import csv
import json
import pathlib
import time

import numpy as np

from keras_effnet import benchmarks
from keras_effnet import files
from keras_effnet.data.digits import load_digits
from keras_effnet.evaluation import evaluate
from keras_effnet.export import export
from keras_effnet.export.calibration import evenly
from keras_effnet.progress import silent
from keras_effnet.progress import tell
from keras_effnet.report import charts
from keras_effnet.report import page
from keras_effnet.report.text import cell
from keras_effnet.saving import load_model
from keras_effnet.training import train
from keras_effnet.training.recipes import get_recipe

_CALIBRATION_IMAGES = 300
_GRID_IMAGES = 48


def run_demo(folder, epochs=None, seed=0, progress=print):
    """Trains, exports, evaluates and measures a small EfficientNet.

    `folder` receives `digits.keras`, `digits_float32.tflite` and `digits_int8.tflite`
    with their numbers, `report.html`, and `results.json`, whose dict is returned. The
    training takes the recipe `digits`, and tells its progress on standard error.

    Raises:
        InputError: The folder can't be written to, or scikit-learn is missing.
    """
    folder = pathlib.Path(folder)
    of_training = progress and tell
    progress = progress or silent
    started = time.perf_counter()
    recipe = get_recipe("digits", seed=seed, **({"epochs": epochs} if epochs else {}))
    train_digits, test_digits = load_digits(recipe.eval_image_size)
    files.check_folder(folder)
    with files.temporary_folder(folder) as temporary:
        run = temporary / "run"  # the temporary one is locked by who made it
        progress(
            f"Training on {len(train_digits.labels)} digits, {recipe.epochs} epochs; "
            f"{len(test_digits.labels)} are held out"
        )
        train(
            "digits",
            run,
            recipe.name,
            seed=seed,
            epochs=recipe.epochs,
            progress=of_training,
        )
        history = _history(run / "history.csv")
        (run / "model.keras").replace(folder / "digits.keras")
    model = load_model(folder / "digits.keras")
    training_seconds = time.perf_counter() - started

    progress(f"Exporting; int8 is calibrated on {_CALIBRATION_IMAGES} training digits")
    images = train_digits.images
    chosen = evenly(len(images), _CALIBRATION_IMAGES)
    exported = export(
        model,
        folder,
        ("float32", "int8"),
        calibration=lambda: (images[i : i + 1] for i in chosen),
        name="digits",
    )

    progress(f"Evaluating on the {len(test_digits.labels)} held-out digits")
    keras_evaluation = evaluate(model, [test_digits.images], test_digits.labels)
    evaluations = [
        evaluate(file.path, [test_digits.images], test_digits.labels)
        for file in exported
    ]

    progress("Measuring the latency of both files on this host")
    latencies = benchmarks.benchmark_many([file.path for file in exported])

    results = {
        "training": {
            "images": len(train_digits.labels),
            "epochs": recipe.epochs,
            "seconds": round(training_seconds, 1),
            "history": history,
        },
        "held_out_images": len(test_digits.labels),
        "parameters": model.count_params(),
        "keras": _accuracy(keras_evaluation),
        "files": [
            {
                "name": file.path.name,
                "network": "digits",
                "precision": file.precision,
                "bytes": file.sheet.bytes,
                **_accuracy(evaluation),
                "agreement_with_keras": evaluation.agreement(keras_evaluation),
                **_latency(latency),
            }
            for file, evaluation, latency in zip(
                exported, evaluations, latencies, strict=True
            )
        ],
        "host": latencies[0].device,
        "versions": exported[0].sheet.versions,
        "seconds": round(time.perf_counter() - started, 1),
    }
    files.write_text(folder / "results.json", json.dumps(results, indent=2) + "\n")
    report = _report(results, history, test_digits, evaluations[-1].predictions)
    files.write_text(folder / "report.html", report)
    return results


def _history(path):
    """The columns of a run's `history.csv`."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


def _accuracy(evaluation):
    return {"accuracy": evaluation.top1, "interval": evaluation.interval}


def _latency(result):
    times = result.latency_metrics
    return {
        "median_ms": times.median_ms,
        "p90_ms": times.p90_ms,
        "p95_ms": times.p95_ms,
        "min_ms": times.min_ms,
        "mean_ms": times.avg_ms,
        "first_ms": times.first_inference_ms,
        "init_ms": times.init_ms,
        "peak_memory_kb": result.memory_metrics.peak_footprint_kb,
        "threads": result.options["threads"],
        "warnings": result.warnings,
    }


def _report(results, history, digits, predictions):
    # Wrong ones first, they are what people look for.
    order = np.argsort(predictions == digits.labels, kind="stable")[:_GRID_IMAGES]
    wrong = int(np.sum(predictions != digits.labels))
    count = results["held_out_images"]
    host = results["host"]
    training = results["training"]
    return page.render(
        "EfficientNet on handwritten digits, from training to a .tflite file",
        [
            page.paragraph(
                f"A small EfficientNet-Lite ({results['parameters']:,} parameters), "
                f"trained on {training['images']} digits for {training['epochs']} "
                f"epochs in {training['seconds']:.0f} seconds, exported, and evaluated "
                f"on {count} digits it has never seen."
            ),
            _table(results),
            page.heading("Accuracy and latency of each file"),
            page.image(
                charts.accuracy_against_latency(results["files"]),
                "Accuracy with its 95 % interval against latency, for each file",
            ),
            page.paragraph(
                f"Latency on this host: {host['cpu']}, {host['cores']} cores; "
                "one image at a time, one thread."
            ),
            page.heading("Training"),
            page.image(
                charts.training_curves(history), "Loss and accuracy over the epochs"
            ),
            page.heading("What the int8 file says"),
            page.paragraph(
                f"{len(order)} of the held-out digits, the {wrong} wrong ones first."
            ),
            page.thumbnails(
                (digits.images[n], _caption(label, guess), guess == label, "")
                for n, label, guess in zip(
                    order, digits.labels[order], predictions[order], strict=True
                )
            ),
        ],
        footer=", ".join(f"{k} {v}" for k, v in results["versions"].items()),
    )


def _caption(label, guess):
    return f"{guess}" if guess == label else f"says {guess}, is {label}"


def _table(results):
    # The files beside each other: as rows they would be wider than a phone.
    measures = {
        "accuracy": lambda row: f"{row['accuracy']:.1%}",
        "95 % interval": lambda row: "{:.1%} to {:.1%}".format(*row["interval"]),
        "agrees with Keras": lambda row: cell(row.get("agreement_with_keras"), ".1%"),
        "size, MB": lambda row: cell(_scaled(row, "bytes", 1e6), ".2f"),
        "median, ms": lambda row: cell(row.get("median_ms"), ".3f"),
        "90th percentile, ms": lambda row: cell(row.get("p90_ms"), ".3f"),
        "first run, ms": lambda row: cell(row.get("first_ms"), ".3f"),
        "peak memory, MiB": lambda row: cell(
            _scaled(row, "peak_memory_kb", 1024), ".1f"
        ),
    }
    columns = [{"name": "Keras", **results["keras"]}, *results["files"]]
    rows = [(name, *map(tell, columns)) for name, tell in measures.items()]
    return page.table(("", *(row["name"] for row in columns)), rows, "wraps")


def _scaled(row, key, unit):
    return None if row.get(key) is None else row[key] / unit
