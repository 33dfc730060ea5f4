"""The training itself: kept every minute, the same after a kill."""

import io
import math
import os
import time

import numpy as np
import tensorflow as tf
import tf_keras

from keras_effnet import files
from keras_effnet.errors import InputError
from keras_effnet.export import drawing
from keras_effnet.export.compression.legacy.optimizing import ScaledAdam

_SECONDS_BETWEEN_CHECKPOINTS = 60
_FILE = "checkpoint.npz"


def train(technique, teacher, images, labels, recipe, folder, tell):
    """Trains what TF-MOT made.

    Args:
        technique: A `Technique`; its model answers logits.
        teacher: A function from a batch of images to logits, or `None`.
        images: `(images, height, width, channels)`, as the model takes them.
        labels: An int array, or `None`.
        recipe: A dict: `steps`, `batch_size`, `learning_rate`, `distillation` (the
            teacher's share of the targets, 0 to 1), `loss` (`"softmax"` or
            `"sigmoid"`), `seed`.
        folder: Where the checkpoint is kept.
        tell: Called with the number of the step and its loss.

    Returns:
        The loss of each step, a list: the Kullback-Leibler divergence of the model's
        answers from the targets.

    Raises:
        InputError: The training diverged.
    """
    model, steps = technique.model, recipe["steps"]
    losses = tf_keras.losses
    kind = {
        "softmax": losses.CategoricalCrossentropy,
        "sigmoid": losses.BinaryCrossentropy,
    }
    optimizer = ScaledAdam(
        tf_keras.optimizers.schedules.CosineDecay(recipe["learning_rate"], steps),
        model.trainable_variables,
    )
    model.compile(optimizer, kind[recipe["loss"]](from_logits=True))
    path = os.path.join(folder, _FILE)
    variables = [*model.variables, *optimizer.variables]
    history = _load(path, variables)
    for callback in technique.callbacks:
        callback.set_model(model)
        callback.on_train_begin()
    saved = time.monotonic()
    for step in range(len(history), steps):
        random = np.random.default_rng([recipe["seed"], step])
        chosen, batch = drawing.draw(images, recipe["batch_size"], random)
        targets = _targets(batch, chosen, teacher, labels, recipe, model)
        loss = float(model.train_on_batch(batch, targets))
        if not math.isfinite(loss):
            raise InputError(
                f"The loss is no finite number any more at step {step + 1}; take a "
                "smaller learning rate. "
                f"Received: learning_rate={recipe['learning_rate']:g}"
            )
        history.append(loss - float(tf.reduce_mean(_entropy(targets, recipe))))
        tell(step + 1, history[-1])
        if time.monotonic() - saved > _SECONDS_BETWEEN_CHECKPOINTS:
            _save(path, variables, history)
            saved = time.monotonic()
    for callback in technique.callbacks:
        callback.on_epoch_end(0)
    return history


def _targets(batch, chosen, teacher, labels, recipe, model):
    """The cross-entropy is linear in its targets: mixing them mixes the losses."""
    share = recipe["distillation"]
    targets = 0.0
    if share > 0:
        squash = tf.nn.softmax if recipe["loss"] == "softmax" else tf.sigmoid
        targets += share * squash(teacher(batch))
    if share < 1:
        classes = model.output_shape[-1]
        if classes == 1:
            truth = tf.constant(labels[chosen][:, None], tf.float32)
        else:
            truth = tf.one_hot(labels[chosen], classes)
        targets += (1 - share) * truth
    return targets


def _entropy(targets, recipe):
    """What is left of the loss where the model answers the targets themselves."""
    parts = tf.math.xlogy(targets, targets)
    if recipe["loss"] == "sigmoid":
        parts += tf.math.xlogy(1 - targets, 1 - targets)
        return -tf.reduce_mean(parts, -1)
    return -tf.reduce_sum(parts, -1)


def _save(path, variables, history):
    arrays = {str(i): variable.numpy() for i, variable in enumerate(variables)}
    with files.replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, history=np.array(history), **arrays)


def _load(path, variables):
    if not os.path.exists(path):
        return []
    with open(path, "rb") as file:
        content = io.BytesIO(file.read())
    with np.load(content, allow_pickle=False) as arrays:
        for i, variable in enumerate(variables):
            variable.assign(arrays[str(i)])
        return list(arrays["history"])
