"""What a network learns: the answers of another, or labels."""

import tensorflow as tf


def divergence(expected, found, kind, temperature=1.0):
    """Kullback and Leibler's, of one network's answers from another's.

    Both are softened by a temperature, from 1, so that all classes teach and not the
    likeliest alone; its square makes up for the smaller gradients (Hinton et al. 2015,
    "Distilling the Knowledge in a Neural Network", section 2).

    From logits, `(batch, classes)`, to nats, `(batch,)`; of sigmoids a mean over the
    classes.
    """
    squash, cross = _KINDS[kind]
    expected, found = expected / temperature, found / temperature
    taught = squash(expected)
    return temperature**2 * (cross(taught, found) - cross(taught, expected))


def loss(recipe: dict):
    """A share of the divergence, the rest the cross-entropy of labels, for each image.

    By the `distillation`, `temperature` and `loss` of a dict. A function of `(batch, 2
    * classes)`, the teacher's logits and the classes side by side, and of logits
    `(batch, classes)`.
    """
    share, kind = recipe["distillation"], recipe["loss"]
    _, cross = _KINDS[kind]

    def of(targets, logits):
        soft, hard = tf.split(targets, 2, -1)
        taught = divergence(soft, logits, kind, recipe["temperature"])
        return share * taught + (1 - share) * cross(hard, logits)

    return of


def _sigmoid_cross_entropy(targets, logits):
    found = tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)
    return tf.reduce_mean(found, -1)


_KINDS = {
    "softmax": (tf.nn.softmax, tf.nn.softmax_cross_entropy_with_logits),
    "sigmoid": (tf.sigmoid, _sigmoid_cross_entropy),
}
