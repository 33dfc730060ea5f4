"""The normalisation in front of a network, as one operation or none.

A scale of the pixels goes into the first convolution's kernel. An offset can't: where
SAME padding puts its zeros the convolution would see other values. So what is left is
one subtraction, and for quantised pixels whose mean is one whole number not even that:
it is their zero point.
"""

import dataclasses

import keras
import numpy as np

_LAYERS = keras.layers


@dataclasses.dataclass(frozen=True)
class Normalisation:
    """What stands between the pixels and the network."""

    mean: np.ndarray  # (channels,); the graph subtracts it
    tensor: keras.KerasTensor  # that the network begins with
    kernel: keras.Variable  # of the first convolution
    scaled_kernel: np.ndarray  # its value with the scale in it

    @property
    def subtracts(self):
        """Whether anything is left to subtract."""
        return bool(np.any(self.mean))

    @property
    def zero_point(self):
        """The uint8 pixel that means zero; `None` where no single one does."""
        first = float(self.mean[0])
        one_value = np.all(self.mean == first)
        is_pixel = first == round(first) and 0 <= first <= 255
        return int(first) if one_value and is_pixel else None


def find(model) -> Normalisation | None:
    """The normalisation that a functional model of one image input begins with.

    `None` where it has none, or one that can't go into a convolution.
    """
    tensor = model.inputs[0]
    channels = tensor.shape[-1]
    scale, offset = np.ones(channels), np.zeros(channels)
    found = False
    while (node := _only_consumer(tensor, model)) is not None:
        step = _affine(node.operation, channels)
        if step is None:
            break
        found = True
        scale, offset = scale * step[0], offset * step[0] + step[1]
        (tensor,) = node.output_tensors
    convolution = _convolution(node, model)
    # What spreads its input is no normalisation of 0-255 pixels.
    if not found or convolution is None or not np.all((scale > 0) & (scale <= 1)):
        return None
    kernel = convolution.kernel
    if not _is_own(kernel, convolution, model):
        return None
    value = keras.ops.convert_to_numpy(kernel).astype("float64")
    if value.shape[2] != channels:  # convolution in groups
        return None
    mean = -offset / scale
    # 127.00000000000001 is the whole number that was meant.
    mean = np.where(np.abs(mean - np.round(mean)) < 1e-5, np.round(mean), mean)
    scaled = value * scale[:, None]
    return Normalisation(mean, tensor, kernel, scaled.astype("float32"))


def _is_own(kernel, layer, model):
    """Whether a kernel is a variable (with LoRA it is a sum) of one layer alone."""
    if not isinstance(kernel, keras.Variable):
        return False
    layers = model._flatten_layers(include_self=False)
    owners = [
        each for each in layers if any(v is kernel for v in each._trainable_variables)
    ]
    readers = [each for each in model.layers if layer in getattr(each, "_layers", ())]
    return len(owners) <= 1 and not readers


def _only_consumer(tensor, model):
    """The one call of a layer that reads a tensor, if the layer is called once."""
    calls = _calls(model)
    readers = [c for c in calls if any(tensor is read for read in c.input_tensors)]
    if len(readers) != 1:
        return None
    # Scaled weights would be wrong in the layer's other calls.
    again = [call for call in calls if call.operation is readers[0].operation]
    return readers[0] if len(again) == 1 else None


def _calls(model):
    """The nodes of a model's graph, and of the models in it."""
    inner = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    # A Sequential keeps its graph in a functional model.
    graph = getattr(model, "_functional", model)
    levels = getattr(graph, "_nodes_by_depth", {}).values()
    own = [node for level in levels for node in level]
    return [*own, *(node for part in inner for node in _calls(part))]


def _affine(layer, channels):
    """`(scale, offset)` of a layer that computes `x * scale + offset`, or `None`."""
    if type(layer) is _LAYERS.Rescaling:
        values = layer.scale, layer.offset
    elif type(layer) is _LAYERS.Normalization and not layer.invert:
        mean = keras.ops.convert_to_numpy(layer.mean)
        std = np.sqrt(keras.ops.convert_to_numpy(layer.variance))
        # As the layer itself guards against a variance of zero.
        std = np.maximum(std, keras.config.epsilon())
        values = 1 / std.astype("float64"), -mean / std
    else:
        return None
    values = [np.asarray(value, "float64") for value in values]
    if any(value.size not in (1, channels) for value in values):
        return None
    return [np.broadcast_to(value.reshape(-1), channels) for value in values]


def _convolution(node, model):
    if node is not None and type(node.operation) is _LAYERS.ZeroPadding2D:
        (padded,) = node.output_tensors  # zeros stay zeros
        node = _only_consumer(padded, model)
    layer = node and node.operation
    kinds = (_LAYERS.Conv2D, _LAYERS.DepthwiseConv2D)
    if type(layer) in kinds and layer.data_format == "channels_last":
        return layer
    return None
