"""Channels of the linear residual stream brought to like ranges, exactly.

What a convolution without activation writes, and what sums of such make of it, may
be divided by any positive number in each channel, if those who read it multiply:
the network computes the same. An int8 tensor has one scale for all its channels, so
those of small range gain from it. After Nagel et al. 2019, "Data-Free Quantization
Through Weight Equalization and Bias Correction", section 4.1, but for whole residual
streams and with measured ranges, and with the balance between activations and
readers' weights (Xiao et al. 2023, "SmoothQuant", equation 4) searched for.
"""

import dataclasses

import numpy as np

from keras_effnet.export.levers import moments
from keras_effnet.export.levers import network

_LINEAR = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
# The axis of the input channels in kernels of the operators that read a stream.
_INPUT_AXIS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 1}
# How much of the difference between channels is taken out, 0 to 1.
_EXPONENTS = np.linspace(0, 1, 11)


@dataclasses.dataclass(frozen=True)
class Group:
    """Activations that must have the same scales.

    Attributes:
        tensors: Their indices.
        producers: The nodes with a kernel that write one.
        readers: The nodes with a kernel that read one.
    """

    tensors: tuple[int, ...]
    producers: tuple[network.Node, ...]
    readers: tuple[network.Node, ...]


@dataclasses.dataclass(frozen=True)
class Channels:
    """What an activation's channels are like, each a float64 vector.

    Attributes:
        low: The least value.
        high: The greatest.
        reach: The greatest magnitude in an image, mean of all images.
        square: Mean square.
    """

    low: np.ndarray
    high: np.ndarray
    reach: np.ndarray
    square: np.ndarray


def equalise(draft, images):
    """Scales the channels of all linear streams.

    Args:
        draft: A `Draft`.
        images: `(images, height, width, channels)`, float32, as the float file takes
            them.

    Returns:
        A `Draft` of the same function, the very same if it has no stream. The ranges
        of the streams' activations are minimum and maximum: choose them anew.

    Raises:
        InputError: There is no image, or they have another shape.
    """
    net = network.Network(draft.data)
    found = groups(net)
    if not found:
        return draft
    watched = {t for g in found for t in g.tensors}
    watched |= {r.output for g in found for r in g.readers}
    channels = per_channel(draft.data, net, watched, images)
    arrays, ranges = {}, dict(draft.ranges)
    for group in found:
        scale = best_scale(net, group, channels)
        _apply(net, group, scale, arrays)
        for tensor in group.tensors:
            ranges[tensor] = (
                float((channels[tensor].low / scale).min()),
                float((channels[tensor].high / scale).max()),
            )
    data = network.with_constants(draft.data, arrays)
    return draft.after("equalisation", data=data, ranges=ranges)


def groups(net):
    """The streams of a `Network` that can be scaled: a list of `Group`."""
    writers = {node.output: node for node in net.nodes}
    sums = {n.output: n for n in net.nodes if n.operator == "ADD"}
    together = {node.output: {node.output} for node in net.nodes}
    for node in sums.values():
        union = set().union(
            *(together.get(i, {i}) for i in (*node.inputs, node.output))
        )
        for index in union:
            together[index] = union
    found, seen = [], set()
    for node in net.nodes:
        if node.output in seen:
            continue
        members = together[node.output]
        seen |= members
        if all(_scalable(net, writers.get(i), i) for i in members):
            tensors = tuple(sorted(members))
            readers = [
                n for n in net.nodes if n.inputs[0] in members and n.operator in _LINEAR
            ]
            producers = [writers[i] for i in tensors if i not in sums]
            found.append(Group(tensors, tuple(producers), tuple(readers)))
    return found


def _scalable(net, writer, index):
    """Whether all that write and read an activation can take a scale."""
    if writer is None or index == net.target or index in net.constants:
        return False
    shape = net.shapes[index]
    if getattr(writer.options, "fusedActivationFunction", 0):
        return False
    if writer.operator == "ADD":
        if any(net.shapes[i] != shape for i in writer.inputs):
            return False
    else:
        constants = [i for i in writer.inputs[1:] if i >= 0]
        if writer.operator not in _LINEAR or not all(_owns(net, i) for i in constants):
            return False
    readers = net.consumers(index)
    return bool(readers) and all(_takes(net, reader, index) for reader in readers)


def _takes(net, reader, index):
    if reader.operator == "ADD":
        return True
    if reader.operator not in _LINEAR or reader.inputs[0] != index:
        return False
    if index in reader.inputs[1:] or not _owns(net, reader.inputs[1]):
        return False
    channels = net.shapes[reader.inputs[1]][_INPUT_AXIS[reader.operator]]
    # Not: several outputs of an input channel, grouped convolutions, flattened maps.
    return channels == net.shapes[index][-1]


def _owns(net, index):
    """Whether it is a constant that no other operator reads."""
    return index in net.constants and len(net.consumers(index)) == 1


def per_channel(data, net, indices, images):
    """What the channels of activations are like.

    Args:
        data: The bytes of a float .tflite file.
        net: Its `Network`.
        indices: Of the activations.
        images: As `moments.watch` takes them.

    Returns:
        `{index: Channels}`.

    Raises:
        InputError: As `moments.watch`.
    """
    found = {index: [] for index in indices}
    for read in moments.watch(data, net, indices, images):
        for index, rows in found.items():
            value = read(index)
            flat = value.reshape(-1, value.shape[-1])
            square = np.einsum("pc,pc->c", flat, flat) / len(flat)
            rows.append((flat.min(0), flat.max(0), square))
    result = {}
    for index, rows in found.items():
        low, high, square = (np.float64(part) for part in zip(*rows, strict=True))
        result[index] = Channels(
            low.min(0),
            high.max(0),
            np.maximum(-low, high).mean(0),
            square.mean(0),
        )
    return result


def best_scale(net, group, channels):
    """The scale of each channel, by the error that it lets expect in the readers."""
    live = [channels[t].reach for t in group.tensors if channels[t].reach.any()]
    if not live:
        return np.ones(len(channels[group.tensors[0]].reach))
    reach = np.sqrt(np.mean([r**2 / np.mean(r**2) for r in live], axis=0))
    reach = np.maximum(reach, 1e-3 * reach.max())
    scales = [reach**exponent for exponent in _EXPONENTS]
    errors = [predicted(net, group, channels, scale) for scale in scales]
    return scales[int(np.argmin(errors))]


def predicted(net, group, channels, scale):
    """The noise that rounding adds to what is read of a stream, over its power.

    Steps of activations (also those summed up before) and of the readers' weights,
    each an even distribution of rounding errors.
    """
    writers = {node.output: node for node in net.nodes}
    variance, total = {}, 0.0
    for tensor in group.tensors:  # in graph order
        span = np.max(channels[tensor].reach / scale)
        variance[tensor] = (2 * span / 255) ** 2 / 12
        if writers[tensor].operator == "ADD":
            variance[tensor] += sum(variance[i] for i in writers[tensor].inputs)
    for reader in group.readers:
        source = reader.inputs[0]
        axis = _INPUT_AXIS[reader.operator]
        kernel = np.moveaxis(np.float64(net.constants[reader.inputs[1]]), axis, -1)
        square = channels[source].square / scale**2
        kernel = kernel * scale
        noise = variance[source] * np.sum(kernel**2)
        if reader.operator == "DEPTHWISE_CONV_2D":
            flat = kernel.reshape(-1, kernel.shape[-1])
            step = np.abs(flat).max(0) / 127
            noise += np.sum(step**2 / 12 * square) * len(flat)
        else:
            flat = kernel.reshape(len(kernel), -1)
            step = np.abs(flat).max(1) / 127
            taps = flat.shape[1] // len(square)
            noise += np.sum(step**2) / 12 * np.sum(square) * taps
        total += noise / max(np.sum(channels[reader.output].square), 1e-30)
    return total


def _apply(net, group, scale, arrays):
    for node in group.producers:
        for index in node.inputs[1:]:
            if index < 0:
                continue
            array = arrays.get(index, net.constants[index])
            axis = net.kernels.get(index, 0)
            arrays[index] = array / _along(scale, axis, array.ndim)
    for node in group.readers:
        index, axis = node.inputs[1], _INPUT_AXIS[node.operator]
        array = arrays.get(index, net.constants[index])
        arrays[index] = array * _along(scale, axis, array.ndim)


def _along(scale, axis, dimensions):
    shape = [1] * dimensions
    shape[axis] = -1
    return scale.reshape(shape)
