"""The two programs that convert and quantise, behind one door.

`tflite` is TensorFlow's converter and the quantiser in it, `litert` is Google's
litert-quantizer, which works on a float .tflite file.
"""

import contextlib
import io
import re
import warnings

import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert import convert_saved_model
from tensorflow.lite.python.convert import mlir_quantize
from tensorflow.lite.python.convert_phase import ConverterError

from keras_effnet.errors import InputError
from keras_effnet.errors import first_line
from keras_effnet.export import flatbuffer


def convert(folder, precision) -> bytes:
    """A SavedModel by TensorFlow's converter, without calibration, to float32, float16
    or dynamic."""
    flags = {
        "saved_model_dir": str(folder),
        "saved_model_version": 1,
        "saved_model_tags": {tf.saved_model.SERVING},
        "saved_model_exported_names": [
            tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
        ],
        "target_ops": {tf.lite.OpsSet.TFLITE_BUILTINS},
        "enable_composite_direct_lowering": True,
    }
    if precision != "float32":
        flags |= {
            "post_training_quantize": True,
            "enable_mlir_dynamic_range_quantizer": True,
            "quantize_to_float16": precision == "float16",
        }
    try:
        # What `TFLiteConverter.from_saved_model` calls, but that loads the model
        # three times before and copies the file four times after it.
        return convert_saved_model(**flags)
    except ConverterError as error:
        raise InputError(_reason(str(error))) from error


def quantize(
    data: bytes, precision, engine, ranges=None, float_nodes=frozenset()
) -> bytes:
    """Quantises a float file to any precision but float32; `"tflite"` to int8 only.

    `ranges` are `{tensor: (least, greatest)}` of all activations by their index, for
    int8 and int16x8; `float_nodes` names of operators (their outputs') that `"tflite"`
    leaves in float. Input and output get the activations' type (for int8: per-tensor
    asymmetric activations, per-channel symmetric weights; the LiteRT quantization
    specification).
    """
    try:
        if engine == "tflite":
            return _quantize_tflite(data, ranges, float_nodes)
        return _quantize_litert(data, precision, ranges)
    except (ConverterError, RuntimeError, ValueError, NotImplementedError) as error:
        raise InputError(
            f"The engine {engine!r} can't make this model {precision}. "
            f"Received: {first_line(error)}"
        ) from error


def _quantize_tflite(data, ranges, float_nodes):
    model = flatbuffer.unpack(data)
    for index, (low, high) in ranges.items():
        tensor = flatbuffer.graph(model).tensors[index]
        flatbuffer.set_quantization(tensor, low=low, high=high)
    return mlir_quantize(
        flatbuffer.pack(model),
        input_data_type=tf.int8,
        output_data_type=tf.int8,
        denylisted_nodes=set(float_nodes) or None,
    )


def _quantize_litert(data, precision, ranges):
    from litert_quantizer import qtyping
    from litert_quantizer import quantizer

    work = quantizer.Quantizer(bytearray(data))
    found = None
    if precision == "float16":
        halves = qtyping.OpQuantizationConfig(
            weight_tensor_config=qtyping.TensorQuantizationConfig(
                num_bits=16, dtype=qtyping.TensorDataType.FLOAT
            ),
            compute_precision=qtyping.ComputePrecision.FLOAT,
        )
        for name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            work.update_quantization_recipe(".*", name, halves, "float_casting")
    elif precision == "dynamic":
        work.add_dynamic_config(".*", "*", 8)
    elif precision == "weight-only":
        work.add_weight_only_config(".*", "*", 8)
    else:
        work.add_static_config(".*", "*", 16 if precision == "int16x8" else 8, 8)
        tensors = flatbuffer.graph(flatbuffer.unpack(data)).tensors
        found = {
            tensors[index].name.decode(): {
                "min": np.float32(low),
                "max": np.float32(high),
            }
            for index, (low, high) in ranges.items()
        }
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # it warns of what it does itself
        return bytes(work.quantize(found).quantized_model)


def _reason(message):
    """The converter says it at the end of a hundred lines of its own graph."""
    operators = re.findall(r"(?:TF Select|Custom) ops: (.+)", message)
    if operators:
        return (
            "The model holds operations that .tflite does not have. "
            f"Received: {', '.join(operators)}"
        )
    return f"TensorFlow can't convert the model. Received: {message.splitlines()[0]}"
