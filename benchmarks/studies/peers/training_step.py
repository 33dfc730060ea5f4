"""The training loop against `train_on_batch` of a bare model of keras.applications.

    python benchmarks/studies/peers/training_step.py

EfficientNet-B0 at 224 pixels, batches of 32, SGD with momentum, one process: an epoch
of the whole loop (images from memory through the pipeline, callbacks, progress), then
as many batches, ready in memory, through the bare model's `train_on_batch`. Once
without and once with the moving average of weights, which the bare model lacks. The
first epoch of both traces the step and is left out. Writes results/training_step.json.
"""

import os
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from keras_effnet.benchmarks.studies import comparison
from keras_effnet.data.source import array_source
from keras_effnet.training.loop import Training
from keras_effnet.training.recipe import Recipe

BATCH, SIZE, CLASSES = 32, 224, 1000
STEPS = 1
LEAST = 0.97
LEARNING_RATE, MOMENTUM = 1e-3, 0.9


def images_in_memory(count):
    """Random pixels, a `Source`."""
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)
    labels = np.arange(count) % CLASSES
    return array_source(
        "random pixels",
        [f"class {number}" for number in range(CLASSES)],
        [f"image {number}" for number in range(count)],
        labels,
        pixels,
    )


def bare_model():
    """Compiled as any tutorial has it, with the loop's loss, metrics and optimizer."""
    model = keras.applications.EfficientNetB0(weights=None)
    model.compile(
        keras.optimizers.SGD(LEARNING_RATE, MOMENTUM),
        loss="categorical_crossentropy",
        metrics=["accuracy", keras.metrics.TopKCategoricalAccuracy(5)],
    )
    return model


def compare(ema, epochs):
    """Images per second of both sides, epoch by epoch."""
    recipe = Recipe(
        "benchmark",
        "EfficientNetB0",
        epochs,
        batch_size=BATCH,
        image_size=(SIZE, SIZE),
        optimizer="sgd",
        momentum=MOMENTUM,
        learning_rate=LEARNING_RATE,
        schedule="constant",
        augmentation="none",
        ema=ema,
        checkpoint_minutes=1000,
    )
    source = images_in_memory(STEPS * BATCH)
    bare = bare_model()
    pixels = np.stack([example["image"] for example in source.dataset()])
    batches = [
        (
            pixels[start : start + BATCH].astype("float32"),
            np.eye(CLASSES, dtype="float32")[source.labels[start : start + BATCH]],
        )
        for start in range(0, len(pixels), BATCH)
    ]
    bare.train_on_batch(*batches[0])
    theirs = []

    def after_epoch(_):
        started = time.perf_counter()
        for batch in batches:
            bare.train_on_batch(*batch)
        theirs.append(STEPS * BATCH / (time.perf_counter() - started))

    with tempfile.TemporaryDirectory() as folder:
        training = Training(
            recipe,
            source,
            source.subset("one", np.arange(source.count) < 1),
            folder,
            progress=after_epoch,
        )
        training.run()
        ours = [row["images_per_second"] for row in training.state.history]
    rates = {"keras_effnet": ours[1:], "keras.applications": theirs[1:]}
    medians = comparison.medians(rates)
    return {
        "images_per_second": rates,
        "median_images_per_second": medians,
        "rate_of_the_bare_model": medians["keras_effnet"]
        / medians["keras.applications"],
    }


def measure(args):
    results = {}
    for name, ema in (("the loop", None), ("the loop with EMA", 0.9999)):
        results[name] = compare(ema, args.epochs)
        print(
            f"{name}: {results[name]['rate_of_the_bare_model']:.3f} of train_on_batch",
            results[name]["median_images_per_second"],
            flush=True,
        )
    yield {"least_hoped_for": LEAST, "comparisons": results}


main = comparison.study(
    measure,
    counts={"--epochs": (8, 2, "of each side; the first is left out")},
    idle=True,
)
