"""Keras HDF5 files: `.weights.h5` of Keras 3 and the legacy `.h5`."""

import h5py
import numpy as np

from keras_effnet.errors import InputError

# Keras 3 keys a layer by its class in snake case and its position among the
# layers of that class: layers/conv2d_17/vars/0.
_SNAKE = {
    "BatchNormalization": "batch_normalization",
    "Conv2D": "conv2d",
    "Dense": "dense",
    "DepthwiseConv2D": "depthwise_conv2d",
    "Normalization": "normalization",
    "Swish": "swish",
}
_ENDS = {
    "conv2d": "top_conv",
    "batch_normalization": "top_bn",
    "dense": "predictions",
}


def read(path, model):
    """Reads a file into `{"layer/variable": array}` with the model's names.

    Args:
        path: A `pathlib.Path`.
        model: The `keras.Model` whose layer order gives a Keras 3 file, which
            has no names, its names.

    Raises:
        InputError: It is no HDF5 file, or no Keras weights file.
    """
    try:
        with h5py.File(path, "r") as file:
            if "layers" in file:
                return _read_keras3(file["layers"], model)
            root = file.get("model_weights", file)
            if "layer_names" in root.attrs:
                return _read_legacy(root, model)
    # h5py's own of a damaged file, then ours of one that is laid out otherwise.
    except (
        OSError,
        KeyError,
        RuntimeError,
        AttributeError,
        TypeError,
        ValueError,
    ) as error:
        raise InputError(
            f"The weights file can't be read, it may be cut off or damaged: {error}. "
            f"Received: {str(path)!r}"
        ) from error
    raise InputError(
        "This HDF5 file holds no Keras weights: neither 'layers' (Keras 3) nor "
        f"'layer_names' (legacy) is in it. Received: {str(path)!r}"
    )


def _read_keras3(layers, model):
    values = {}
    used = set()
    counts = dict.fromkeys(_SNAKE.values(), 0)
    for layer in model.layers:
        kind = _SNAKE.get(type(layer).__name__)
        if kind is None:
            continue
        key = f"{kind}_{counts[kind]}" if counts[kind] else kind
        counts[kind] += 1
        if key not in layers:
            continue
        used.add(key)
        values.update(_named(layer, _by_position(layers[key]["vars"])))
    # A model without the top, or `features_only`, reads a file that has one: the
    # layers after the model's own.
    ends = {
        f"{kind}_{counts[kind]}" if counts[kind] else kind: name
        for kind, name in _ENDS.items()
    }
    for key in layers:
        if key not in used:
            name = ends.get(key, key)
            for position, array in enumerate(_by_position(layers[key].get("vars", {}))):
                values[f"{name}/{position}"] = array
    return values


def _by_position(group):
    return [np.asarray(group[key]) for key in sorted(group, key=int)]


def _read_legacy(root, model):
    layers = {layer.name: layer for layer in model.layers}
    values = {}
    for raw in root.attrs["layer_names"]:
        name = _text(raw)
        group = root[name]
        arrays = [np.asarray(group[_text(key)]) for key in group.attrs["weight_names"]]
        if name in layers:
            values.update(_named(layers[name], arrays))
        else:
            values.update({f"{name}/{i}": array for i, array in enumerate(arrays)})
    return values


def _text(value):
    return value.decode() if isinstance(value, bytes) else value


def _named(layer, arrays):
    """Every Keras version writes a layer's variables in the same order."""
    names = [variable.name for variable in layer.weights]
    names += [str(extra) for extra in range(len(names), len(arrays))]
    return {
        f"{layer.name}/{name}": array
        for name, array in zip(names, arrays, strict=False)
    }
