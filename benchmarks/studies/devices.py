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

import keras_effnet
from keras_effnet import benchmarks
from keras_effnet import files
from keras_effnet.benchmarks.journal import Journal
from keras_effnet.benchmarks.studies import accuracy
from keras_effnet.benchmarks.studies import comparison
from keras_effnet.export import export
from keras_effnet.progress import tell

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
    found = comparison.kept(WORK / f"{network}.json", lambda: _made(network))
    return {WORK / name: accuracies for name, accuracies in found.items()}


def _made(network):
    tell(f"{network}: export")
    real = network in accuracy.WEIGHTS
    weights = accuracy.WEIGHTS[network]() if real else None
    exported = export(
        keras_effnet.build_model(network, weights=weights),
        WORK,
        PRECISIONS,
        comparison.FLOWERS,
        network,
        evaluation=comparison.LABELS if real else None,
    )
    return {
        file.path.name: _accuracy(file.sheet.evaluation) if real else None
        for file in exported
    }


def _accuracy(found):
    return {
        "top1": found.top1,
        "agreement_with_float": found.agreement,
        "images": found.images,
    }


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
