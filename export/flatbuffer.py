"""A .tflite file as an object that can be read and changed (LiteRT's schema.fbs)."""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_effnet.errors import InputError

_IDENTIFIER = b"TFL3"
_ALIGNMENT = 16
TENSOR_TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "float16": schema.TensorType.FLOAT16,
    "uint8": schema.TensorType.UINT8,
    "int8": schema.TensorType.INT8,
    "int16": schema.TensorType.INT16,
}
_TYPE_NAMES = {code: name for name, code in TENSOR_TYPES.items()}
OPERATOR_NAMES = {
    code: name
    for name, code in vars(schema.BuiltinOperator).items()
    if not name.startswith("_")
}


class _Builder(flatbuffers.Builder):
    """Keeps weights on the 16-byte borders that the schema asks for.

    flatbuffers' Python objects forget `force_align`.
    """

    def StartVector(self, elemSize, numElems, alignment):
        if elemSize == 1 and numElems >= _ALIGNMENT:
            alignment = _ALIGNMENT
        return super().StartVector(elemSize, numElems, alignment)


def unpack(data):
    """The bytes of a .tflite file as a `schema.ModelT`."""
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    for buffer in model.buffers:
        if buffer.offset > 1:  # weights behind the flatbuffer, as litert writes them
            buffer.data = np.frombuffer(
                data, np.uint8, count=buffer.size, offset=buffer.offset
            )
            buffer.offset = buffer.size = 0
    return model


def pack(model):
    """A `schema.ModelT` as the bytes of a .tflite file."""
    weights = sum(len(b.data) for b in model.buffers if b.data is not None)
    # A builder that grows holds its content twice; pages it never reaches are free.
    size = weights + weights // 8 + (1 << 20)
    builder = _Builder(min(size, flatbuffers.Builder.MAX_BUFFER_SIZE))
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(memoryview(builder.Bytes)[builder.Head() :])


def graph(model):
    """The one subgraph of a classifier; loops and branches would make more."""
    if len(model.subgraphs) != 1:
        raise InputError(
            "The model must be one graph, without loops or branches. "
            f"Received: {len(model.subgraphs)} graphs"
        )
    return model.subgraphs[0]


def operator_name(model, operator):
    """`"CONV_2D"`; a Flex or custom operator's own name."""
    code = model.operatorCodes[operator.opcodeIndex]
    if code.builtinCode == schema.BuiltinOperator.CUSTOM:
        return code.customCode.decode()
    return OPERATOR_NAMES[code.builtinCode]


def type_name(tensor):
    """`"float32"`, `"int8"`, as `TENSOR_TYPES` spells them."""
    return _TYPE_NAMES[tensor.type]


def activations(model):
    """Indices of the input's and of all computed tensors, in graph order."""
    subgraph = graph(model)
    outputs = [int(o) for op in subgraph.operators for o in op.outputs]
    return [int(subgraph.inputs[0]), *outputs]


def classes(model):
    """How many values a classifier answers with, for each image."""
    subgraph = graph(model)
    return int(subgraph.tensors[subgraph.outputs[0]].shape[-1])


def set_quantization(tensor, scale=None, zero_point=None, low=None, high=None):
    """Gives a tensor a scale and zero point, or the range that a quantiser reads."""
    tensor.quantization = schema.QuantizationParametersT()
    if scale is not None:
        tensor.quantization.scale = np.array([scale], np.float32)
        tensor.quantization.zeroPoint = np.array([zero_point], np.int64)
    if low is not None:
        tensor.quantization.min = np.array([low], np.float32)
        tensor.quantization.max = np.array([high], np.float32)


def set_data(model, tensor, array):
    """Gives a tensor other constants, and leaves those that it shared alone."""
    buffer = schema.BufferT()
    buffer.data = np.ascontiguousarray(array).view(np.uint8).ravel()
    model.buffers.append(buffer)
    old, tensor.buffer = tensor.buffer, len(model.buffers) - 1
    if not any(other.buffer == old for other in graph(model).tensors):
        model.buffers[old].data = None


def add_tensor(model, like, name, dtype, scale=None, zero_point=None):
    """Adds a tensor of a computed value, of the same shape as another; its index."""
    tensor = schema.TensorT()
    tensor.name = name
    tensor.shape = like.shape
    tensor.shapeSignature = like.shapeSignature
    tensor.type = TENSOR_TYPES[dtype]
    tensor.buffer = 0  # the schema's empty one
    tensor.quantization = None
    if scale is not None:
        set_quantization(tensor, scale, zero_point)
    graph(model).tensors.append(tensor)
    return len(graph(model).tensors) - 1


def cast_operator(model, source, target, quantize, version=2):
    """QUANTIZE, or DEQUANTIZE, between the tensors of two indices that differ in type,
    scale or zero point.

    Version 2 brought int8, and QUANTIZE's int8 to uint8; 5 DEQUANTIZE's scales per
    channel.
    """
    builtin = schema.BuiltinOperator
    code = builtin.QUANTIZE if quantize else builtin.DEQUANTIZE
    operator = schema.OperatorT()
    operator.opcodeIndex = _code_index(model, code, version)
    operator.inputs = np.array([source], np.int32)
    operator.outputs = np.array([target], np.int32)
    return operator


def _code_index(model, builtin, version):
    for index, code in enumerate(model.operatorCodes):
        if code.builtinCode == builtin:
            code.version = max(code.version, version)
            return index
    code = schema.OperatorCodeT()
    code.builtinCode = builtin
    code.deprecatedBuiltinCode = builtin
    code.version = version
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1
