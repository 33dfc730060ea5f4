"""The layer names of Keras' EfficientNets of other programs, as ours.

`keras.applications` and efficientnet-lite-keras have our names;
qubvel/efficientnet differs in one; keras_efficientnet_v2 and
keras_cv_attention_models number their blocks. Plain Python.
"""

import re

from keras_effnet.weights.blocks import blocks

_KERNEL = ("kernel", "bias")
_NORM = ("gamma", "beta", "moving_mean", "moving_variance")
_STATISTICS = ("mean", "variance", "count")
_OURS = re.compile(
    r"normalization|predictions|(stem|top)_(conv|bn|activation)"
    r"|block\d+[a-z]+_((expand|project)_(conv|bn|activation)|dwconv2?|bn|activation"
    r"|se_(reduce|expand|activation))"
)
# By the layer name's end: every Keras writes a layer's variables in this order.
_VARIABLES = {
    "normalization": _STATISTICS,
    "bn": _NORM,
    "activation": ("beta",),
}

_ENDS = {
    "probs": "predictions",  # qubvel
    "post_conv": "top_conv",  # keras_efficientnet_v2
    "post_bn": "top_bn",
}
_NUMBERED = re.compile(r"stack_(\d+)_block(\d+)_(\w+)")
_PARTS = {
    "sortcut_conv": "expand_conv",
    "sortcut_bn": "expand_bn",
    "MB_dw_": "dwconv",
    "MB_dw_bn": "bn",
    "se_1_conv": "se_reduce",
    "se_2_conv": "se_expand",
    "MB_pw_conv": "project_conv",
    "MB_pw_bn": "project_bn",
    "fu_conv": "project_conv",
    "fu_bn": "project_bn",
}


def our_layers(names, model):
    """Maps a file's layer names to ours: `{"stack_0_block0_fu_conv":
    "block1a_project_conv", ...}`, without those that are not known.

    `names` are of all layers of the file that have variables. The model's blocks give
    the file's numbered ones their names, in order: the EdgeTPU networks of
    keras_cv_attention_models spread our first stage over two stacks, and the second may
    be empty. A numbered block beyond the model's last is not known.
    """
    own = {layer.name for layer in model.layers}
    numbered = {match[0]: match for match in map(_NUMBERED.fullmatch, names) if match}
    numbers = sorted({(int(match[1]), int(match[2])) for match in numbered.values()})
    found = dict(zip(numbers, blocks(model), strict=False))
    mapping = {}
    for name in names:
        plain = re.sub(r"^(normalization)_\d+$", r"\1", name)
        if name in own:
            ours = name
        elif name in numbered:
            ours = _of_block(numbered[name], found)
        elif _OURS.fullmatch(plain):
            ours = plain
        else:
            ours = _ENDS.get(name)
        if ours and ours not in mapping.values():
            mapping[name] = ours
    return mapping


def _of_block(match, found):
    block = found.get((int(match[1]), int(match[2])))
    part = _PARTS.get(match[3])
    if block is None or part is None:
        return None
    return block.layer(part)


def variables(layer):
    """The names of the variables of a layer with one of our names, in order."""
    return _VARIABLES.get(layer.rsplit("_", 1)[-1], _KERNEL)
