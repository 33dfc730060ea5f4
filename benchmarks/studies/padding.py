"""A network that pads symmetrically beside its SAME twin: what that costs in a file.

    python benchmarks/studies/padding.py

PyTorch's networks take as many zeros on each side; here that is a layer of its own
before a convolution with strides, and a PAD in the file, which XNNPACK folds into the
convolution. Files of `export` with random weights, float32 and int8, that differ in
this alone, in turn on this machine. Writes results/padding.json.
"""

import functools
import pathlib
import tempfile

import keras
import numpy as np

import keras_effnet
from keras_effnet import benchmarks
from keras_effnet.benchmarks import significance
from keras_effnet.benchmarks.studies import comparison
from keras_effnet.export import export
from keras_effnet.specs import get_spec
from keras_effnet.weights.convention import PADDINGS

NETWORKS = ("EfficientNetB0", "EfficientNetLite0", "EfficientNetEdgeTPUS")


def exported(network, padding, size, folder):
    keras.utils.set_random_seed(0)
    model = keras_effnet.create_model(
        network, padding=padding, input_shape=(size, size, 3)
    )
    random = np.random.default_rng(0)
    images = random.integers(256, size=(8, size, size, 3)).astype("float32")
    precisions = "float32", "int8"
    return export(model, folder / padding, precisions, lambda: [images[:4], images[4:]])


def measure(args):
    found = {}
    for network in args.network:
        size = args.image_size or get_spec(network).image_size
        with tempfile.TemporaryDirectory() as name:
            make = functools.partial(exported, network, size=size)
            twins = zip(
                *(make(padding, folder=pathlib.Path(name)) for padding in PADDINGS),
                strict=True,
            )
            for same, symmetric in twins:
                rounds = [
                    significance.round_medians(result.to_dict())
                    for result in benchmarks.benchmark_many(
                        [same.path, symmetric.path], rounds=args.rounds
                    )
                ]
                told = significance.compare(rounds[1], rounds[0])
                precision = symmetric.precision
                found[f"{network}, {precision}"] = {
                    "image_size": size,
                    "partitions": symmetric.sheet.partitions,
                    "round_medians_ns": [each.tolist() for each in rounds],
                    "ratio_to_same": told.ratio,
                    "interval_99": told.interval,
                    "verdict": told.verdict,
                }
                print(
                    f"{network}, {precision}, {size} px: {told.ratio:.3f} of its SAME "
                    f"twin {told.interval}, {told.verdict}"
                )
                yield {"results": found}


main = comparison.study(
    measure,
    counts={
        "--image-size": (None, 32, "pixels; each network's own by default"),
        "--rounds": (12, 1, "of each file"),
    },
    networks=NETWORKS,
    idle=True,
)
