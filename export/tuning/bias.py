"""Bias correction: the mean error of each layer, taken out of its bias.

Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias
Correction", section 4.2, with means measured on images, layer after layer, so that
each correction knows of those before it.
"""

import numpy as np
import tensorflow as tf

from keras_effnet.export.levers import fake_quantization
from keras_effnet.export.levers import network as networks
from keras_effnet.export.tuning import image_sets

# Bytes that one activation of all images together may take.
_MEMORY = 1 << 28


def most_images(network):
    """How many images the levers that hold whole layers can take at once."""
    largest = max(np.prod(network.shapes[node.output]) for node in network.nodes)
    return max(1, int(_MEMORY / (4 * largest)))


def correct(draft, images):
    """Makes the mean of each layer's output what it is in float.

    Args:
        draft: A `Draft`.
        images: A float array, `(images, height, width, channels)`, as the file
            takes them; of more than `most_images` some, evenly spread.

    Returns:
        A `Draft` with other biases.
    """
    network = networks.Network(draft.data)
    images = tf.constant(image_sets.spread(images, most_images(network)), tf.float32)
    rounding = fake_quantization.rounding(
        network, draft.ranges, float_tensors(network, draft)
    )
    kept = {
        i for node in network.nodes if node.name in draft.float_nodes
        for i in node.inputs
    }  # fmt: skip
    exact = {network.source: images}
    coarse = {network.source: rounding(network.source, images)}
    left = {}
    for node in network.nodes:
        for index in node.inputs:
            left[index] = left.get(index, 0) + 1
    biases = {}
    for node in network.nodes:
        plain = [_read(exact, network, i) for i in node.inputs]
        tried = [_read(coarse, network, i) for i in node.inputs]
        kernel = node.inputs[1] if len(node.inputs) > 1 else -1
        if kernel in network.kernels and kernel not in kept:
            tried[1] = fake_quantization.kernel(tried[1], network.kernels[kernel])
        true, found = network.compute(node, plain), network.compute(node, tried)
        bias = node.inputs[2] if len(node.inputs) > 2 else -1
        if bias in network.biases and len(network.consumers(bias)) == 1:
            axes = list(range(len(true.shape) - 1))
            error = tf.reduce_mean(found - true, axes)
            found -= error
            biases[bias] = network.constants[bias] - error.numpy()
        exact[node.output] = network.fused(node, true)
        coarse[node.output] = rounding(node.output, network.fused(node, found))
        for index in node.inputs:
            left[index] -= 1
            if not left[index]:
                exact.pop(index, None)
                coarse.pop(index, None)
    data = networks.with_constants(draft.data, biases)
    return draft.after("bias correction", data=data)


def _read(values, network, index):
    if index < 0:
        return None
    return values[index] if index in values else network.constants[index]


def float_tensors(network, draft):
    """Indices of tensors that only operators in float write and read."""
    inside = set()
    for node in network.nodes:
        readers = network.consumers(node.output)
        if all(n.name in draft.float_nodes for n in (node, *readers)) and readers:
            inside.add(node.output)
    return inside
