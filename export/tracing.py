"""From a Keras model to a SavedModel for the converter, traced once for all precisions.

A fixed batch leaves no shape arithmetic in the files.
"""

import functools
import math

import keras
import numpy as np
import tensorflow as tf

from keras_effnet.errors import InputError
from keras_effnet.errors import check_number
from keras_effnet.evaluation import check_channels_last
from keras_effnet.export import normalisation
from keras_effnet.tflite import check_classifier

INPUT_NAME = "images"
OUTPUT_NAME = "probabilities"
# Elements of a weight that stays a variable: 64 KiB.
_LARGE = 1 << 14


def check(model):
    """Raises an `InputError` for a model that can't be exported: Keras does not run on
    TensorFlow, more than one image input of a fixed size and one output, a weight that
    is no finite number."""
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            "Export needs Keras on TensorFlow: set KERAS_BACKEND=tensorflow and load "
            f"the .keras file. Received: backend={keras.backend.backend()!r}"
        )
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        raise InputError(
            "The model must be a functional or sequential keras.Model that has been "
            f"built. Received: {type(model).__module__}.{type(model).__name__}"
        )
    shapes = [[x.shape for x in side] for side in (model.inputs, model.outputs)]
    check_classifier(*shapes, model.name)
    check_channels_last(model)
    shape = model.inputs[0].shape
    if None in shape[1:]:
        raise InputError(
            "The height and width of the model's input must be fixed sizes. "
            f"Received: input shape {tuple(shape)}"
        )
    for weight in model.weights:
        if not np.isfinite(keras.ops.convert_to_numpy(weight)).all():
            raise InputError(
                "Every weight must be a finite number; some are NaN or infinite. "
                f"Received: {weight.path}"
            )


def check_batch_size(batch_size):
    """Raises an `InputError` unless a batch size is a number from 1, or `None`."""
    if batch_size is not None:
        valid = "a whole number from 1, or None for an open one"
        check_number("batch_size", batch_size, valid, lambda n: n >= 1, whole=True)


def freeze(model, folder, batch_size=1) -> normalisation.Normalisation | None:
    """Writes a SavedModel of a fixed batch (open when `None`), the weights in its
    files.

    Large weights are variables, of which saving makes no copy in memory and conversion
    few: as constants of the graph they would be copied with it, each time that
    TensorFlow reads, rewrites or serialises it. Small ones are constants: a variable
    costs milliseconds, a network has hundreds, and they are a few bytes. Returns the
    normalisation that became one subtraction.
    """
    model = in_float32(model)
    shape = tuple(model.inputs[0].shape[1:])
    found = normalisation.find(model)
    values = [
        (variable, keras.ops.convert_to_numpy(variable))
        for variable in model.variables
        if math.prod(variable.shape) < _LARGE
    ]
    network = functools.partial(model, training=False)
    if found:
        # Unlike a model it leaves no nodes in the user's layers; they compute as in
        # inference where nobody says otherwise.
        network = keras.Function(found.tensor, model.outputs)
        values.append((found.kernel, found.scaled_kernel))  # the last one holds
    scope = keras.StatelessScope(values)
    spec = tf.TensorSpec((batch_size, *shape), tf.float32, name=INPUT_NAME)

    @tf.function(input_signature=[spec])
    def serve(images):
        if found and found.subtracts:
            images = images - _subtrahend(found.mean, width=shape[1])
        with scope:
            outputs = keras.tree.flatten(network(images))
        return {OUTPUT_NAME: outputs[0]}

    try:
        function = serve.get_concrete_function()
    except (NotImplementedError, TypeError, ValueError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise InputError(f"TensorFlow can't trace the model. Received: {reason}") from (
            error
        )
    module = tf.Module()
    module.variables_of_function = function.variables
    tf.saved_model.save(
        module,
        str(folder),
        signatures=function,
        options=tf.saved_model.SaveOptions(experimental_custom_gradients=False),
    )
    return found


def _subtrahend(mean, width):
    """One number, or a whole row of the image: XNNPACK's inner loop runs over what
    is contiguous, and over three values it would take ten times as long."""
    if np.all(mean == mean[0]):
        return np.float32(mean[0])
    return np.tile(np.float32(mean), (1, 1, width, 1))


def in_float32(model):
    """A model trained in mixed precision has float32 weights, and .tflite has no
    convolution in bfloat16."""
    if all(layer.compute_dtype == "float32" for layer in model.layers):
        return model

    def clone(layer):
        config = layer.get_config()
        if not isinstance(layer, keras.layers.InputLayer):
            config["dtype"] = "float32"
        return type(layer).from_config(config)

    copy = keras.models.clone_model(model, clone_function=clone, recursive=True)
    copy.set_weights(model.get_weights())
    for layer in copy._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # its mean is no weight, but made of them
    return copy
