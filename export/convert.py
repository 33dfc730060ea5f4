"""From a frozen SavedModel to the bytes of a .tflite file."""

import re
import warnings

import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert_phase import ConverterError

from keras_effnet.errors import InputError
from keras_effnet.errors import suggest
from keras_effnet.export.freeze import INPUT_NAME

PRECISIONS = ("float32", "int8")


def check_precision(precision):
    """Raises an `InputError` for a precision that there is not."""
    if precision not in PRECISIONS:
        raise InputError(
            f"`precision` must be one of {', '.join(PRECISIONS)}. "
            f"{suggest(precision, PRECISIONS)}Received: {precision!r}"
        )


def convert(folder, precision, calibration=None):
    """Converts a SavedModel.

    Args:
        folder: Of the SavedModel.
        precision: `"float32"`, or `"int8"`: weights, activations, input and
            output in 8 bits (per-channel symmetric weights, per-tensor
            activations; the TFLite quantization specification).
        calibration: For int8, an iterable of float arrays, `(batch, height,
            width, channels)`, from which the ranges of the activations are
            taken (minimum and maximum).

    Returns:
        The file's bytes.

    Raises:
        InputError: The model holds operations that .tflite does not have.
    """
    check_precision(precision)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
    if precision == "int8":

        def representative_dataset():
            for batch in calibration:
                yield {INPUT_NAME: np.asarray(batch, "float32")}

        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = representative_dataset
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
    with warnings.catch_warnings():
        # Its own calibrator still uses what it deprecates.
        warnings.filterwarnings("ignore", r"\s*Warning: tf\.lite\.Interpreter is")
        try:
            return converter.convert()
        except ConverterError as error:
            raise InputError(_reason(str(error))) from error


def _reason(message):
    """The converter says it at the end of a hundred lines of its own graph."""
    operators = re.findall(r"(?:TF Select|Custom) ops: (.+)", message)
    if operators:
        return (
            "The model holds operations that .tflite does not have. "
            f"Received: {', '.join(operators)}"
        )
    return f"TensorFlow can't convert the model. Received: {message.splitlines()[0]}"
