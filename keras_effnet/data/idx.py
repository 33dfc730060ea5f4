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
    with explained("The IDX file can't be read: {}.", path):
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != _UINT8:
        raise InputError(
            "An IDX file of bytes begins with 0, 0, 8 and the number of axes. "
            f"Received: {str(path)!r}"
        )
    start = 4 + 4 * data[3]
    if len(data) < start:
        raise InputError(f"The IDX file is not whole. Received: {str(path)!r}")
    shape = tuple(int(axis) for axis in np.frombuffer(data, ">u4", data[3], 4))
    if len(data) - start != math.prod(shape):
        raise InputError(
            f"The IDX file must have {math.prod(shape):,} bytes for its shape {shape}, "
            f"it has {len(data) - start:,}. Received: {str(path)!r}"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


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
