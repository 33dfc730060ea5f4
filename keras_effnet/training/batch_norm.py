"""BatchNormalization whose statistics are those of a part of the batch."""

import keras
from keras import ops


class GroupedBatchNormalization(keras.layers.BatchNormalization):
    """BatchNormalization over equal groups of a batch, each by itself.

    With as many groups as devices every device normalises its own images, without
    a word to the others. On JAX a layer sees the batch of all devices, and what
    TensorFlow's replicas do of themselves must be said.

    The moving statistics are the means over the groups, of which the batch must be a
    multiple. The other arguments are Keras' own, for channels last.
    """

    def __init__(self, groups, **kwargs):
        super().__init__(**kwargs)
        self.groups = groups

    def call(self, inputs, training=None, mask=None):
        if not (training and self.trainable):
            return super().call(inputs, training=training, mask=mask)
        _, height, width, channels = ops.shape(inputs)
        values = ops.reshape(
            ops.cast(inputs, "float32"), (self.groups, -1, height, width, channels)
        )
        mean, variance = ops.moments(values, axes=(1, 2, 3), keepdims=True)
        self._move(self.moving_mean, mean)
        self._move(self.moving_variance, variance)
        values = (values - mean) * ops.rsqrt(variance + self.epsilon)
        values = values * self.gamma + self.beta
        return ops.cast(ops.reshape(values, ops.shape(inputs)), self.compute_dtype)

    def _move(self, average, found):
        found = ops.mean(found, axis=(0, 1, 2, 3))
        average.assign(average * self.momentum + found * (1 - self.momentum))
