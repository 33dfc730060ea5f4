"""EfficientNet-B4 with Fused-MBConv in no stage, 1-3, 1-5 and 1-7: training steps.

    python benchmarks/studies/fused.py

The EfficientNetV2 paper's Table 3 (155, 216, 223 and 206 images/s per V100 core in
its order), on whatever this machine has: batches of random pixels through
`train_on_batch`, the four networks in turn, each first in turn. Writes
results/fused.json. On a GPU, `--batch 64 --size 380` is the paper's case.
"""

import functools
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import keras_effnet
from keras_effnet.benchmarks.studies import comparison

FUSED_STAGES = {"none": 0, "1-3": 3, "1-5": 5, "1-7": 7}  # the last one
STEPS = 2
CLASSES = 1000


def compiled(last, size):
    keras.utils.set_random_seed(0)
    model = keras_effnet.EfficientNetB4(
        fused_stages=range(1, last + 1), input_shape=(size, size, 3)
    )
    model.compile(keras.optimizers.SGD(1e-3, 0.9), loss="categorical_crossentropy")
    return model


def measure(args):
    draw = np.random.default_rng(0)
    images = draw.uniform(0, 255, (args.batch, args.size, args.size, 3))
    batch = (
        images.astype("float32"),
        np.eye(CLASSES, dtype="float32")[draw.integers(0, CLASSES, args.batch)],
    )
    models = {name: compiled(last, args.size) for name, last in FUSED_STAGES.items()}

    def rate(model):
        started = time.perf_counter()
        for _ in range(STEPS):
            model.train_on_batch(*batch)
        return STEPS * args.batch / (time.perf_counter() - started)

    sides = {name: functools.partial(rate, model) for name, model in models.items()}
    comparison.in_turn(sides, 1)  # the first steps are traced
    rates = comparison.in_turn(sides, args.rounds)
    medians = comparison.medians(rates)
    parameters = {name: model.count_params() for name, model in models.items()}
    for name, median in medians.items():
        print(
            f"fused stages {name}: {parameters[name] / 1e6:.1f} M "
            f"parameters, {median:.2f} images/s, {median / medians['none']:.2f}"
        )
    yield {
        "devices": [device.name for device in tf.config.list_logical_devices()],
        "batch": args.batch,
        "image_size": args.size,
        "parameters": parameters,
        "images_per_second": rates,
        "median_images_per_second": medians,
        "times_none": {name: each / medians["none"] for name, each in medians.items()},
    }


main = comparison.study(
    measure,
    counts={
        "--batch": (8, 1, "images"),
        "--size": (192, 32, "pixels"),
        "--rounds": (5, 1, "of each network"),
    },
    idle=True,
)
