"""The names of ImageNet's classes, and probabilities turned into names."""

import csv
import functools
import importlib.resources
import importlib.util
import os
import pathlib
import typing
from collections.abc import Sequence
from collections.abc import Sized

import numpy as np

from keras_effnet.errors import InputError
from keras_effnet.errors import explained


class Prediction(typing.NamedTuple):
    """One class of one image, as `keras.applications.decode_predictions` has it.

    Attributes:
        id: WordNet id, `"n01440764"`; of other data, the class index as text.
        name: `"tench"`.
        probability: 0 to 1.
    """

    id: str
    name: str
    probability: float


@functools.cache
def imagenet_classes() -> tuple[tuple[str, str], ...]:
    """The 1000 classes as `(wordnet_id, name)`, in the order of the index."""
    table = importlib.resources.files("keras_effnet.assets") / "imagenet_classes.csv"
    rows = csv.DictReader(table.read_text(encoding="utf-8").splitlines())
    return tuple((row["wnid"], row["name"]) for row in rows)


@functools.cache
def imagenet_names() -> tuple[str, ...]:
    """The names of the 1000 classes, a tuple in the order of the index."""
    return tuple(name for _, name in imagenet_classes())


@functools.cache
def imagenet12k_names() -> tuple[str, ...] | None:
    """The names of timm's 11,821 classes, a tuple in the order of the index, or `None`
    where timm, which holds them, is not installed."""
    timm = importlib.util.find_spec("timm")
    if timm is None or not timm.submodule_search_locations:
        return None
    # Read, not imported: that would take seconds, and PyTorch.
    folder = pathlib.Path(timm.submodule_search_locations[0], "data", "_info")
    try:
        synsets, lemmas = (
            (folder / f"{name}.txt").read_text(encoding="utf-8").splitlines()
            for name in ("imagenet12k_synsets", "imagenet_synset_to_lemma")
        )
        named = dict(line.split("\t", 1) for line in lemmas)
        return tuple(named[synset] for synset in synsets)
    except (OSError, KeyError, ValueError):  # of another version
        return None


def read_names(source: str | os.PathLike) -> tuple[str, ...]:
    """Names of classes as a user gives them.

    Args:
        source: `"imagenet"`, or the path of a text file with one name a line.

    Returns:
        A tuple of names in order.

    Raises:
        InputError: There is no such file, or it is no text.
    """
    if source == "imagenet":
        return imagenet_names()
    with explained("The names of the classes can't be read: {}.", source):
        lines = pathlib.Path(source).read_text(encoding="utf-8-sig").split("\n")
    return tuple(line.rstrip("\r") for line in lines if line.strip())


def check_names(names: Sized, classes: int) -> None:
    """Raises an `InputError` unless there is a name for each class."""
    if len(names) != classes:
        raise InputError(
            f"There must be a name for each of the {classes} classes. "
            f"Received: {len(names)} names"
        )


def decode_predictions(
    probabilities: np.ndarray, top: int = 5, class_names: Sequence[str] | None = None
) -> list[list[Prediction]]:
    """The most probable classes of each image.

    Args:
        probabilities: Float array, `(batch, classes)`.
        top: How many per image.
        class_names: Names in order; ImageNet's for 1000 classes when `None`, as
            `keras.applications` has it.

    Returns:
        A list, one per image, of lists of `Prediction`, the most probable first.

    Raises:
        InputError: The shape or the number of names does not fit.
    """
    probabilities = np.asarray(probabilities)
    if probabilities.ndim != 2:
        raise InputError(
            "Probabilities must have the shape (batch, classes). "
            f"Received: shape={probabilities.shape}"
        )
    count = probabilities.shape[1]
    classes: Sequence[tuple[str, str]]
    if class_names is not None and tuple(class_names) != imagenet_names():
        classes = [(str(index), name) for index, name in enumerate(class_names)]
    elif count == 1000:
        classes = imagenet_classes()
    else:
        classes = [(str(index), f"class {index}") for index in range(count)]
    check_names(classes, count)
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    return [
        [Prediction(*classes[int(index)], float(row[index])) for index in indices]
        for row, indices in zip(probabilities, order, strict=True)
    ]
