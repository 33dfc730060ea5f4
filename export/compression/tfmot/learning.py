"""The training itself: kept every minute, the same after a kill."""

import math
import time

import numpy as np
import tensorflow as tf
import tf_keras

from keras_effnet.errors import InputError
from keras_effnet.export import crops
from keras_effnet.export.compression.tfmot.optimizing import ScaledAdam
from keras_effnet.export.levers import objectives
from keras_effnet.training import checkpoint

_SECONDS_BETWEEN_CHECKPOINTS = 60
_FILE = "checkpoint.npz"


def train(technique, teacher, images, labels, recipe, folder, tell) -> list[float]:
    """Trains what TF-MOT made, a `Technique` whose model answers logits: each step's
    loss.

    The teacher is a function from a batch of images to logits. The recipe is a dict:
    `steps`, `batch_size`, `learning_rate`, `distillation` (the teacher's share of the
    loss, 0 to 1), `temperature` of its answers, `loss` (`"softmax"` or `"sigmoid"`),
    `seed`. `tell` is called with the number of the step and its loss.
    """
    model, steps = technique.model, recipe["steps"]
    optimizer = ScaledAdam(
        tf_keras.optimizers.schedules.CosineDecay(recipe["learning_rate"], steps),
        model.trainable_variables,
    )
    model.compile(optimizer, objectives.loss(recipe))
    path = folder / _FILE
    variables = [*model.variables, *optimizer.variables]
    history = []
    if path.exists():
        arrays, history = checkpoint.read(path)
        checkpoint.restore(variables, arrays["variables"], "variables")
    for callback in technique.callbacks:
        callback.set_model(model)
        callback.on_train_begin()
    saved = time.monotonic()
    for step in range(len(history), steps):
        random = np.random.default_rng([recipe["seed"], step])
        chosen, batch = crops.draw(images, recipe["batch_size"], random)
        targets = _targets(batch, chosen, teacher, labels, recipe, model)
        loss = float(model.train_on_batch(batch, targets))
        if not math.isfinite(loss):
            raise InputError(
                f"The loss is no finite number any more at step {step + 1}; take a "
                "smaller learning rate. "
                f"Received: learning_rate={recipe['learning_rate']:g}"
            )
        history.append(loss)
        tell(step + 1, history[-1])
        if time.monotonic() - saved > _SECONDS_BETWEEN_CHECKPOINTS:
            checkpoint.write(path, {"variables": variables}, history)
            saved = time.monotonic()
    for callback in technique.callbacks:
        callback.on_epoch_end(0)
    return history


def _targets(batch, chosen, teacher, labels, recipe, model):
    """The teacher's logits and the classes, side by side; zeros where none is used."""
    classes, share = model.output_shape[-1], recipe["distillation"]
    soft = hard = tf.zeros((len(chosen), classes))
    if share > 0:
        soft = teacher(batch)
    if share < 1 and classes == 1:
        hard = tf.constant(labels[chosen][:, None], tf.float32)
    elif share < 1:
        hard = tf.one_hot(labels[chosen], classes)
    return tf.concat([soft, hard], -1)
