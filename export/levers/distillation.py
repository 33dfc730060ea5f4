"""The rounded network taught to answer as the float one does, on unlabelled images.

Kernels, biases and ranges move by fractions of a step while all numbers are rounded
as in the file (Jacob et al. 2018, section 3; the float network as teacher: Hinton et
al. 2015, "Distilling the Knowledge in a Neural Network").
"""

import os

import keras
import numpy as np
import tensorflow as tf

from keras_effnet import notes
from keras_effnet.export import crops
from keras_effnet.export.levers import fake_quantization
from keras_effnet.export.levers import islands
from keras_effnet.export.levers import network as networks
from keras_effnet.export.levers import objectives
from keras_effnet.export.levers.draft import Draft
from keras_effnet.progress import bar
from keras_effnet.training import checkpoint

BATCH = 10
# In steps of the numbers' own scales, and shares of e for ranges.
_LEARNING_RATE = 0.01
_RANGE_RATE = 0.2
_BIAS_RATE = 0.05


def distil(draft: Draft, images, steps, seed=0, state=None, progress=None) -> Draft:
    """Trains a draft's numbers on what its float file answers.

    `images`, `(images, height, width, channels)`, float, are flipped and cropped; a
    step takes `BATCH` of them. `state` is the path of a file in which progress is kept:
    after a kill, training goes on from there.
    """
    student = _Student(draft, steps)
    done = 0
    if state and os.path.exists(state):
        try:
            arrays, kept = checkpoint.read(state)
            checkpoint.restore(student.kept(), arrays["variables"], "variables")
            done = int(kept)
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            notes.damaged(state)
    teacher = tf.function(lambda x: student.network.run(x)[student.network.logits])
    for step in bar(range(done, steps), "distillation", shown=progress):
        _, batch = crops.draw(images, BATCH, np.random.default_rng([seed, step]))
        student.learn(batch, teacher(batch))
        if state and (step + 1) % 20 == 0:
            checkpoint.write(state, {"variables": student.kept()}, step + 1)
    return student.draft()


class _Student:
    """All that is trained, as offsets in units of the steps."""

    def __init__(self, draft, steps):
        self._draft = draft
        self.network = network = networks.Network(draft.data)
        self._float = islands.float_tensors(network, draft.float_nodes)
        in_float = {
            i
            for node in network.nodes
            if node.name in draft.float_nodes
            for i in node.inputs
        }
        self._kernels = {i: a for i, a in network.kernels.items() if i not in in_float}
        self._units = {}
        for index, axis in self._kernels.items():
            self._units[index] = fake_quantization.unit(network.constants[index], axis)
        for node in network.nodes:
            for index in set(node.inputs) & network.biases:
                if index not in in_float and node.output in draft.ranges:
                    low, high = draft.ranges[node.output]
                    self._units[index] = np.float32(_BIAS_RATE * (high - low) / 255)
        self._offsets = {
            index: keras.Variable(np.zeros(network.shapes[index], np.float32))
            for index in self._units
        }
        self._learned = [
            index
            for index in draft.ranges
            if index not in network.fixed
            and index not in self._float
            and index not in (network.source, network.target)
        ]
        self._logs = {i: keras.Variable(np.zeros(2, np.float32)) for i in self._learned}
        self._variables = [*self._offsets.values(), *self._logs.values()]
        self._optimizer = keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(_LEARNING_RATE, steps),
            beta_2=0.99,
            epsilon=1e-12,
        )
        self._optimizer.build(self._variables)
        self.learn = tf.function(self._learn)

    def _parameters(self):
        return {
            index: self.network.constants[index] + offset.value * self._units[index]
            for index, offset in self._offsets.items()
        }

    def _ranges(self):
        found = dict(self._draft.ranges)
        for index, logs in self._logs.items():
            scales = tf.exp(_RANGE_RATE * logs.value)
            low, high = found[index]
            found[index] = (min(low, 0.0) * scales[0], max(high, 0.0) * scales[1])
        return found

    def _learn(self, images, logits):
        network = self.network
        with tf.GradientTape() as tape:
            parameters = self._parameters()
            for index, axis in self._kernels.items():
                parameters[index] = fake_quantization.kernel(parameters[index], axis)
            rounding = fake_quantization.rounding(network, self._ranges(), self._float)
            found = network.run(images, parameters, rounding)[network.logits]
            loss = tf.reduce_mean(objectives.divergence(logits, found, network.kind))
        values = [variable.value for variable in self._variables]
        gradients = tape.gradient(
            loss, values, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        self._optimizer.apply(gradients, self._variables)

    def draft(self):
        """The `Draft` with what was learned."""
        arrays = {i: value.numpy() for i, value in self._parameters().items()}
        ranges = {
            index: (float(low), float(high))
            for index, (low, high) in self._ranges().items()
        }
        data = networks.with_constants(self._draft.data, arrays)
        return self._draft.after("distillation", data=data, ranges=ranges)

    def kept(self):
        """All variables that the next step needs."""
        return [*self._variables, *self._optimizer.variables]
