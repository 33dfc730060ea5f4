"""How fast photographs become training images: against decoding alone, and Keras.

    python benchmarks/studies/input_pipeline.py

One process, three pipelines in turn over the same JPEG files, which the operating
system has cached: `tf.io.decode_jpeg` alone; crop, flip, RandAugment (magnitude 15,
two layers) and mixup of this package; `keras.utils.image_dataset_from_directory`
with `keras.layers.RandAugment` (the same magnitude and layers) and `MixUp`. Seconds
of wall time and of CPU time, which others on the machine disturb less. Keras' side
is so slow that it is given fewer photographs. Writes results/input_pipeline.json.
KERAS_EFFNET_SHARED names the folder of photographs.
"""

import os
import pathlib
import resource
import tempfile
import time
from functools import partial

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from keras_effnet import preprocessing
from keras_effnet.benchmarks.studies import comparison
from keras_effnet.data import augment
from keras_effnet.data import mix
from keras_effnet.training.recipe import Recipe
from keras_effnet.training.recipe import Stage

PHOTOS = 320
PASSES = 3  # of the fast sides: one would be half start-up
BATCH = 32
OF_KERAS = 64
SIZES = (128, 224, 300)
LEAST_OF_DECODING = 0.8
MAGNITUDE, LAYERS, MIXUP_ALPHA = 15, 2, 0.2


def decoding(paths, labels):
    """Every photograph decoded, nothing else."""
    return (
        tf.data.Dataset.from_tensor_slices((paths, labels))
        .map(
            lambda path, _: tf.shape(tf.io.decode_jpeg(tf.io.read_file(path), 3)),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        .prefetch(tf.data.AUTOTUNE)
    )


def ours(paths, labels, size):
    """This package's training images in batches, mixed."""
    classes = int(max(labels)) + 1
    recipe = Recipe(
        "benchmark",
        "EfficientNetV2S",
        1,
        augmentation="randaugment",
        randaugment_layers=LAYERS,
    )
    stage = Stage(0, 0, 1, size, BATCH, MAGNITUDE, MIXUP_ALPHA, 0.0, 0.0, 0.0)
    rule = preprocessing.for_weights("EfficientNetV2S", image_size=size)

    def one(place, example):
        path, label = example
        image = augment.training_image(
            tf.io.read_file(path), tf.stack([0, place]), stage, recipe, rule
        )
        return image, tf.one_hot(label, classes)

    return (
        tf.data.Dataset.from_tensor_slices((paths, labels))
        .enumerate()
        .map(one, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(BATCH, drop_remainder=True)
        .enumerate()
        .map(
            lambda step, batch: mix.mix(*batch, tf.stack([1, step]), MIXUP_ALPHA),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        .prefetch(tf.data.AUTOTUNE)
    )


def with_keras(folder, size):
    """What Keras' own functions make of the same photographs."""
    randaugment = keras.layers.RandAugment(
        (0, 255), num_ops=LAYERS, factor=MAGNITUDE / 30
    )
    crop = keras.layers.RandomCrop(size, size)
    flip = keras.layers.RandomFlip("horizontal")
    mixup = keras.layers.MixUp(MIXUP_ALPHA)
    larger = round(size * 8 / 7)
    data = keras.utils.image_dataset_from_directory(
        folder,
        label_mode="categorical",
        batch_size=BATCH,
        image_size=(larger, larger),
        shuffle=False,
        verbose=False,
    )

    def augmented(images, labels):
        images = randaugment(flip(crop(images, training=True), training=True))
        mixed = mixup({"images": images, "labels": labels}, training=True)
        return mixed["images"], mixed["labels"]

    return data.map(augmented, num_parallel_calls=tf.data.AUTOTUNE).prefetch(
        tf.data.AUTOTUNE
    )


def one_pass(dataset):
    """Seconds of wall time and of CPU time of all threads."""
    wall, cpu = time.perf_counter(), _cpu_seconds()
    for _ in dataset:
        pass
    return time.perf_counter() - wall, _cpu_seconds() - cpu


def _cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def compare(pipelines, counts, rounds):
    """Passes in turn, each pipeline first in turn."""
    sides = {name: partial(one_pass, dataset) for name, dataset in pipelines.items()}
    comparison.in_turn(sides, 1)
    seconds = comparison.in_turn(sides, rounds)
    names = list(pipelines)
    medians = {
        name: np.median(passes, axis=0) / counts[name]
        for name, passes in seconds.items()
    }
    decoding_, ours_, keras_ = (medians[name] for name in names)
    return {
        "photographs": counts,
        "wall_and_cpu_seconds": seconds,
        "images_per_second": {name: 1 / medians[name][0] for name in names},
        "cpu_ms_per_image": {name: 1e3 * medians[name][1] for name in names},
        "rate_of_decoding": decoding_[0] / ours_[0],
        "rate_of_decoding_by_cpu_time": decoding_[1] / ours_[1],
        "times_keras": keras_[0] / ours_[0],
        "times_keras_by_cpu_time": keras_[1] / ours_[1],
    }


def flowers():
    """Every n-th photograph, of five classes."""
    found = sorted(comparison.FLOWERS.glob("*/*.jp*g"))
    paths = found[:: -(-len(found) // PHOTOS)]
    classes = sorted({path.parent.name for path in paths})
    return paths, [classes.index(path.parent.name) for path in paths]


def imagenet_sample():
    """The first photographs; they are one of each class, so two make-believe ones."""
    paths = sorted(comparison.IMAGENET.glob("*.JPEG"))[:PHOTOS]
    return paths, [number % 2 for number in range(len(paths))]


def measure(args):
    results = {}
    for photographs in (flowers, imagenet_sample):
        paths, labels = photographs()
        for size in args.size or SIZES:
            with tempfile.TemporaryDirectory() as folder:
                for number, (path, label) in enumerate(zip(paths, labels, strict=True)):
                    link = pathlib.Path(folder, str(label), f"{number}.jpg")
                    link.parent.mkdir(exist_ok=True)
                    link.symlink_to(path)
                often = [str(path) for path in paths] * PASSES, labels * PASSES
                result = compare(
                    {
                        "tf.io.decode_jpeg": decoding(*often),
                        "keras_effnet": ours(*often, size),
                        "keras": with_keras(folder, size).take(OF_KERAS // BATCH),
                    },
                    {
                        "tf.io.decode_jpeg": len(often[0]),
                        "keras_effnet": len(often[0]) // BATCH * BATCH,
                        "keras": OF_KERAS,
                    },
                    args.rounds,
                )
            name = f"{photographs.__name__} at {size} px"
            results[name] = result
            rates = ", ".join(
                f"{side} {rate:.0f}/s"
                for side, rate in result["images_per_second"].items()
            )
            print(
                f"{name}: {rates}; {result['rate_of_decoding']:.2f} of decoding "
                f"({result['rate_of_decoding_by_cpu_time']:.2f} by CPU time), "
                f"{result['times_keras']:.1f} times Keras",
                flush=True,
            )
    yield {"least_of_decoding": LEAST_OF_DECODING, "comparisons": results}


main = comparison.study(
    measure,
    counts={"--rounds": (5, 1, "passes of each side")},
    more={"--size": {"action": "append", "type": int, "choices": SIZES}},
    idle=True,
)
