"""int8 that keeps the accuracy: each lever alone and together, beside the converter.

    python benchmarks/studies/quantisation.py [NETWORK ...]

Of 500 photographs of ImageNet's training set (KERAS_EFFNET_SHARED names their folder,
`../shared` by default) the alternate rows of labels.csv calibrate, a third of them
kept out to judge, and the file is evaluated on the other rows; then they are swapped,
and the figures are of both halves pooled. One command with the same arguments for
every network. Files are kept in build/quantisation, and a run that was stopped goes
on from them. Needs what benchmarks/studies/accuracy.py needs. Writes
results/quantisation.json.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from keras_effnet import benchmarks
from keras_effnet import build_model
from keras_effnet import files
from keras_effnet.benchmarks.studies import _flowers_classifier
from keras_effnet.benchmarks.studies import accuracy
from keras_effnet.benchmarks.studies import comparison
from keras_effnet.data import finding
from keras_effnet.data import photos
from keras_effnet.evaluation import Evaluation
from keras_effnet.evaluation import load_classifier
from keras_effnet.export import converting
from keras_effnet.export import flatbuffer
from keras_effnet.export.levers import distillation
from keras_effnet.export.levers import islands
from keras_effnet.export.levers import ranges
from keras_effnet.export.levers import rounding
from keras_effnet.export.levers import sensitivity
from keras_effnet.export.levers.draft import Draft
from keras_effnet.export.levers.network import Network
from keras_effnet.export.tuning.store import Store
from keras_effnet.paired import compare
from keras_effnet.specs import get_spec

WORK = comparison.ROOT / "build/quantisation"
LIMITS = ("--min-agreement", "0.99", "--budget", "20m")
# What the search tries where nothing is good enough: every lever on the one before.
EVERYTHING = ("--min-agreement", "1", "--budget", "40m")
NETWORKS = (
    "EfficientNetV2B0",
    "EfficientNetLite0",
    "flowers",
    "EfficientNetLite1",
    "EfficientNetLite2",
)
# Of these every candidate is evaluated, and each lever alone.
IN_DETAIL = NETWORKS[:2]
SHARE, SENSITIVITY_IMAGES, STEPS = 0.2, 48, 50
CONVERTER = "TFLiteConverter"


class Half:
    """One network, calibrated on one half and evaluated on the other."""

    def __init__(self, network, number):
        self.network, self.number = network, number
        self.folder = WORK / network / ("even", "odd")[number]
        self.folder.mkdir(parents=True, exist_ok=True)
        if network == "flowers":
            self.model = _flowers_classifier.trained(WORK / "flowers.keras")
            paths, labels = _flowers_classifier.evaluated()
            self.arguments = [str(WORK / "flowers.keras")]
        else:
            listed = finding.read_list(comparison.LABELS)
            paths, labels = listed.paths, listed.indices
            weights = str(accuracy.WEIGHTS[network]())
            self.arguments = [network, "--weights", weights]
            self.model = None
        self.calibrating, self.evaluating = paths[number::2], paths[1 - number :: 2]
        labels = np.asarray(labels)
        self.calibrating_labels = labels[number::2]
        self.labels = labels[1 - number :: 2]

    def search(self, limits):
        """Runs the command; returns what it found."""
        command = [sys.executable, "-m", "keras_effnet", "quantize", *self.arguments]
        command += ["--calibrate", *map(str, self.calibrating)]
        command += ["--calibration-images", str(len(self.calibrating))]
        command += [*limits, "--output", str(self.folder)]
        subprocess.run(command, stdout=subprocess.DEVNULL)  # 1: the limit is missed
        return json.loads((self.folder / "search.json").read_text())

    def built(self):
        """The Keras model that the command builds."""
        if self.model is None:
            self.model = build_model(get_spec(self.network), weights=self.arguments[2])
        return self.model

    def converter(self):
        """The file of TensorFlow's converter, calibrated on the whole half."""
        path = self.folder / "converter.tflite"
        if not path.exists():
            model = self.built()
            images = images_of(model, self.calibrating).astype("float32")
            with tempfile.TemporaryDirectory() as folder:
                spec = [tf.TensorSpec((1, *model.inputs[0].shape[1:]), "float32")]
                model.export(folder, verbose=False, input_signature=spec)
                converter = tf.lite.TFLiteConverter.from_saved_model(folder)
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
                converter.representative_dataset = lambda: ([i[None]] for i in images)
                int8 = tf.lite.OpsSet.TFLITE_BUILTINS_INT8
                converter.target_spec.supported_ops = [int8]
                with files.replacing(path) as temporary:
                    temporary.write_bytes(converter.convert())
        return path

    def alone(self):
        """`{name: path}` of files with one lever."""
        store = Store(self.folder / "alone", "1")
        paths = {}
        with tempfile.TemporaryDirectory() as folder:
            trace = converting.trace(self.built(), folder)
            images = images_of(self.built(), self.calibrating).astype("float32")
            network = Network(trace.float32)
            data = trace.float32
            observed = ranges.observe(data, (image[None] for image in images))
            plain = Draft(data, observed.ranges.by_tensor)

            def float_islands(draft):
                found = sensitivity.measure(
                    network, draft.ranges, images[:: len(images) // SENSITIVITY_IMAGES]
                )
                names = islands.float_nodes(network, found, SHARE)
                return draft.after("islands", float_nodes=names)

            levers = {
                "min-max + rounding by layer": lambda: rounding.optimise(plain, images),
                f"min-max + float islands {SHARE:.0%}": lambda: float_islands(plain),
                f"min-max + distillation, {STEPS} steps": lambda: distillation.distil(
                    plain, images, STEPS
                ),
            }
            for name, lever in levers.items():
                print(f"{self.network} {self.number} {name}", file=sys.stderr)
                draft = store.draft(name, lever)

                def make(path, draft=draft):
                    path.write_bytes(draft.quantised(trace, "float32"))
                    return {}

                kept = store.candidate(name, make)
                paths[name] = self.folder / "alone" / kept["file"]
        return paths


def images_of(model, paths):
    """Photographs as a model takes them, in one array."""
    found = load_classifier(model)
    batches = photos.batches(paths, found.input_shape, found.preprocessing)
    return np.concatenate(list(batches))


def answers_of(files_by_name, model, paths, labels):
    """`{name: Evaluation}` of a model's files on photographs, kept beside the files."""
    images, found = None, {}
    for name, path in files_by_name.items():
        kept = pathlib.Path(f"{path}.answers.npy")
        if not kept.exists() or kept.stat().st_mtime <= path.stat().st_mtime:
            if images is None:
                images = images_of(model, paths).astype("float32")
            classifier = load_classifier(path)
            parts = [classifier.predict(part) for part in np.array_split(images, 10)]
            np.save(kept, np.concatenate(parts))
        found[name] = Evaluation(np.load(kept), labels)
    return found


def commanded(half):
    """What the command found, run once."""
    return comparison.kept(half.folder / "command.json", lambda: half.search(LIMITS))


def halves_of(network):
    """Runs everything for both halves; returns what is pooled."""
    chosen, answers, about = [], [], []
    for number in (0, 1):
        half = Half(network, number)
        command = commanded(half)
        paths = {CONVERTER: half.converter()}
        found = command
        if network in IN_DETAIL:
            found = half.search(EVERYTHING)
            paths |= half.alone()
        tried = {c["name"]: half.folder / c["file"] for c in found["candidates"]}
        paths |= tried if network in IN_DETAIL else {"float32": tried["float32"]}
        paths["chosen by the command"] = tried[command["chosen"]]
        answers.append(answers_of(paths, half.built(), half.evaluating, half.labels))
        chosen.append(
            {k: command[k] for k in ("chosen", "met", "seconds", "judged_on")}
        )
        about.append(paths)
    return chosen, answers, about


def rows_of(network):
    """A row for each file that both halves have, pooled over all photographs."""
    chosen, answers, paths = halves_of(network)
    common = [name for name in answers[0] if name in answers[1]]
    reference = pooled([half["float32"] for half in answers])
    first = {name: paths[0][name] for name in common}
    latencies = relative_latencies(first, CONVERTER, operators)
    for name in common:
        found = compare(reference, pooled([half[name] for half in answers])).as_json()
        sizes = [half[name].stat().st_size for half in paths]
        plain = [half[CONVERTER].stat().st_size for half in paths]
        yield {
            "network": network,
            "file": name,
            **{key: found[key] for key in KEYS},
            "bytes": sizes,
            "relative_bytes": sum(sizes) / sum(plain),
            "relative_latency": latencies[name],
            "runs": chosen if name == "chosen by the command" else None,
        }


KEYS = (
    "images",
    "top1",
    "reference_top1",
    "drop",
    "drop_interval",
    "lost",
    "gained",
    "agreement",
    "agreement_interval",
)


def pooled(evaluations):
    return Evaluation(
        np.concatenate([e.probabilities for e in evaluations]),
        np.concatenate([e.labels for e in evaluations]),
    )


def relative_latencies(paths, base, kind=str):
    """`{name: its median over that of the file `base`}`, measured in turn.

    Of files of the same kind, a function of a path, one is measured.
    """
    alike = {}
    for name, path in paths.items():
        alike.setdefault(kind(path), []).append(name)
    comparison.wait_until_idle(timeout_seconds=30)
    first = [paths[group[0]] for group in alike.values()]
    results = benchmarks.benchmark_many(first, rounds=3, min_runs=30, max_seconds=2)
    medians = {
        name: result.latency_metrics.median_ms
        for group, result in zip(alike.values(), results, strict=True)
        for name in group
    }
    return {name: median / medians[base] for name, median in medians.items()}


def operators(path):
    """What a file computes with: each operator and its outputs' types and shapes."""
    model = flatbuffer.unpack(path.read_bytes())
    tensors = flatbuffer.graph(model).tensors
    return tuple(
        (
            flatbuffer.operator_name(model, operator),
            *((tensors[i].type, tuple(tensors[i].shape)) for i in operator.outputs),
        )
        for operator in flatbuffer.graph(model).operators
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    networks = parser.parse_args().networks
    for name in networks:
        for number in (0, 1):
            commanded(Half(name, number))
    rows = comparison.with_others("quantisation", networks, rows_of)
    arguments = {"command": " ".join(LIMITS), "everything": " ".join(EVERYTHING)}
    comparison.write_report("quantisation", {"arguments": arguments, "rows": rows})


if __name__ == "__main__":
    main()
