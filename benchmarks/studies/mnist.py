"""The recipe `mnist` on scikit-learn's digits, made 28 pixels wide: its accuracy.

    python benchmarks/studies/mnist.py

MNIST itself has to be downloaded; scikit-learn ships 1,797 digits of 8 x 8 pixels. They
are enlarged, written as MNIST's IDX files, four fifths to learn from, and trained on by
the recipe, from nothing. Writes results/mnist.json.
"""

import pathlib
import tempfile

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from keras_effnet.benchmarks.studies import comparison
from keras_effnet.benchmarks.studies import flowers
from keras_effnet.data.split import train_and_validation

SIZE = 28
HELD_OUT = 360
FILES = {"images": "{}-images-idx3-ubyte", "labels": "{}-labels-idx1-ubyte"}


def write_idx(path, array):
    """http://yann.lecun.com/exdb/mnist: type and rank, sizes, values."""
    header = bytes([0, 0, 8, array.ndim])
    sizes = np.array(array.shape, ">i4").tobytes()
    path.write_bytes(header + sizes + array.astype(np.uint8).tobytes())


def write_digits(folder):
    """IDX files `train-*` and `t10k-*`, in an order that the seed fixes."""
    digits = load_digits()
    images = [
        Image.fromarray((image * (255 / 16)).astype(np.uint8)).resize((SIZE, SIZE))
        for image in digits.images
    ]
    order = np.random.default_rng(0).permutation(len(images))
    for split, part in (("t10k", order[:HELD_OUT]), ("train", order[HELD_OUT:])):
        pixels = np.stack([images[i] for i in part])
        write_idx(folder / FILES["images"].format(split), pixels)
        write_idx(folder / FILES["labels"].format(split), digits.target[part])


def measure(args):
    with tempfile.TemporaryDirectory() as folder:
        write_digits(pathlib.Path(folder))
        source, validation = train_and_validation(folder)
        found, content = flowers.trained(
            "mnist", args, source, validation, images=source.count
        )
    print(f"{found.top1:.1%} of {validation.count}")
    yield content


main = comparison.study(measure, counts=comparison.EPOCHS)
