"""Keras HDF5 files: `.weights.h5` of Keras 3 and the legacy `.h5`."""

import collections
import dataclasses
import re

import h5py
import ml_dtypes
import numpy as np

from keras_effnet import files
from keras_effnet.errors import InputError
from keras_effnet.errors import explained
from keras_effnet.rule import NORMALIZATIONS
from keras_effnet.weights import keras_names
from keras_effnet.weights.convention import TENSORFLOW
from keras_effnet.weights.convention import of_config

# The V1 files that Keras released hold the standard deviation for the variance. Since
# TensorFlow 2.10 another Rescaling mends that; before, networks were trained without.
_STD = np.divide(NORMALIZATIONS["imagenet"][1], 255)
# The last layers of a network by their kind: a model without the top reads a
# file that has one.
_ENDS = {
    "conv2d": "top_conv",
    "batch_normalization": "top_bn",
    "dense": "predictions",
}
_DAMAGED = "The weights file can't be read, it may be cut off or damaged: {}."


def read(path, model):
    """Reads a file as `importing.read`. A legacy file has the names of its layers, and
    so has one of Keras 3.8 or newer; in an older one of Keras 3 they have the order of
    the model's."""
    return read_file(path, model, source=path)


def convention(path):
    """The `Convention` of the layers that a whole model's file lists. Layers that pad
    have no weights, and in a file of weights alone only a name: that of those by which
    EfficientNets in Keras complete SAME, and of those that pad symmetrically."""
    with explained(_DAMAGED, path), h5py.File(path, "r") as root:
        if "model_config" in root.attrs:
            return of_config(files.parse_json(root.attrs["model_config"]))
        names = list(root.get("layers", ())) or _attribute(root, "layer_names")
        pads = any(re.match(r"zero_padding2d|.*pad$", name) for name in names)
        # A V1 of keras.applications always has both.
        assumed = pads and "normalization" not in names
        return dataclasses.replace(TENSORFLOW, bn_epsilon=None, assumed=assumed)


def read_file(file, model, source, names=None):
    """As `read`, of a path or of a binary file object, which messages call `source`.
    `names` are the layer names of a Keras 3 file by their keys, `{"conv2d_17":
    "top_conv", ...}`, where they are known from elsewhere."""
    with explained(_DAMAGED, source), h5py.File(file, "r") as root:
        layers = _layers(root, model, names)
        mended = "layers" in root or len(_rescalings(layers)) > 1
    if names is not None:
        mended = len(_rescalings(names)) > 1
    values = _named(layers, model, source)
    variance = values.get("normalization/variance")
    if mended and np.size(variance) == 3 and np.allclose(variance, _STD, atol=1e-4):
        values["normalization/variance"] = np.square(variance)
    return values


def _rescalings(layers):
    return [name for name in layers if name.startswith("rescaling")]


def size_limit(model):
    """The most bytes that a file for this model may unpack to.

    Four copies of every parameter in float32 (the weights, their moving
    average, the two moments of Adam) and 1 GiB: a classifier of 21,843 classes
    or the rest of a network of which the model is a part. A few kilobytes that
    claim to hold more would fill the memory before anything is compared.
    """
    return 2**30 + 4 * 4 * model.count_params()


def layer_keys(classes):
    """What Keras 3 calls the layers of these classes in a file, which is by class and
    position: `["conv2d", "batch_normalization", "conv2d_1", ...]`."""
    counts = collections.Counter()
    keys = []
    for name in classes:
        kind = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
        kind = re.sub(r"([a-z])([A-Z])", r"\1_\2", kind).lower()
        keys.append(f"{kind}_{counts[kind]}" if counts[kind] else kind)
        counts[kind] += 1
    return keys


def _layers(root, model, names):
    """`{layer: {variable: array}}` with the names of the file."""
    read_array = _Reader(size_limit(model))
    if "layers" in root:
        return _keras3(root, model, names, read_array)
    if "model_weights" in root:
        root = _child(root, "model_weights")
    layers = list(_attribute(root, "layer_names"))
    if not layers:
        raise InputError(
            "This HDF5 file holds no Keras weights: neither 'layers' (Keras 3) nor "
            "'layer_names' (legacy) is in it."
        )
    if "top_level_model_weights" in root:
        layers.append("top_level_model_weights")
    found = {}
    for layer in layers:
        group = _child(root, layer)
        variables = _attribute(group, "weight_names")
        found[layer] = {name: read_array(_child(group, name)) for name in variables}
    return found


def _attribute(group, name):
    """A list of names; Keras cuts one of more than 64 kB into `name0`, `name1`..."""
    parts = [group.attrs[name]] if name in group.attrs else []
    while f"{name}{len(parts)}" in group.attrs:
        parts.append(group.attrs[f"{name}{len(parts)}"])
    return [
        value.decode() if isinstance(value, bytes) else value
        for part in parts
        for value in part
    ]


def _keras3(root, model, names, read_array):
    found = {}
    stored = {}
    for key, group in _groups_of_variables(_child(root, "layers")):
        found[key] = {n: read_array(_child(group, n)) for n in sorted(group, key=int)}
        # A model inside the model keeps its path: its names are not the model's.
        if "name" in group.attrs and "/" not in key:
            stored[key] = group.attrs["name"]
    if "vars" in root:
        own = _child(root, "vars")
        found["the model's own"] = {n: read_array(_child(own, n)) for n in own}
    if names is None:
        names = stored or _names_by_position(found, model)
    return {names.get(key, key): variables for key, variables in found.items()}


def _groups_of_variables(layers):
    groups = []

    def collect(path, item):
        key, _, last = path.rpartition("/")
        # The random state of a Dropout is no weight.
        if last == "vars" and not key.endswith("seed_generator"):
            groups.append((key, item))

    # Follows no links to other places, and enters each group once.
    layers.visititems(collect)
    return groups


def _names_by_position(found, model):
    keys = layer_keys(type(layer).__name__ for layer in model.layers)
    names = dict(zip(keys, (layer.name for layer in model.layers), strict=True))
    for kind, end in _ENDS.items():
        beyond = [
            key
            for key in found
            if re.fullmatch(rf"{kind}(_\d+)?", key) and key not in names
        ]
        if len(beyond) == 1 and end not in names.values():
            names[beyond[0]] = end
    return names


def _child(group, path):
    """A member of a group, by hard links only: others lead to other files."""
    for name in path.split("/"):
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise InputError(
                "The weights file refers to another place or another file, which "
                f"is refused: {path!r}."
            )
        group = group[name]
    return group


class _Reader:
    """Reads arrays until they are more than a limit in all, in bytes."""

    def __init__(self, limit):
        self.limit = limit
        self.bytes = 0

    def __call__(self, dataset):
        if dataset.external or dataset.is_virtual:
            raise InputError(
                "The weights file takes an array from another file, which is "
                f"refused: {dataset.name!r}."
            )
        self.bytes += dataset.nbytes
        if self.bytes > self.limit:
            raise InputError(
                f"The weights file unpacks to more than {self.limit} bytes, the most "
                "that this network could need."
            )
        array = dataset[()]
        # HDF5 knows no bfloat16; Keras writes the bytes and an attribute.
        if dataset.attrs.get("dtype") == "bfloat16":
            array = np.asarray(array).view(ml_dtypes.bfloat16)
        return np.asarray(array, "float32")


def _named(layers, model, source):
    layers = {name: variables for name, variables in layers.items() if variables}
    if not layers:
        raise InputError(
            "This HDF5 file holds no Keras weights: no layer in it has variables. "
            f"Received: {str(source)!r}"
        )
    ours = keras_names.our_layers(layers, model)
    if not ours:
        more = ", ..." if len(layers) > 3 else ""
        raise InputError(
            "No layer of the file has a known name, such as 'stem_conv': of a model "
            "inside another, save the inner one. The file's layers: "
            f"{', '.join(list(layers)[:3])}{more}. Received: {str(source)!r}"
        )
    own = {layer.name: [v.name for v in layer.weights] for layer in model.layers}
    values = {}
    for layer, variables in layers.items():
        names = list(variables)
        if layer in ours:
            layer = ours[layer]
            known = own.get(layer) or keras_names.variables(layer)
            names[: len(known)] = known[: len(names)]
        values.update(
            {
                f"{layer}/{name}": array
                for name, array in zip(names, variables.values(), strict=True)
            }
        )
    return values
