"""What is learned: the teacher's answers, or labels, or a part of both."""

import tensorflow as tf


def divergence(recipe):
    """The divergence from the teacher's answers, and the cross-entropy of labels.

    Both answers are softened by a temperature, so that all classes teach and not the
    likeliest alone; its square makes up for the smaller gradients (Hinton et al. 2015,
    section 2).

    Args:
        recipe: A dict of `distillation`, `temperature` and `loss`.

    Returns:
        A function of `(batch, 2 * classes)`, the teacher's logits and the classes side
        by side, and of logits `(batch, classes)`: a loss for each image.
    """
    share, temperature = recipe["distillation"], recipe["temperature"]
    squash, cross = {
        "softmax": (tf.nn.softmax, tf.nn.softmax_cross_entropy_with_logits),
        "sigmoid": (tf.sigmoid, _sigmoid_cross_entropy),
    }[recipe["loss"]]

    def loss(targets, logits):
        soft, hard = tf.split(targets, 2, -1)
        taught = squash(soft / temperature)
        apart = cross(taught, logits / temperature)
        apart -= cross(taught, soft / temperature)
        return share * temperature**2 * apart + (1 - share) * cross(hard, logits)

    return loss


def _sigmoid_cross_entropy(targets, logits):
    found = tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)
    return tf.reduce_mean(found, -1)
