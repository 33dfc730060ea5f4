"""A weights file of any format, read into arrays with our names."""

import importlib
import os
import pathlib
import types
from typing import TYPE_CHECKING

import numpy as np

from keras_effnet.errors import InputError
from keras_effnet.errors import suggest
from keras_effnet.weights.convention import Convention

if TYPE_CHECKING:
    import keras

# By suffix, the longest first; each module has `read(path, model)`.
_IMPORTERS = {
    ".weights.h5": "keras_h5",
    ".h5": "keras_h5",
    ".hdf5": "keras_h5",
    ".keras": "keras_archive",
    ".pth": "torch_file",
    ".pt": "torch_file",
    ".bin": "torch_file",
    ".pth.tar": "torch_file",
    ".ckpt": "torch_file",
    ".safetensors": "torch_file",
    ".tar.gz": "tf_checkpoint",
    ".tgz": "tf_checkpoint",
    ".index": "tf_checkpoint",
}
FORMATS = tuple(_IMPORTERS)
# TensorFlow's programs name a checkpoint by what the names of its files begin with.
_INDEX = ".index"


def is_path(weights: object) -> bool:
    """Whether a value for `weights` means a file and not a published set."""
    return isinstance(weights, os.PathLike) or (
        isinstance(weights, str)
        and (
            weights.endswith(FORMATS)
            or os.sep in weights
            or any(os.path.exists(weights + end) for end in ("", _INDEX))
        )
    )


def importer_of(path: str | os.PathLike) -> types.ModuleType:
    """The module whose `read(path, model)` reads a file, or a checkpoint's folder."""
    path = pathlib.Path(path)
    if path.is_dir() or (not path.exists() and os.path.exists(f"{path}{_INDEX}")):
        name = "tf_checkpoint"
    elif not path.is_file():
        raise InputError(_not_found(path))
    else:
        names = (n for suffix, n in _IMPORTERS.items() if path.name.endswith(suffix))
        name = next(names, "")
    if not name:
        raise InputError(
            f"A weights file ends in {', '.join(FORMATS)}. Received: {str(path)!r}"
        )
    return importlib.import_module(f"keras_effnet.weights.{name}")


def read(path: str | os.PathLike, model: "keras.Model") -> dict[str, np.ndarray]:
    """`{"layer/variable": array}` of a file of one of `FORMATS`, or of a TensorFlow
    checkpoint's folder: float32, with the layer names of `keras.applications` and
    Keras' layout of the arrays. What has no place in the model keeps its foreign name.

    The model is that which it is meant for: its blocks give the file's numbered ones
    their names.
    """
    return importer_of(path).read(pathlib.Path(path), model)


def convention(path: str | os.PathLike) -> Convention | None:
    """How the network of a file was trained, as far as the file and what lies beside it
    tell; `None` where it is a Keras file of which that is not known."""
    return importer_of(path).convention(pathlib.Path(path))


def _not_found(path: pathlib.Path) -> str:
    try:
        siblings = [p.name for p in path.parent.iterdir() if p.name.endswith(FORMATS)]
    except OSError:
        siblings = []
    return (
        f"There is no such weights file. {suggest(path.name, siblings)}"
        f"Received: {str(path)!r}"
    )
