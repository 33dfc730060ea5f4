"""Images to train with and images to validate with, the same on every machine."""

import hashlib
import os
from collections.abc import Callable

import numpy as np

from keras_effnet.data.finding import split_kind
from keras_effnet.data.formats import find_data
from keras_effnet.data.source import Source
from keras_effnet.errors import InputError


def is_held_out(key: str, validation: float) -> bool:
    """Whether an image is held out, by the hash of its file name alone, for a share 0
    to 1.

    Neither folders nor other images change that: the same photographs are held out from
    a folder, from TFRecord files, and after more have been added.
    """
    name = key.replace("\\", "/").rsplit("/", 1)[-1]
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
    return int(digest[:8], 16) / 2**32 < validation


def train_and_validation(
    text: str | os.PathLike,
    validation: float = 0.2,
    train_split: str | None = None,
    validation_split: str | None = None,
    data_dir: str | os.PathLike | None = None,
    on_broken: str = "skip",
    cache: str | os.PathLike | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[Source, Source]:
    """Opens the two sources of a training, `(train, validation)`, of the same classes,
    by the options of `open_source`.

    Data with a validation split of its own (`validation`, `val`, `valid`, else `test`)
    is split by that, any other by `is_held_out` with the share `validation`. Fewer than
    two classes are refused, a class that has no image to train with, and validation
    without any.
    """
    if not 0 < validation < 1:
        raise InputError(
            f"`validation` must be between 0 and 1. Received: {validation}"
        )
    data = find_data(text, data_dir)
    options = {"on_broken": on_broken, "cache": cache, "progress": progress}
    train_split = train_split or next(iter(data.splits), None)
    train = data.open(train_split, **options)
    others = [name for name in data.splits if name != train_split]
    own = (s for k in ("validation", "test") for s in others if split_kind(s) == k)
    validation_split = validation_split or next(own, None)
    if validation_split:
        held_out = data.open(validation_split, like=train, **options)
    else:
        mask = np.array([is_held_out(key, validation) for key in train.keys])
        held_out = train.subset(f"{train.name} (held out)", mask)
        train = train.subset(train.name, ~mask)
    _check(train, held_out)
    return train, held_out


def _check(train: Source, held_out: Source) -> None:
    names = train.class_names
    keys = [key.rsplit("/", 1)[-1] for key in (*train.keys, *held_out.keys)]
    if not (train.count and held_out.count) and len(keys) > 1 == len(set(keys)):
        raise InputError(
            "Photographs are held out by their file names, which must differ, or there "
            "must be a folder of its own to validate with. Received: "
            f"{len(keys)} images called {keys[0]!r} in {train.name!r}"
        )
    if len(names) < 2:
        raise InputError(
            "A classifier needs at least two classes. Received: "
            f"{', '.join(map(repr, names))} in {train.name!r}"
        )
    missing = [
        name for name, count in zip(names, train.class_counts, strict=True) if not count
    ]
    if missing:
        raise InputError(
            "Every class needs images to train with besides those that are held out. "
            f"Received: none of {', '.join(missing)} in {train.name!r}"
        )
    if not held_out.count:
        raise InputError(
            "No image is held out to validate with: more images or a larger "
            f"`validation` are needed. Received: {train.count} images in "
            f"{train.name!r}"
        )
