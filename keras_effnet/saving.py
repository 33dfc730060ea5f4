"""What travels with a model and inside its `.keras` file: its preprocessing, the names
of its classes, and which photographs it was made with."""

import json
import os
import pathlib
import re
import types
import zipfile
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from keras_effnet import files
from keras_effnet import made_with as digests
from keras_effnet.errors import InputError
from keras_effnet.errors import explained
from keras_effnet.rule import Preprocessing
from keras_effnet.rule import as_json
from keras_effnet.rule import from_json

if TYPE_CHECKING:
    import keras

# Stock `keras.saving.load_model` ignores entries that it doesn't know.
ENTRY = "preprocessing.json"
CLASSES_ENTRY = "class_names.json"
MADE_WITH_ENTRY = "made_with.bin"
# Bytes; ImageNet-21k's names have under a million, and its photographs 8 each.
_ENTRY_LIMIT, _MADE_WITH_LIMIT = 2**24, 2**27
_ATTRIBUTE = "_keras_effnet_preprocessing"
_CLASSES_ATTRIBUTE = "_keras_effnet_class_names"
_MADE_WITH_ATTRIBUTE = "_keras_effnet_made_with"


def attach(
    model: "keras.Model",
    preprocessing: Preprocessing | None,
    class_names: Iterable[str] | None = None,
    made_with: np.ndarray | None = None,
) -> None:
    """Makes a preprocessing a part of a model: `model.save` writes it too.

    A model that is built on another, a new classifier on an old trunk, needs
    this once: `attach(new, attached(old), made_with=made_with(old))`.

    Args:
        model: A `keras.Model`.
        preprocessing: A `Preprocessing`, or `None` where it is not known.
        class_names: The names of its classes, in order, or `None`.
        made_with: Digests, of `keras_effnet.made_with`, of the photographs that it
            learned from; `None` leaves what is known of that.
    """
    setattr(model, _ATTRIBUTE, preprocessing)
    if made_with is not None:
        setattr(model, _MADE_WITH_ATTRIBUTE, made_with)
    setattr(model, _CLASSES_ATTRIBUTE, class_names and tuple(class_names))
    model.save = types.MethodType(_save, model)


def attached(model: "keras.Model") -> Preprocessing | None:
    """The `Preprocessing` that was attached to a model, or `None`."""
    return getattr(model, _ATTRIBUTE, None)


def class_names(model: "keras.Model") -> tuple[str, ...] | None:
    """The names of a model's classes that were attached to it, or `None`."""
    return getattr(model, _CLASSES_ATTRIBUTE, None)


def made_with(model: "keras.Model") -> np.ndarray | None:
    """The digests of the photographs that a model learned from, as
    `keras_effnet.made_with` has them, or `None` where that is not known."""
    return getattr(model, _MADE_WITH_ATTRIBUTE, None)


def _save(
    self: "keras.Model", filepath: str | os.PathLike, *args: Any, **kwargs: Any
) -> None:
    """Saves as `keras.Model.save` does, with the preprocessing in the archive."""
    local = isinstance(filepath, str | os.PathLike) and "://" not in str(filepath)
    if not (local and str(filepath).endswith(".keras")) or args or kwargs:
        type(self).save(self, filepath, *args, **kwargs)
        if local and zipfile.is_zipfile(filepath):
            write(filepath, attached(self), class_names(self), made_with(self))
        return
    with files.replacing(filepath) as temporary:
        type(self).save(self, temporary)
        write(temporary, attached(self), class_names(self), made_with(self))


def write(
    path: str | os.PathLike,
    preprocessing: Preprocessing | None,
    class_names: Sequence[str] | None = None,
    made_with: np.ndarray | None = None,
) -> None:
    """Adds a preprocessing, names of classes and digests to a `.keras` archive.

    Args:
        path: Of the archive.
        preprocessing: A `Preprocessing`, or `None`.
        class_names: Names in order, or `None`.
        made_with: As for `attach`.
    """
    with zipfile.ZipFile(path, "a") as archive:
        if preprocessing is not None:
            archive.writestr(ENTRY, json.dumps(as_json(preprocessing), indent=2))
        if class_names:
            archive.writestr(CLASSES_ENTRY, json.dumps(class_names, indent=0))
        if made_with is not None:
            archive.writestr(MADE_WITH_ENTRY, digests.packed(made_with))


def read(path: str | os.PathLike) -> Preprocessing | None:
    """The preprocessing that a `.keras` archive carries.

    Args:
        path: Of the archive.

    Returns:
        A `Preprocessing`, or `None` where the archive has none.

    Raises:
        InputError: The archive or its entry is damaged.
    """
    return _entry(path, ENTRY, lambda data: from_json(files.parse_json(data)))


def read_class_names(path: str | os.PathLike) -> tuple[str, ...] | None:
    """The names of the classes that a `.keras` archive carries, as `read`."""
    return _entry(path, CLASSES_ENTRY, _names)


def read_made_with(path: str | os.PathLike) -> np.ndarray | None:
    """The digests of the photographs that a `.keras` archive's model learned from, as
    `read`."""
    return _entry(path, MADE_WITH_ENTRY, digests.unpacked, _MADE_WITH_LIMIT)


def _entry(
    path: str | os.PathLike,
    name: str,
    convert: Callable[[bytes], Any],
    limit: int = _ENTRY_LIMIT,
) -> Any:
    message = f"The archive's {name} can't be read: {{}}."
    with explained(message, path), zipfile.ZipFile(path) as archive:
        if name not in archive.namelist():
            return None
        return convert(files.zip_entry(archive, name, limit))


def _names(data: bytes) -> tuple[str, ...]:
    values = files.parse_json(data)
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        raise ValueError("it must be a list of names")
    return tuple(values)


def _version_2(data: bytes) -> str | None:
    found = re.match(r"2[.\d]+", files.parse_json(data)["keras_version"])
    return found and found[0]


def load_model(path: str | os.PathLike) -> "keras.Model":
    """Loads a `.keras` file with its preprocessing, without its training state.

    Args:
        path: Path of the file.

    Returns:
        A `keras.Model`.

    Raises:
        InputError: The file can't be read, or is no Keras model.
    """
    import keras

    import keras_effnet.activations  # noqa: F401 - registers Swish

    path = pathlib.Path(path)
    if not path.is_file():
        raise InputError(f"There is no such .keras file. Received: {str(path)!r}")
    if not zipfile.is_zipfile(path):
        raise InputError(f"This is no .keras file. Received: {str(path)!r}")
    preprocessing = read(path)
    names, learned = read_class_names(path), read_made_with(path)
    message = "Keras can't load the model: {}."
    if version := _entry(path, "metadata.json", _version_2):
        message = (
            f"The file is of Keras {version}, whose weights alone Keras 3 reads: "
            "save them there as .h5, for `weights`. {}."
        )
    with explained(message, path):
        model = keras.saving.load_model(path, compile=False)
    if preprocessing is not None or names or learned is not None:
        attach(model, preprocessing, names, learned)
    return model
