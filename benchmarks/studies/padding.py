"""A network that pads symmetrically beside its SAME twin: what that costs in a file.

    python benchmarks/studies/padding.py

PyTorch's networks take as many zeros on each side; here that is a layer of its own
before a convolution with strides, and a PAD in the file, which XNNPACK folds into the
convolution. Files of `export` with random weights, float32 and int8, that differ in
this alone, in turn on this machine, and their instructions on an emulated core where
QEMU and its compiler are there. Writes results/padding.json.
"""

import contextlib
import pathlib
import tempfile

import keras
import numpy as np

import keras_effnet
from keras_effnet import benchmarks
from keras_effnet.benchmarks import significance
from keras_effnet.benchmarks.studies import comparison
from keras_effnet.benchmarks.targets.emulated import Emulated
from keras_effnet.errors import InputError
from keras_effnet.export import export
from keras_effnet.specs import get_spec
from keras_effnet.weights.convention import PADDINGS

CPU = "cortex-a76"
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


def counted(core, twins):
    """Instructions of the symmetric file over those of its twin."""
    same, symmetric = (
        result.instructions
        for result in benchmarks.benchmark_many(twins, target=core, rounds=1)
    )
    return {"instructions": [same, symmetric], "instructions_ratio": symmetric / same}


def measure(args):
    found = {}
    with contextlib.ExitStack() as opened:
        core = None
        try:
            core = opened.enter_context(Emulated(CPU))
        except InputError as error:
            print(f"No instructions are counted: {error}")
        for network in args.network:
            size = args.image_size or get_spec(network).image_size
            folder = pathlib.Path(opened.enter_context(tempfile.TemporaryDirectory()))
            files = [exported(network, each, size, folder) for each in PADDINGS]
            for same, symmetric in zip(*files, strict=True):
                twins = [same.path, symmetric.path]
                rounds = [
                    significance.round_medians(result.to_dict())
                    for result in benchmarks.benchmark_many(twins, rounds=args.rounds)
                ]
                told = significance.compare(rounds[1], rounds[0])
                row = {
                    "image_size": size,
                    "partitions": symmetric.sheet.partitions,
                    "round_medians_ns": [each.tolist() for each in rounds],
                    "ratio": told.ratio,
                    "interval_99": told.interval,
                    **(counted(core, twins) if core else {}),
                }
                found[f"{network}, {symmetric.precision}"] = row
                print(
                    f"{network}, {symmetric.precision}, {size} px, of its SAME twin's: "
                    f"time {told.ratio:.3f} {told.interval}, instructions "
                    f"{row.get('instructions_ratio', float('nan')):.5f} ({CPU})"
                )
                yield {"emulator": core and core.emulator, "results": found}


main = comparison.study(
    measure,
    counts={
        "--image-size": (None, 32, "pixels; each network's own by default"),
        "--rounds": (12, 1, "of each file"),
    },
    networks=NETWORKS,
    idle=True,
)
