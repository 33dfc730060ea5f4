"""Twelve networks on this machine and on emulated ARM cores, and the page of it.

    python benchmarks/studies/devices.py [--target TARGET ...]

Float and int8 files of networks for phones, each at its own image size: latency on this
machine, instructions on the emulated Cortex-A53, A72 and A76. Where real weights are at
hand (KERAS_EFFNET_SHARED names the folder, `../shared` by default; needs what
benchmarks/studies/accuracy.py needs), the accuracy of the same files on 500
photographs of ImageNet's training set; the int8 files are calibrated on 200 of flowers.
The other networks have random weights. Files and what was measured so far are kept in
build/devices; with --target only those targets are measured, and the results of the
others stay. Writes results/devices/NAME.json for each target, which `keras-effnet
report` reads; `make docs` draws the page and the table of them in build/.
"""

import argparse
import dataclasses
import json
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras_effnet
from keras_effnet import benchmarks
from keras_effnet import files
from keras_effnet import preprocessing
from keras_effnet.benchmarks.journal import Journal
from keras_effnet.benchmarks.studies import accuracy
from keras_effnet.benchmarks.studies import comparison
from keras_effnet.data import photos
from keras_effnet.evaluation import evaluate
from keras_effnet.export import export
from keras_effnet.paired import compare
from keras_effnet.progress import tell
from keras_effnet.specs import get_spec

NETWORKS = (
    "EfficientNetLite0",
    "EfficientNetLite1",
    "EfficientNetLite2",
    "EfficientNetLite3",
    "EfficientNetLite4",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "EfficientNetV2B1",
    "EfficientNetV2B2",
    "EfficientNetV2B3",
    "EfficientNetEdgeTPUS",
    "EfficientNetV2S",
)
TARGETS = ("host", "arm:cortex-a53", "arm:cortex-a72", "arm:cortex-a76")
PRECISIONS = ("float32", "int8")
WORK = comparison.ROOT / "build/devices"
RESULTS = comparison.RESULTS / "devices"


def files_of(network):
    """The paths of a network's files and their accuracies, made once."""
    kept = WORK / f"{network}.json"
    if not kept.exists():
        tell(f"{network}: export")
        files.write_text(kept, json.dumps(_made(network)))
    found = json.loads(kept.read_text())
    return {WORK / name: accuracies for name, accuracies in found.items()}


def _made(network):
    spec = get_spec(network)
    shape = (spec.image_size, spec.image_size, 3)
    real = network in accuracy.WEIGHTS
    weights = accuracy.WEIGHTS[network]() if real else None
    model = keras_effnet.build_model(spec, weights=weights)
    rule = preprocessing.for_weights(network, "imagenet" if real else None)
    flowers = accuracy.calibrating()
    exported = export(
        model,
        WORK,
        PRECISIONS,
        lambda: photos.batches(flowers, shape, rule, batch_size=1),
        network,
    )
    found = {file.path.name: None for file in exported}
    if real:
        paths, labels = accuracy.sample()
        evaluated = [
            evaluate(source, photos.batches(paths, shape, rule), labels)
            for source in (model, *(file.path for file in exported))
        ]
        for name, evaluation in zip(found, evaluated[1:], strict=True):
            compared = compare(evaluated[0], evaluation).as_json()
            found[name] = {
                "top1": evaluation.top1,
                "agreement_with_float": compared["agreement"],
                "images": len(labels),
            }
    return found


def measure(name, accuracies):
    """The results of all files on a target."""
    host = name == "host"
    if host:
        comparison.wait_until_idle(timeout_seconds=120)
    found = benchmarks.measure(
        list(accuracies),
        [name],
        profile=host,
        rounds=5 if host else 1,
        max_seconds=600.0,
        journal=Journal(WORK / f"{_file(name)}.rounds"),
        progress=tell,
    )
    for result in found:
        # Where it lay here is nobody's concern.
        model = result.model | {"path": os.path.basename(result.model["path"])}
        accuracy = accuracies[WORK / model["path"]]
        yield dataclasses.replace(result, model=model, accuracy=accuracy).to_dict()


def _file(target):
    return target.replace(":", "-")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", action="append", choices=TARGETS)
    args = parser.parse_args()
    accuracies = {}
    for network in NETWORKS:
        accuracies |= files_of(network)
    for name in args.target or TARGETS:
        found = list(measure(name, accuracies))
        files.write_text(RESULTS / f"{_file(name)}.json", json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
