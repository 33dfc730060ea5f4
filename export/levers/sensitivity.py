"""How much of the answer's error each tensor's rounding causes, in one pass.

The divergence of the rounded answer from the float one, to second order: half the
mean square of (gradient of log p(class), rounding error), classes drawn from the
float answer (the Fisher information; Martens 2020, "New Insights and Perspectives on
the Natural Gradient Method", section 5). All tensors come from one backward pass an
image, where trying them one by one takes hundreds of forward passes.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from keras_effnet.export.levers import fake_quantization
from keras_effnet.progress import bar

# Classes drawn for each image.
_DRAWS = 2


@dataclasses.dataclass(frozen=True)
class Sensitivity:
    """Divergences that rounding causes, in nats, a mean over images, by tensor."""

    activations: dict[int, float]
    kernels: dict[int, float]

    def as_json(self, network):
        """One dict for each operator in graph order."""
        return [
            {
                "name": node.name,
                "operator": node.operator,
                "shape": list(network.shapes[node.output]),
                "activation": self.activations.get(node.output, 0.0),
                "kernel": next(
                    (self.kernels[i] for i in node.inputs if i in self.kernels), None
                ),
            }
            for node in network.nodes
        ]


def measure(network, ranges, images, seed=0, progress=None) -> Sensitivity:
    """Measures all tensors of a network on `(images, height, width, channels)`; dozens
    will do."""
    rounding = fake_quantization.rounding(network, ranges)
    errors = {
        index: rounded - network.constants[index]
        for index, rounded in fake_quantization.kernels(network).items()
    }
    kernels = list(errors)
    computed = [network.source, *(node.output for node in network.nodes)]

    @tf.function
    def influences(image, draw):
        parameters = {i: tf.constant(network.constants[i]) for i in kernels}
        with tf.GradientTape() as tape:
            for value in parameters.values():
                tape.watch(value)

            def watched(index, value):
                tape.watch(value)
                return value

            values = network.run(image, parameters, watched)
            logits = values[network.logits]
            if network.kind == "sigmoid":
                random = tf.random.stateless_uniform(tf.shape(logits), draw)
                drawn = tf.cast(random < tf.sigmoid(logits), tf.float32)
                loss = tf.nn.sigmoid_cross_entropy_with_logits(drawn, logits)
            else:
                drawn = tf.random.stateless_categorical(logits, 1, draw)[:, 0]
                loss = tf.nn.sparse_softmax_cross_entropy_with_logits(drawn, logits)
            loss = tf.reduce_sum(loss)
        sources = [values[i] for i in computed] + [parameters[i] for i in kernels]
        gradients = tape.gradient(
            loss, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        changes = [rounding(i, values[i]) - values[i] for i in computed]
        changes += [errors[i] for i in kernels]
        return tf.stack(
            [tf.reduce_sum(g * c) for g, c in zip(gradients, changes, strict=True)]
        )

    squares = np.zeros(len(computed) + len(kernels))
    for number, image in enumerate(bar(images, "sensitivity", "image", shown=progress)):
        for draw in range(_DRAWS):
            found = influences(
                tf.constant(image[None], tf.float32),
                tf.constant([seed, number * _DRAWS + draw]),
            )
            squares += np.square(found.numpy())
    nats = (squares / (2 * _DRAWS * len(images))).tolist()
    return Sensitivity(
        dict(zip(computed, nats[: len(computed)], strict=True)),
        dict(zip(kernels, nats[len(computed) :], strict=True)),
    )
