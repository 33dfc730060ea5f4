"""The variable names of TensorFlow checkpoints, mapped to ours.

Source: tensorflow/tpu `models/official/efficientnet/efficientnet_model.py` and
google/automl `efficientnetv2/effnetv2_model.py`.
"""

import re

_AVERAGE = "/ExponentialMovingAverage"

# What a checkpoint holds beside the network: optimizer slots and what counts steps.
_LEFT_OUT = re.compile(
    r".+/(RMSProp|Momentum|Adam|LARSOptimizer)(_\d+)?"
    r"|(.*/)?(global_step|beta[12]_power|save_counter|_CHECKPOINTABLE_OBJECT_GRAPH)"
    r"|(.*/)?optimizer/.*|.*/\.OPTIMIZER_SLOT/.*|(.*/)?keras_api/.*"
)

# `model.save_weights` of google/automl's `main_tf2.py` writes attribute paths.
_ATTRIBUTE = "/.ATTRIBUTES/VARIABLE_VALUE"
_ATTRIBUTE_PATHS = (
    (r"\b_(stem/|head/)", r"\1"),
    (r"\b_blocks/(\d+)/", r"blocks_\1/"),
    (r"\b(head/)?_fc/", "head/dense/"),
    (r"/_conv_(stem|head)/", "/conv2d/"),
    (r"/_norm(\d?)/", r"/batch_normalization_0\1/"),
    (r"/_depthwise_conv/", "/depthwise_conv2d/"),
    (r"/_expand_conv/", "/conv2d_0/"),
    (r"/_project_conv/", "/conv2d_1/"),
    (r"/_se/_se_reduce/", "/se/conv2d_0/"),
    (r"/_se/_se_expand/", "/se/conv2d_1/"),
)

# Where a layer stands and what kind it is; before it, any scope.
_NAME = re.compile(
    r"(?P<place>(.*/)?((?P<end>stem|head)(_\d+)?|blocks_(?P<block>\d+))/(?P<se>se/)?)"
    r"(?P<kind>conv2d|depthwise_conv2d|(\w+_)?batch_normalization|dense)"
    r"(_(?P<number>\d+))?"
    r"/(?P<variable>kernel|depthwise_kernel|bias|gamma|beta"
    r"|moving_mean|moving_variance)"
)
_ENDS = {
    ("stem", "conv2d"): ["stem_conv"],
    ("stem", "batch_normalization"): ["stem_bn"],
    ("head", "conv2d"): ["top_conv"],
    ("head", "batch_normalization"): ["top_bn"],
    ("head", "dense"): ["predictions"],
}
# Parts of a block in the order they are built, which is what numbers them.
_PARTS = {
    "conv2d": ("expand_conv", "project_conv"),
    "batch_normalization": ("expand_bn", "bn", "project_bn"),
    "depthwise_conv2d": ("dwconv",),
    "se/conv2d": ("se_reduce", "se_expand"),
}


def sources(names, blocks):
    """Which variable of a checkpoint becomes which of ours:
    `{"block3a_project_conv/kernel":
    "efficientnet-b0/blocks_3/conv2d_1/kernel/ExponentialMovingAverage"}`.

    The moving average of a variable is taken where there is one, and the variable
    itself where there is none. Optimizer slots and step counters are left out. The n-th
    convolution of a block is the n-th that the model's block has; a variable that has
    no place in the model keeps its name.
    """
    chosen = {}
    for name in sorted(names):  # An average comes after its variable.
        if not _LEFT_OUT.fullmatch(name.removesuffix(_ATTRIBUTE)):
            chosen[name.removesuffix(_AVERAGE)] = name
    parsed = {name: _NAME.fullmatch(_official(name)) for name in chosen}
    numbers = {}
    for match in filter(None, parsed.values()):
        numbers.setdefault(_group(match), set()).add(_number(match))
    found = {}
    for name, match in parsed.items():
        ours = match and _ours(match, sorted(numbers[_group(match)]), blocks)
        if not ours or ours in found:
            ours = name
        found[ours] = chosen[name]
    return found


def _official(name):
    if name.endswith(_ATTRIBUTE):
        name = name.removesuffix(_ATTRIBUTE)
        for pattern, replacement in _ATTRIBUTE_PATHS:
            name = re.sub(pattern, replacement, name)
    return name


def _kind(match):
    return re.sub(r"\w+_(?=batch)", "", match["kind"])


def _group(match):
    return match["place"], _kind(match)


def _number(match):
    return int(match["number"] or 0)


def _ours(match, numbers, blocks):
    """Our name, or `None` where the model has no such layer."""
    kind = _kind(match)
    if match["end"]:
        layers = _ENDS.get((match["end"], kind), []) if not match["se"] else []
    elif int(match["block"]) < len(blocks):
        own = blocks[int(match["block"])].layers
        parts = _PARTS.get(f"{match['se'] or ''}{kind}", ())
        layers = [own[part] for part in parts if part in own]
    else:
        layers = []
    rank = numbers.index(_number(match))
    if rank >= len(layers):
        return None
    return f"{layers[rank]}/{match['variable'].removeprefix('depthwise_')}"
