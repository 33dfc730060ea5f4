"""A classifier of digits that trains in seconds, and its search, for child processes.

Run as a script it searches as `search` does, and prints every line of progress.
"""

import functools
import pathlib
import sys

import keras
import numpy as np
from keras import layers


def digits():
    """scikit-learn's digits as photographs: `(images, labels)`, 24 px, 0-255."""
    from sklearn import datasets

    found = datasets.load_digits()
    images = np.repeat(np.repeat(found.images, 3, axis=1), 3, axis=2)[..., None]
    return np.float32(images * 255 / 16) * np.ones(3, np.float32), found.target


@functools.cache
def trained():
    """A network of an inverted bottleneck, swish and a residual stream."""
    keras.utils.set_random_seed(0)
    images, labels = digits()
    image = keras.Input((24, 24, 3))
    x = layers.Rescaling(1 / 128, -1)(image)
    for filters in (8, 16):
        x = _convolution(x, filters, 3, 2)
    y = _convolution(x, 48, 1)
    y = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(y)
    y = layers.Activation("swish")(_normalised(y))
    y = _normalised(layers.Conv2D(16, 1, use_bias=False)(y))
    x = _convolution(layers.Add()([x, y]), 96, 1)
    x = layers.GlobalAveragePooling2D()(x)
    outputs = layers.Dense(10, activation="softmax")(x)
    model = keras.Model(image, outputs, name="digits")
    model.compile(
        keras.optimizers.Adam(0.01),
        "sparse_categorical_crossentropy",
        jit_compile=False,
    )
    model.fit(images[:1200], labels[:1200], batch_size=50, epochs=2, verbose=0)
    return model


def _normalised(x):
    return layers.BatchNormalization(momentum=0.8)(x)


def _convolution(x, filters, size, stride=1):
    x = layers.Conv2D(filters, size, stride, padding="same", use_bias=False)(x)
    return layers.Activation("swish")(_normalised(x))


def blends(count=300):
    """Two digits in one image, which a network finds hard: `(images, labels)`."""
    images, labels = digits()
    random = np.random.default_rng(0)
    one, other = random.integers(1200, len(images), (2, count))
    share = random.uniform(0.4, 0.6, (count, 1, 1, 1)).astype("float32")
    mixed = share * images[one] + (1 - share) * images[other]
    return mixed, np.where(share[:, 0, 0, 0] > 0.5, labels[one], labels[other])


def search(model, folder, **options):
    """The search with few steps and short measurements of latency."""
    from keras_effnet.export.judge import Images
    from keras_effnet.export.latency import host_latency
    from keras_effnet.export.tuning.search import search as whole

    images, _ = digits()
    judged, _ = blends()
    arguments = {
        "calibration": lambda: [images[:30], images[30:40]],
        "evaluation": Images(lambda: [judged]),
        "min_agreement": 1.0,
        "cost": functools.partial(
            host_latency, rounds=1, min_runs=5, min_seconds=0.02, warmup_seconds=0.0
        ),
        "float_shares": (0.1, 0.5),
        "distillation_steps": (1, 4),
    }
    return whole(model, folder, **(arguments | options))


if __name__ == "__main__":
    search(
        keras.saving.load_model(sys.argv[1]),
        pathlib.Path(sys.argv[2]),
        budget=3600,
        progress=functools.partial(print, flush=True),
    )
