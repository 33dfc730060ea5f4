"""The loss of a recipe and the weights of its classes."""

import keras
import numpy as np

from keras_effnet.errors import InputError


def build_loss(recipe, from_logits=False):
    """The loss, of labels of shape `(batch, classes)`, one-hot or mixed.

    `"softmax"` is the cross-entropy with the smoothing spread over all classes;
    `"sigmoid"` the mean over the classes of one binary cross-entropy each, smoothed
    towards one half. Source: `tf.losses.softmax_cross_entropy` and
    `sigmoid_cross_entropy`, which the papers' code calls.
    """
    losses = {
        "softmax": keras.losses.CategoricalCrossentropy,
        "sigmoid": keras.losses.BinaryCrossentropy,
    }
    if recipe.loss not in losses:
        raise InputError(
            f"`loss` must be 'softmax' or 'sigmoid'. Received: loss={recipe.loss!r}"
        )
    return losses[recipe.loss](
        from_logits=from_logits, label_smoothing=recipe.label_smoothing
    )


def class_weights(labels, classes):
    """Weights, float32, `(classes,)`, with which every class counts the same, however
    rare it is: `images / (present * count)`, `present` being the number of classes that
    have images. Their mean over the images is 1, so that the loss keeps its scale. A
    class without images weighs 0."""
    labels = np.asarray(labels)
    if labels.size == 0:
        raise InputError("Class weights need labels. Received: none")
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(
            f"Labels must lie between 0 and {classes - 1}. "
            f"Received: {labels.min()} to {labels.max()}"
        )
    counts = np.bincount(labels, minlength=classes)
    present = np.count_nonzero(counts)
    weights = np.zeros(classes, "float32")
    weights[counts > 0] = labels.size / (present * counts[counts > 0])
    return weights
