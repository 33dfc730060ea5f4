"""Kernels of operators in float that are stored in 8 bits all the same."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_effnet.export import flatbuffer
from keras_effnet.export.levers import fake_quantization
from keras_effnet.export.levers.network import CHANNEL_AXIS

# Weights: a smaller kernel costs no bytes to speak of, and stays exact.
SMALL = 1 << 12


def in_8_bits(data):
    """Stores the kernels of a mixed file that are in float with 8 bits a weight.

    XNNPACK unpacks them once, when it loads the file: the operators stay as fast as
    in float, and the file as small as in int8.

    Args:
        data: The bytes of a .tflite file.

    Returns:
        Bytes.
    """
    model = flatbuffer.unpack(data)
    graph = flatbuffer.graph(model)
    unpacked, operators = {}, []
    for operator in graph.operators:
        axis = CHANNEL_AXIS.get(flatbuffer.operator_name(model, operator))
        index = None if axis is None else int(operator.inputs[1])
        if index is not None and _is_large(model, graph.tensors[index]):
            unpacked[index] = _packed(model, index, axis)
            operators.append(
                flatbuffer.cast_operator(
                    model, index, unpacked[index], quantize=False, version=5
                )
            )
        if index in unpacked:  # by this operator, or by one before it
            operator.inputs = np.array(operator.inputs)
            operator.inputs[1] = unpacked[index]
        operators.append(operator)
    graph.operators = operators
    return flatbuffer.pack(model)


def _is_large(model, tensor):
    stored = model.buffers[tensor.buffer].data
    in_float = tensor.type == flatbuffer.TENSOR_TYPES["float32"]
    return in_float and stored is not None and len(stored) >= 4 * SMALL


def _packed(model, index, axis):
    """Makes the kernel int8; returns the tensor into which it is unpacked."""
    tensor = flatbuffer.graph(model).tensors[index]
    stored = bytes(model.buffers[tensor.buffer].data)
    kernel = np.frombuffer(stored, np.float32).reshape(tensor.shape)
    target = flatbuffer.add_tensor(
        model, tensor, f"{tensor.name.decode()}_unpacked", "float32"
    )
    steps = fake_quantization.kernel_steps(kernel, axis)
    flatbuffer.set_data(model, tensor, np.round(kernel / steps).astype(np.int8))
    tensor.type = flatbuffer.TENSOR_TYPES["int8"]
    tensor.quantization = schema.QuantizationParametersT()
    tensor.quantization.scale = steps.ravel().astype(np.float32)
    tensor.quantization.zeroPoint = np.zeros(steps.size, np.int64)
    tensor.quantization.quantizedDimension = axis
    return target
