"""Digits: MNIST's IDX files, and those that scikit-learn brings."""

import gzip
import math
import pathlib

import numpy as np

from keras_effnet.data.digits import load_digits
from keras_effnet.data.source import array_source
from keras_effnet.data.source import check_split
from keras_effnet.errors import InputError
from keras_effnet.errors import explained

_PREFIXES = {"train": "train", "test": "t10k"}
_UINT8 = 0x08
_AXES = (b"\1", b"\2", b"\3", b"\4")
# Of the pixels, before they are unpacked; the largest EMNIST has half of it.
_MOST_BYTES = 2**30


def find_files(path):
    """`{split: (images, labels)}`, the IDX files in a folder, of its whole splits."""
    found = {}
    for split, prefix in _PREFIXES.items():
        pair = [
            _existing(path, f"{prefix}-{part}")
            for part in ("images-idx3-ubyte", "labels-idx1-ubyte")
        ]
        if all(pair):
            found[split] = tuple(pair)
    return found


def _existing(folder, name):
    # Some copies have a point where the originals have a dash.
    for candidate in (name, name.replace("-idx", ".idx")):
        for suffix in ("", ".gz"):
            path = pathlib.Path(folder) / (candidate + suffix)
            if path.is_file():
                return path
    return None


def read_idx(path):
    """The uint8 array of an IDX file, gzipped if its name ends in `.gz`.

    The format (LeCun): two zero bytes, the type, the number of axes, each axis as a
    big-endian uint32, the data.
    """
    path = pathlib.Path(path)
    unpack = gzip.open if path.suffix == ".gz" else open
    with explained("The IDX file can't be read: {}.", path), unpack(path, "rb") as file:
        head = file.read(4)
        if head[:3] != bytes([0, 0, _UINT8]) or head[3:] not in _AXES:
            raise InputError(
                "An IDX file of bytes begins with 0, 0, 8 and the number of axes, 1 "
                "to 4."
            )
        axes = file.read(4 * head[3])
        if len(axes) < 4 * head[3]:
            raise InputError("The IDX file is not whole.")
        shape = tuple(map(int, np.frombuffer(axes, ">u4")))
        size = math.prod(shape)
        if size > _MOST_BYTES:
            raise InputError(
                f"An IDX file of at most {_MOST_BYTES:,} bytes is read, not of the "
                f"shape {shape}."
            )
        data = file.read(size + 1)
        if len(data) != size:
            found = "more" if len(data) > size else f"{len(data):,}"
            raise InputError(
                f"The IDX file must have {size:,} bytes for its shape {shape}, it has "
                f"{found}."
            )
    return np.frombuffer(data, np.uint8).reshape(shape)


class IdxData:
    """A folder of MNIST's IDX files, with the splits `"train"` and `"test"`, or one of
    them."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self._files = find_files(path)
        self.splits = tuple(self._files)

    def open(self, split=None, like=None, on_broken="skip", cache=None, progress=None):
        """The digits of one split; as `open_source`."""
        split = check_split(split, self.splits, self.path)
        images, labels = map(read_idx, self._files[split])
        if images.ndim != 3 or labels.shape != images.shape[:1] or not len(images):
            raise InputError(
                "MNIST has images of shape (count, height, width) and as many labels. "
                f"Received: shapes {images.shape} and {labels.shape} in "
                f"{str(self.path)!r}"
            )
        count = len(like.class_names) if like else max(10, int(labels.max()) + 1)
        if labels.max() >= count:
            raise InputError(
                f"The training data has the labels 0 to {count - 1}. Received: "
                f"label {labels.max()} in {str(self._files[split][1])!r}"
            )
        return _digits(f"{self.path}:{split}", images[..., None], labels, split, count)


class DigitsData:
    """scikit-learn's digits, 32 pixels; `"test"` is a fifth of each digit."""

    splits = ("train", "test")

    def open(self, split=None, like=None, on_broken="skip", cache=None, progress=None):
        """The digits of one split; as `open_source`."""
        split = check_split(split, self.splits, "digits")
        digits = load_digits()[self.splits.index(split)]
        images = np.round(digits.images).astype(np.uint8)
        return _digits(f"digits:{split}", images, digits.labels, split, 10)


def _digits(name, images, labels, split, classes):
    return array_source(
        name,
        map(str, range(classes)),
        [f"{split}-{i:05d}" for i in range(len(images))],
        labels,
        images,
    )
