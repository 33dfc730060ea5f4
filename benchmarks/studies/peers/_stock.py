"""The other side: keras.applications, converted the way TensorFlow's guide has it."""

import tempfile

import keras
import numpy as np
import tensorflow as tf

from keras_effnet.preprocessing import NORMALIZATIONS
from keras_effnet.quiet import native_stderr_held_back

_INT16X8 = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8


def convert(converter, precision, images):
    """The bytes of a file, with the usual settings of a precision; int8 also takes and
    gives int8. int8 and int16x8 are calibrated on images `(count, height, width,
    3)`."""
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision in ("int8", "int16x8"):
        converter.representative_dataset = lambda: ([image[None]] for image in images)
    if precision == "int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
    if precision == "int16x8":
        converter.target_spec.supported_ops = [_INT16X8]
    return converter.convert()


def at_batch_1(model, folder):
    """A converter of a Keras model, from its SavedModel traced at batch 1, which must
    stay in `folder` until the conversion."""
    spec = keras.InputSpec("float32", (1, *model.inputs[0].shape[1:]))
    model.export(folder, format="tf_saved_model", verbose=False, input_signature=[spec])
    return tf.lite.TFLiteConverter.from_saved_model(str(folder))


def write(path, model, precision, images):
    """Converts a network, traced at batch 1, to a file of a precision."""
    with tempfile.TemporaryDirectory() as saved, native_stderr_held_back():
        path.write_bytes(convert(at_batch_1(model, saved), precision, images))


def counterpart(model, network):
    """The network of keras.applications that computes the same function: with the same
    weights, by layer name, and ImageNet's mean and standard deviation, which V1's
    Normalization has of no weights file but the published ones."""
    built = getattr(keras.applications, network)(
        weights=None, input_shape=model.inputs[0].shape[1:]
    )
    mean, std = (np.array(values) / 255 for values in NORMALIZATIONS["imagenet"])
    for layer in built.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            layer.set_weights([mean, std**2, np.array(0)])
            layer.finalize_state()
    return with_weights_of(model, built)


def with_weights_of(model, other):
    """Another model with a model's weights, by layer name, but for Normalization's."""
    for layer in other.layers:
        if layer.weights and not isinstance(layer, keras.layers.Normalization):
            layer.set_weights(model.get_layer(layer.name).get_weights())
    return other
