"""Weights: read from files of several formats, checked, put into a model."""

import os
import pathlib

from keras_effnet.errors import InputError
from keras_effnet.errors import suggest
from keras_effnet.weights.assign import assign

FORMATS = (".weights.h5", ".h5", ".hdf5", ".pth", ".pt")


def load_weights(model, path):
    """Loads a weights file into a model; all of it or nothing.

    Args:
        model: A `keras.Model` with the layer names of `keras.applications`.
        path: A Keras `.weights.h5`, a legacy Keras `.h5`, or a PyTorch `.pth`
            of EfficientNet-Lite (needs `keras-effnet[torch]`).

    Raises:
        InputError: There is no such file, it can't be read, or it belongs to
            another network; the model is unchanged.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(
            f"`weights` must be None or the path of a weights file. Received: {path!r}"
        )
    path = pathlib.Path(path)
    if not path.is_file():
        raise InputError(_not_found(path))
    if not path.name.endswith(FORMATS):
        raise InputError(
            f"A weights file ends in {', '.join(FORMATS)}. Received: {str(path)!r}"
        )
    if path.suffix in (".pth", ".pt"):
        from keras_effnet.weights import torch_pickle as importer
    else:
        from keras_effnet.weights import keras_h5 as importer
    assign(model, importer.read(path, model), source=path.name)


def _not_found(path):
    try:
        siblings = [p.name for p in path.parent.iterdir() if p.name.endswith(FORMATS)]
    except OSError:
        siblings = []
    return (
        "`weights` must be None or the path of a weights file, and there is no "
        f"such file. {suggest(path.name, siblings)}Received: {str(path)!r}"
    )
