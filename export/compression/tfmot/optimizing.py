"""Adam whose steps have the size that each number can bear.

Adam moves all numbers alike. A weight that shares its output with a thousand others
must move less than one of nine, and what 8 bits tell apart differs from channel to
channel: so a step is counted in units of its own for every channel.
"""

import numpy as np
import tensorflow as tf
import tf_keras

from keras_effnet.export.levers import fake_quantization

_STEPS = 127
# Shares of a unit: a bias moves a whole map, a range is learned as a logarithm.
_BIAS, _RANGE = 0.2, 0.2


class ScaledAdam(tf_keras.optimizers.Adam):
    """Adam, each variable's updates multiplied by its unit, of its first value."""

    def __init__(self, learning_rate, variables):
        super().__init__(learning_rate, beta_2=0.99, epsilon=1e-12)
        self._units = {v.ref(): tf.constant(unit(v), tf.float32) for v in variables}
        self.build(variables)

    def update_step(self, gradient, variable):
        before = tf.identity(variable)
        super().update_step(gradient, variable)
        variable.assign(before + self._units[variable.ref()] * (variable - before))


def unit(variable):
    """By how much a variable may move at a learning rate of one, broadcastable."""
    value = np.asarray(variable)
    name = variable.name.split("/")[-1]
    if "_logs" in name:
        return np.float32(_RANGE)
    if name.startswith("gamma"):
        # One, since it was folded: another would make more of 16 clusters.
        return np.float32(0)
    if value.ndim < 2 or "centroids" in name:
        scale = np.sqrt(np.mean(np.square(value))) / _STEPS
        return np.float32(scale if "centroids" in name else _BIAS * scale)
    depthwise = name.startswith("depthwise")
    return fake_quantization.unit(value, *((2, 3) if depthwise else (value.ndim - 1,)))
