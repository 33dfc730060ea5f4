"""A Keras model in words that Keras 2 and Keras 3 both know: its twin.

TensorFlow Model Optimization works on Keras 2 alone. The twin is the same graph, layer
by layer, with the same names and weights; only what a .tflite file computes in steps
is spelled out: an activation inside a layer becomes a layer, swish a sigmoid and a
product.
"""

import itertools
import re

import keras
import numpy as np

from keras_effnet.errors import InputError

_CONVOLUTION = (
    "kernel_size",
    "strides",
    "padding",
    "dilation_rate",
    "activation",
    "use_bias",
)
# Of each layer the arguments that decide what it computes; both libraries know them by
# these names.
_ARGUMENTS = {
    "Activation": ("activation",),
    "Add": (),
    "AveragePooling2D": ("pool_size", "strides", "padding"),
    "BatchNormalization": ("axis", "momentum", "epsilon", "center", "scale"),
    "Concatenate": ("axis",),
    "Conv2D": ("filters", "groups", *_CONVOLUTION),
    "Cropping2D": ("cropping",),
    "Dense": ("units", "activation", "use_bias"),
    "DepthwiseConv2D": ("depth_multiplier", *_CONVOLUTION),
    "Dropout": ("rate", "noise_shape"),
    "Flatten": (),
    "GlobalAveragePooling2D": ("keepdims",),
    "GlobalMaxPooling2D": ("keepdims",),
    "MaxPooling2D": ("pool_size", "strides", "padding"),
    "Multiply": (),
    "Normalization": (),
    "ReLU": ("max_value", "negative_slope", "threshold"),
    "Rescaling": ("scale", "offset"),
    "Reshape": ("target_shape",),
    "Softmax": ("axis",),
    "SpatialDropout2D": ("rate",),
    "ZeroPadding2D": ("padding",),
}
_ACTIVATIONS = ("linear", "relu", "relu6", "sigmoid", "silu", "softmax", "tanh")
# TensorFlow's scopes, of which Keras 2 makes its layers' names.
_NAME = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_./>-]*")
# Before the network proper: its output is quantised, nothing else.
PREPROCESSING = "Rescaling"


def describe(model: keras.Model) -> dict:
    """The twin of a flat model of stock layers, each used once, with one input and one
    output.

    A dict of plain values: `input`, its name; `shape` of an image; `nodes` in the order
    of computation, each a dict of `name`, `kind` (the layer's class), `config` (its
    arguments), `inputs` (names) and `layer` (of the model's layer whose weights it has,
    or `None`); and `output`, the name of the last.
    """
    nodes, names = [], {}
    model = getattr(model, "_functional", model)  # of a Sequential
    calls = {}
    for node in itertools.chain(*model._nodes_by_depth.values()):
        calls.setdefault(node.operation, []).append(node)
    for operation in model.operations:
        _check(operation, calls[operation])
        if isinstance(operation, keras.layers.InputLayer):
            names[operation.name] = operation.name
            continue
        (node,) = calls[operation]
        sources = [
            names[tensor._keras_history.operation.name]
            for tensor in node.arguments.keras_tensors
        ]
        names[operation.name] = _spell_out(operation, sources, nodes)
    (source,) = model.inputs
    (target,) = model.outputs
    _check_names([node["name"] for node in nodes])
    return {
        "input": source._keras_history.operation.name,
        "shape": list(source.shape[1:]),
        "nodes": nodes,
        "output": names[target._keras_history.operation.name],
    }


def build(description, library, until=None):
    """The twin as a functional model of `keras` or `tf_keras`, with new weights, up to
    a node."""
    image = library.Input(tuple(description["shape"]), name=description["input"])
    values = {description["input"]: image}
    until = until or description["output"]
    for node in description["nodes"]:
        layer = getattr(library.layers, node["kind"])(
            name=node["name"], **node["config"]
        )
        sources = [values[name] for name in node["inputs"]]
        values[node["name"]] = layer(sources if len(sources) > 1 else sources[0])
        if node["name"] == until:
            break
    return library.Model(image, values[until])


def logits(description) -> tuple[str, str | None]:
    """The name of the node whose values go into a last softmax or sigmoid, and
    `"softmax"`, `"sigmoid"` or `None`."""
    last = description["nodes"][-1]
    if last["kind"] == "Softmax":
        return last["inputs"][0], "softmax"
    activation = last["config"].get("activation")
    if last["kind"] == "Activation" and activation in ("softmax", "sigmoid"):
        return last["inputs"][0], activation
    return last["name"], None


def loss(description, classes):
    """What makes probabilities of the logits, `"softmax"` or `"sigmoid"`.

    One class alone is there or not.
    """
    return logits(description)[1] or ("sigmoid" if classes == 1 else "softmax")


def weights(model):
    """`{"layer/number": array}` of all weights of a model, of either library."""
    return {
        f"{layer.name}/{i}": array
        for layer in model.layers
        for i, array in enumerate(layer.get_weights())
    }


def answers(model, images):
    """What a model of either library answers, an array.

    Without `predict`, which would compile it for a few images.
    """
    parts = [model(images[i : i + 8], training=False) for i in range(0, len(images), 8)]
    return np.concatenate([np.asarray(part) for part in parts])


def assign(model, arrays):
    """Puts weights, as `weights` gives them, into a model of either library."""
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(of_layer(layer, arrays))


def of_layer(layer, arrays):
    """A layer's weights out of all, in its order and shapes."""
    return [
        np.reshape(arrays[f"{layer.name}/{i}"], tuple(weight.shape))
        for i, weight in enumerate(layer.weights)
    ]


def is_matrix(node):
    """Whether a node multiplies every position by one matrix."""
    config = node["config"]
    return node["kind"] == "Dense" or (
        node["kind"] == "Conv2D"
        and tuple(config["kernel_size"]) == (1, 1) == tuple(config["strides"])
        and config["groups"] == 1
    )


def with_matrices(description):
    """The twin with a dense layer for each 1x1 convolution: TF-MOT has blocks of
    matrices alone."""

    def dense(node):
        if not is_matrix(node) or node["kind"] == "Dense":
            return node
        config = node["config"]
        config = {"units": config["filters"], "use_bias": config["use_bias"]}
        return node | {"kind": "Dense", "config": config}

    return description | {"nodes": [dense(node) for node in description["nodes"]]}


def _check_names(names):
    for name in names:
        if not _NAME.fullmatch(name):
            raise InputError(
                "Keras 2 takes names of letters, digits, '_', '-', '.' and '/' alone; "
                f"rename the layer. Received: {name!r}"
            )
        if names.count(name) > 1:
            raise InputError(
                "Spelled out, two layers would have one name; rename one. "
                f"Received: {name!r}"
            )


def _check(operation, calls):
    kind, name = type(operation).__name__, operation.name
    if isinstance(operation, keras.Model):
        raise InputError(
            "TF-MOT takes flat models: build one whose layers include those of the "
            f"inner model. Received: the layer {name!r} is a {kind}"
        )
    if not isinstance(operation, keras.layers.Layer):
        raise InputError(
            "Every operation must be a layer, `keras.layers.Multiply()([x, y])` "
            f"instead of `x * y`. Received: the operation {name!r}"
        )
    if isinstance(operation, keras.layers.InputLayer):
        return
    if getattr(operation, "quantization_mode", None):
        raise InputError(
            "The model is quantised already; start from the float model. "
            f"Received: the layer {name!r} is {operation.quantization_mode}"
        )
    stock = type(operation) is getattr(keras.layers, kind, None)
    if not stock or kind not in _ARGUMENTS:
        raise InputError(
            f"The layer {name!r} can't be rebuilt for TF-MOT; replace it by layers of "
            f"{', '.join(_ARGUMENTS)}. Received: {kind}"
        )
    if len(calls) != 1:
        raise InputError(
            "Every layer must be used once; give each use a layer of its own. "
            f"Received: {name!r} is used {len(calls)} times"
        )
    if getattr(operation, "data_format", "channels_last") != "channels_last":
        raise InputError(
            "Images must have their channels last. Received: the layer "
            f"{name!r} with data_format='channels_first'"
        )


def _spell_out(layer, sources, nodes):
    """Adds the nodes of a layer; returns the name of the last."""
    kind, config = type(layer).__name__, _config(layer)
    activation = config.pop("activation", None)
    if activation not in (None, *_ACTIVATIONS):
        raise InputError(
            f"The activation of the layer {layer.name!r} must be one of "
            f"{', '.join(_ACTIVATIONS)} for TF-MOT. Received: {activation}"
        )
    if kind == "Activation":
        return _activate(layer.name, activation, sources, nodes)
    if kind == "Normalization":
        nodes.append(_node(layer.name, PREPROCESSING, _rescaling(layer), sources))
        return layer.name
    nodes.append(_node(layer.name, kind, config, sources, bool(layer.weights)))
    if activation in (None, "linear"):
        return layer.name
    return _activate(f"{layer.name}_activation", activation, [layer.name], nodes)


def _activate(name, activation, sources, nodes):
    if activation == "silu":
        gate = f"{name}_sigmoid"
        nodes.append(_node(gate, "Activation", {"activation": "sigmoid"}, sources))
        nodes.append(_node(name, "Multiply", {}, [*sources, gate]))
    elif activation in ("relu", "relu6"):
        # TF-MOT knows a convolution with a ReLU behind it, by this layer.
        most = 6.0 if activation == "relu6" else None
        nodes.append(_node(name, "ReLU", {"max_value": most}, sources))
    else:
        nodes.append(_node(name, "Activation", {"activation": activation}, sources))
    return name


def _node(name, kind, config, inputs, has_weights=False):
    return {
        "name": name,
        "kind": kind,
        "config": config,
        "inputs": list(inputs),
        "layer": name if has_weights else None,
    }


def _config(layer):
    config = layer.get_config()
    found = {name: config[name] for name in _ARGUMENTS[type(layer).__name__]}
    if "activation" in found:
        # A function's own name: what is serialised may be a dict.
        found["activation"] = getattr(layer.activation, "__name__", "unknown")
    if "offset" in found:
        # Keras stores an array as a dict.
        found = {key: np.asarray(getattr(layer, key)).tolist() for key in found}
    return found


def _rescaling(layer):
    """The arguments of a Rescaling that does what a Normalization does."""
    if layer.invert or tuple(layer.axis) not in ((-1,), (3,)):
        raise InputError(
            "A Normalization must be of the channels, the last axis. "
            f"Received: {layer.name!r} with axis={layer.axis}, invert={layer.invert}"
        )
    mean, variance = (np.ravel(value) for value in (layer.mean, layer.variance))
    scale = 1 / np.maximum(np.sqrt(variance), keras.config.epsilon())
    return {"scale": scale.tolist(), "offset": (-mean * scale).tolist()}
