"""Images to train with and images to validate with, the same on every machine."""

import hashlib
import os
import pathlib
import shutil
from collections.abc import Callable

import numpy as np

from keras_effnet import files
from keras_effnet.data.finding import split_kind
from keras_effnet.data.formats import find_data
from keras_effnet.data.source import Source
from keras_effnet.errors import InputError
from keras_effnet.notes import note
from keras_effnet.paired import wilson_interval

# With fewer the interval of an accuracy is more than 28 percentage points wide.
_FEW = 50


def hash_place(key: str) -> float:
    """0 to 1, by the hash of an image's file name alone: below a share it is held out.

    Neither folders nor other images change that: the same photographs are held out from
    a folder, from TFRecord files, and after more have been added.
    """
    name = key.replace("\\", "/").rsplit("/", 1)[-1]
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
    return int(digest[:8], 16) / 2**32


def _held_out(train: Source, validation: float) -> np.ndarray:
    """Which images are held out, a bool array: each class has at least one to learn
    from, and one to validate with where it has two."""
    places = np.array([hash_place(key) for key in train.keys])
    mask = places < validation
    if len(set(places)) < 2:
        return mask  # of one name: a part of them would be chosen by chance
    for label in range(len(train.class_names)):
        (own,) = np.nonzero(train.labels == label)
        if len(own) > 1 and not mask[own].any():
            mask[own[places[own].argmin()]] = True
        elif len(own) and mask[own].all():
            mask[own[places[own].argmax()]] = False
    return mask


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
    is split by that, any other by `hash_place` with the share `validation`. Copies of
    images that are learned from are not held out, which is told, and so is it where few
    are. Fewer than two classes are refused, a class that has no image to train with,
    and validation without any.
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
        mask = _held_out(train, validation)
        held_out = train.subset(f"{train.name} (held out)", mask)
        train = train.subset(train.name, ~mask)
    copies = np.isin(held_out.digests, train.digests[train.digests != 0])
    if copies.any():
        note(
            f"{copies.sum()} of {held_out.count} images of {held_out.name} are copies "
            "of such as are learned from: "
            + ("they say little of others" if copies.all() else "they are left out")
        )
        held_out = held_out.subset(held_out.name, ~copies | copies.all())
    _check(train, held_out)
    if held_out.count < _FEW:
        low, high = wilson_interval(held_out.count // 2, held_out.count)
        note(
            f"few images are held out ({held_out.count}): an accuracy of a half may be "
            f"anything from {low:.0%} to {high:.0%}; more photographs tell more"
        )
    return train, held_out


def write_split(train: Source, held_out: Source, folder: str | os.PathLike) -> None:
    """Writes both parts as `folder/train` and `folder/validation`, one folder for each
    class in both, links to the photographs where the disk is the same, else copies.

    An `InputError` where they are no folder's photographs, or `folder` holds others.
    """
    for source in (train, held_out):
        if source.place is None or not source.place.is_dir():
            raise InputError(
                "`write_split` is for photographs in folders. "
                f"Received: {source.name!r}"
            )
    wanted = {f"train/{key}" for key in train.keys}
    wanted |= {f"validation/{key}" for key in held_out.keys}
    there = (path for path in pathlib.Path(folder).rglob("*") if path.is_file())
    if {path.relative_to(folder).as_posix() for path in there} == wanted:
        return  # by a run that goes on
    with files.replacing_folder(folder) as temporary:
        for name, source in (("train", train), ("validation", held_out)):
            for key in source.keys:
                target = temporary / name / key
                target.parent.mkdir(parents=True, exist_ok=True)
                origin = (source.place / key).resolve()
                try:
                    os.link(origin, target)
                except OSError:
                    shutil.copyfile(origin, target)


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
