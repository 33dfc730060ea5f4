"""Training through TF-MOT beside post-training quantisation: accuracy, bytes, latency.

    python benchmarks/studies/compression.py [NETWORK ...]

EfficientNetV2B0 on 500 photographs of ImageNet's training set (KERAS_EFFNET_SHARED
names their folder, `../shared` by default), trained and calibrated on the alternate
rows of labels.csv, evaluated on the others, swapped and pooled; and EfficientNetLite0
fine-tuned by the recipe `flowers`, trained on its photographs, evaluated on those that
it held out. Files are kept in build/compression, and a run that was stopped goes on
from them. Needs what benchmarks/studies/accuracy.py needs. Writes
results/compression.json.
"""

import argparse
import functools
import json
import os
import pathlib
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from tensorflow.lite.python.convert import mlir_sparsify

from keras_effnet import files
from keras_effnet import saving
from keras_effnet.benchmarks.studies import accuracy
from keras_effnet.benchmarks.studies import comparison
from keras_effnet.benchmarks.studies import quantisation
from keras_effnet.data.split import train_and_validation
from keras_effnet.export import CompressionRecipe
from keras_effnet.export import cluster
from keras_effnet.export import export
from keras_effnet.export import flatbuffer
from keras_effnet.export import inspection
from keras_effnet.export import prune
from keras_effnet.export import qat
from keras_effnet.export.calibration import evenly
from keras_effnet.paired import compare
from keras_effnet.progress import tell
from keras_effnet.training.recipes import get_recipe
from keras_effnet.training.running import train

WORK = comparison.ROOT / "build/compression"
NETWORKS = ("EfficientNetV2B0", "flowers")
FLOAT, PLAIN = "float32", "plain int8"
PRUNED, ENCODED = "pruned 50 %", "pruned 50 %, zeros left out"
_PRUNING = {"steps": 600, "learning_rate": 0.3, "distillation": 0.5}
# Technique, its arguments, precision of the file, recipe.
METHODS = {
    "QAT, labels": (qat, {}, "int8", {"steps": 300, "distillation": 0.0}),
    "QAT, distillation": (qat, {}, "int8", {"steps": 500}),
    PRUNED: (prune, {"sparsity": 0.5}, "float32", _PRUNING),
    "16 clusters": (cluster, {"clusters": 16}, "float32", {"steps": 400}),
}


class Half:
    """A network of ImageNet, trained on one half and evaluated on the other."""

    def __init__(self, network, number):
        self.source = quantisation.Half(network, number)
        self.folder = WORK / network / ("even", "odd")[number]
        self.model = self.source.built()
        self.paths = self.source.calibrating
        self.labels = self.source.calibrating_labels
        self.others, self.truth = self.source.evaluating, self.source.labels

    def others_files(self):
        """`{name: path}` of files that are made elsewhere."""
        kept = self.source.folder / "command.json"
        found = {quantisation.CONVERTER: self.source.converter()}
        if kept.exists():
            command = json.loads(kept.read_text())
            files_by_name = {c["name"]: c["file"] for c in command["candidates"]}
            path = self.source.folder / files_by_name[command["chosen"]]
            found["keras-effnet quantize"] = path
        return found


class Flowers:
    """Lite0 fine-tuned on flowers."""

    def __init__(self):
        self.folder = WORK / "flowers" / "all"
        source, held_out = train_and_validation(comparison.FLOWERS)
        self.model = _fine_tuned(source, held_out)
        self.paths, self.labels = _photographs(source)
        self.others, self.truth = _photographs(held_out)

    def others_files(self):
        return {}


def _photographs(source):
    return [comparison.FLOWERS / key for key in source.keys], source.labels


def _fine_tuned(source, held_out):
    path = WORK / "flowers.keras"
    if not path.exists():
        recipe = get_recipe("flowers", weights=accuracy.WEIGHTS["EfficientNetLite0"]())
        with tempfile.TemporaryDirectory() as folder:
            train(recipe, source, held_out, folder, progress=tell, bars=False)
            path.parent.mkdir(parents=True, exist_ok=True)
            (pathlib.Path(folder) / "model.keras").rename(path)
    return saving.load_model(path)


def made(case, methods):
    """`{name: path}` of all files of a case, made once; and their figures."""
    paths, figures = case.others_files(), {}
    images = functools.cache(lambda: quantisation.images_of(case.model, case.paths))
    for name in (FLOAT, PLAIN, *methods):
        folder = case.folder / name.replace(" ", "-").replace(",", "")
        make = functools.partial(_make, case, name, folder, images)
        figures[name] = comparison.kept(folder / "figures.json", make)
        paths[name] = folder / figures[name]["file"]
    if PRUNED in methods:
        paths[ENCODED] = paths[PRUNED].with_name("encoded.tflite")
        if not paths[ENCODED].exists():
            # As TFLiteConverter does for `EXPERIMENTAL_SPARSITY`.
            with files.replacing(paths[ENCODED]) as temporary:
                temporary.write_bytes(mlir_sparsify(paths[PRUNED].read_bytes()))
    return paths, figures


def _make(case, name, folder, images_of_case):
    tell(f"{case.folder.parent.name} {case.folder.name}: {name}")
    images = images_of_case()
    # What a run took that was stopped and went on is not known.
    started = None if (folder / "training").exists() else time.perf_counter()
    result, precision = None, {FLOAT: "float32", PLAIN: "int8"}.get(name)
    if name in METHODS:
        technique, arguments, precision, recipe = METHODS[name]
        result = technique(
            case.model,
            images,
            labels=case.labels,
            recipe=CompressionRecipe(**recipe),
            folder=folder / "training",
            progress=lambda line: int(line.split()[1]) % 50 or tell(line),
            **arguments,
        )
    seconds = result and started and time.perf_counter() - started
    (file,) = export(
        result.model if result else case.model,
        folder,
        precision,
        lambda: (images[i : i + 1] for i in evenly(len(images), 250)),
        "model",
        input_type="float32",
        ranges=result and result.ranges,
        reference=case.model,
    )
    return {
        "file": file.path.name,
        "seconds": seconds,
        "training": result and result.figures,
    }


def cases_of(network):
    """The cases whose photographs are pooled."""
    if network == "flowers":
        return [Flowers()]
    return [Half(network, number) for number in (0, 1)]


def rows_of(network, methods=tuple(METHODS)):
    """A row for each file that all cases have."""
    cases = cases_of(network)
    found = [made(case, methods) for case in cases]
    paths, figures = [p for p, _ in found], [f for _, f in found]
    judged = [
        quantisation.answers_of(p, case.model, case.others, case.truth)
        for case, p in zip(cases, paths, strict=True)
    ]
    names = [name for name in paths[0] if all(name in p for p in paths)]
    reference = quantisation.pooled([half[FLOAT] for half in judged])
    latencies = quantisation.relative_latencies({n: paths[0][n] for n in names}, PLAIN)
    dense = sum(inspection.compressed(p[FLOAT])["gzip"] for p in paths)
    for name in names:
        pooled = quantisation.pooled([half[name] for half in judged])
        compared = compare(reference, pooled).as_json()
        sizes = [inspection.compressed(p[name]) for p in paths]
        about = [f.get(name, {}) for f in figures]
        seconds = [a["seconds"] for a in about if a.get("seconds")]
        training = about[0].get("training")
        yield {
            "network": network,
            "file": name,
            **{key: compared[key] for key in quantisation.KEYS},
            # The converter's file answers in steps of 1/256, mostly with 0.
            "divergence": None
            if name == quantisation.CONVERTER
            else _divergence(reference.probabilities, pooled.probabilities),
            "bytes": [p[name].stat().st_size for p in paths],
            "gzip_bytes": [size["gzip"] for size in sizes],
            "zstd_bytes": [size["zstd"] for size in sizes],
            "gzip_over_dense": sum(size["gzip"] for size in sizes) / dense,
            "sparsity": _sparsity(paths[0][PRUNED if name == ENCODED else name]),
            "latency_over_plain": latencies[name],
            "minutes": [s / 60 for s in seconds],
            "training_images": len(cases[0].paths) if training else None,
            "recipe": training and training["recipe"],
        }


def _sparsity(path):
    return inspection.sparsity(flatbuffer.unpack(path.read_bytes()))


def _divergence(expected, found):
    """Kullback and Leibler's, of probabilities, the mean of all photographs."""
    least = np.finfo("float32").tiny
    parts = expected * np.log(np.maximum(expected, least) / np.maximum(found, least))
    return float(parts.sum(-1).mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    listed = ", ".join(map(repr, METHODS)).replace("%", "%%")
    parser.add_argument(
        "--methods", nargs="*", default=METHODS, choices=METHODS, help=listed
    )
    args = parser.parse_args()
    rows = comparison.with_others(
        "compression", args.networks, lambda name: rows_of(name, args.methods)
    )
    comparison.write_report("compression", {"rows": rows})


if __name__ == "__main__":
    main()
