"""Numbers as an 8-bit file would hold them, in float: fake quantisation.

The arithmetic of the LiteRT quantization specification: activations asymmetric with
one scale a tensor, kernels symmetric with one scale an output channel.
"""

import numpy as np
import tensorflow as tf

_LARGEST = 127.0


def activation(value, low, high):
    """An activation rounded to 256 steps of a range, which 0 is taken into.

    Gradients pass through the rounding and, where a value is cut off, to the limit
    (Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference", section 3).
    """
    return tf.quantization.fake_quant_with_min_max_vars(
        value, tf.minimum(low, 0.0), tf.maximum(high, 0.0)
    )


def kernel(value, axis):
    """A kernel rounded to -127 ... 127 steps of each output channel, along an axis."""
    others = [i for i in range(len(value.shape)) if i != axis]
    largest = tf.reduce_max(tf.abs(value), others, keepdims=True)
    step = tf.stop_gradient(tf.maximum(largest / _LARGEST, np.float32(1e-30)))
    steps = value / step
    return (steps + tf.stop_gradient(tf.round(steps) - steps)) * step


def kernels(network):
    """`{index: tensor}` of all kernels of a `Network`, rounded."""
    return {
        index: kernel(tf.constant(network.constants[index]), axis)
        for index, axis in network.kernels.items()
    }


def kernel_steps(value, *axes):
    """The real value of one step in each output channel, broadcastable, NumPy.

    `axes` are those of the output channels; Keras' depthwise kernels have two.
    """
    return np.maximum(_steps(value, axes), np.float32(1e-30))


def unit(value, *axes):
    """By how much a kernel's weights may move at a learning rate of one.

    A share of `kernel_steps`: Adam moves all weights alike, an output sums them up. A
    channel of zeros stays.
    """
    steps = _steps(value, axes)
    return (steps / np.sqrt(value.size / steps.size)).astype(np.float32)


def _steps(value, axes):
    others = tuple(i for i in range(value.ndim) if i not in axes)
    return np.abs(value).max(axis=others, keepdims=True) / _LARGEST


def rounding(network, ranges, keep=()):
    """What `Network.run` takes as `activation` to compute as an int8 file.

    `ranges` are `{index: (least, greatest)}`, numbers or scalar tensors; `keep` has
    indices of tensors that stay as they are.
    """

    def rounded(index, value):
        if index in keep or index == network.target:
            return value
        while index in network.joined:
            index = network.joined[index]
        if index in network.fixed:
            fixed = network.fixed[index]
            return value if fixed is None else activation(value, *fixed)
        return activation(value, *ranges[index])

    return rounded
