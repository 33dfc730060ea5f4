"""Keras 3 archives, `.keras`: read as a zip, nothing of them is executed."""

import contextlib
import io
import zipfile

from keras_effnet import files
from keras_effnet.errors import InputError
from keras_effnet.errors import explained
from keras_effnet.weights import archives
from keras_effnet.weights import keras_h5
from keras_effnet.weights.convention import of_config

_CONFIG = "config.json"
_WEIGHTS = "model.weights.h5"


def read(path, model):
    """Reads an archive as `importing.read`: its configuration as plain JSON, for the
    class and the name of each layer; the weights in memory.

    Entries that would climb out of the folder it is unpacked to are refused, and more
    bytes than the model could need.
    """
    with _opened(path) as (archive, config):
        limit = keras_h5.size_limit(model)
        weights = files.zip_entry(archive, _WEIGHTS, limit)
        names = _layer_names(config)
    return keras_h5.read_file(io.BytesIO(weights), model, source=path, names=names)


def convention(path):
    """The `Convention` of the layers that the archive lists."""
    with _opened(path) as (_, config):
        return of_config(config)


@contextlib.contextmanager
def _opened(path):
    message = "The archive can't be read, it may be cut off or damaged: {}."
    with explained(message, path), zipfile.ZipFile(path) as archive:
        _check_entries(archive.namelist())
        entry = files.zip_entry(archive, _CONFIG, files.JSON_LIMIT)
        yield archive, files.parse_json(entry)


def _check_entries(entries):
    for entry in filter(archives.leads_out, entries):
        raise InputError(
            f"The archive has an entry outside of its own folder: {entry!r}."
        )
    for wanted in (_CONFIG, _WEIGHTS):
        if wanted not in entries:
            raise InputError(f"This is no archive of Keras: it has no {wanted}.")


def _layer_names(config):
    """`{"conv2d_17": "top_conv", ...}`: the keys of the weights file."""
    try:
        layers = config["config"]["layers"]
        classes = [layer["class_name"] for layer in layers]
        names = [layer["config"]["name"] for layer in layers]
        if not all(isinstance(name, str) for name in names):
            raise TypeError(names)
        keys = keras_h5.layer_keys(classes)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"The archive's {_CONFIG} lists no layers with a class and a name, as "
            "that of a functional Keras model does."
        ) from error
    return dict(zip(keys, names, strict=True))
