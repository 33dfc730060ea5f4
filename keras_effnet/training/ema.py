"""The moving average of a network, BatchNormalization statistics included."""

import contextlib

import keras
import numpy as np
from keras import ops

from keras_effnet.errors import InputError
from keras_effnet.training.networks import synchronise


class EMA:
    """An exponential moving average of every weight of a model, decay 0 to below 1.

        rate = 1 - min(decay, (1 + updates) / (10 + updates))
        average += rate * (weight - average)

    Every floating-point weight has its average, the moving mean and variance of
    BatchNormalization too: averaged kernels behind the statistics of the last kernels
    are a network that was never trained. Counters and the state of random generators
    have none. Averages start at the weights and are kept in float32. With `every`,
    `Recipe.accumulate`, only every such call of `update` averages, when the weights
    have moved.

    Source: tensorflow/tpu `efficientnet/main.py` and google/automl
    `efficientnetv2/main.py`, which give `tf.train.ExponentialMovingAverage` the global
    step and `get_ema_vars`.
    """

    def __init__(self, model, decay, every=1):
        if not 0 <= decay < 1:
            raise InputError(
                f"`decay` must be at least 0 and below 1. Received: decay={decay!r}"
            )
        self.decay = decay
        self.every = every
        self.batches = 0
        self._model = model
        self._weights = _averaged(model)
        self._averages = [
            keras.Variable(
                _copied(weight).astype("float32"),
                dtype="float32",
                trainable=False,
                name=f"average_{index}",
            )
            for index, weight in enumerate(self._weights)
        ]
        self._blend = _compiled(self._averages, self._weights)

    def update(self):
        """Takes the weights in; call it after each batch."""
        self.batches += 1
        if self.batches % self.every:
            return
        updates = self.batches // self.every
        decay = min(self.decay, (1 + updates) / (10 + updates))
        synchronise(self._model)
        # A Python float would be compiled in, once for each value.
        self._blend(ops.convert_to_tensor(1 - decay, "float32"))

    @contextlib.contextmanager
    def swap(self):
        """Puts the averages into the model; after the block, and after an exception,
        its own weights return bit by bit."""
        synchronise(self._model)
        raw = [ops.copy(weight) for weight in self._weights]
        try:
            for weight, average in zip(self._weights, self._averages, strict=True):
                weight.assign(ops.cast(ops.copy(average), weight.dtype))
            yield self._model
        finally:
            for weight, value in zip(self._weights, raw, strict=True):
                weight.assign(value)

    def state(self):
        """For a checkpoint: the number of batches as an int64 scalar, then a float32
        array for each weight."""
        averages = [_copied(average) for average in self._averages]
        return [np.asarray(self.batches, "int64"), *averages]

    def restore(self, arrays):
        """Goes on from what `state` returned; refuses that of another model."""
        batches, *averages = arrays
        own = [tuple(average.shape) for average in self._averages]
        if [array.shape for array in averages] != own:
            raise InputError(
                f"The state must have the weights that are averaged, {len(own)} of "
                f"the same shapes in the same order. Received: {len(averages)}"
            )
        self.batches = int(batches)
        for average, array in zip(self._averages, averages, strict=True):
            average.assign(array)


def _averaged(model):
    return [w for w in model.weights if keras.backend.is_float_dtype(w.dtype)]


def _copied(variable):
    # A copy always: on JAX a training step frees the arrays that it was given,
    # and an array that two variables share with them.
    return np.array(ops.convert_to_numpy(variable))


def _blended(averages, weights, rate):
    return [
        average + rate * (ops.cast(ops.stop_gradient(weight), "float32") - average)
        for average, weight in zip(averages, weights, strict=True)
    ]


def _compiled(averages, weights):
    """`update(rate)`, one compiled call where the backend can."""

    def update(rate, blend=_blended):
        values = blend([a.value for a in averages], [w.value for w in weights], rate)
        for average, value in zip(averages, values, strict=True):
            average.assign(value)

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(update, autograph=False)
    if keras.backend.backend() == "jax":
        import functools

        import jax

        return functools.partial(update, blend=jax.jit(_blended))
    return update
