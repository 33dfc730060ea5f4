"""The input and output of a file: their types, names and signature."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_effnet.export import flatbuffer
from keras_effnet.export.tracing import INPUT_NAME

SIGNATURE = "serving_default"


def subtraction(model):
    """The operator that reads a graph's input, if it subtracts, else `None`.

    Where nothing is padded, the converter makes the subtraction a part of the
    convolution's bias.
    """
    subgraph = flatbuffer.graph(model)
    (first,) = (op for op in subgraph.operators if subgraph.inputs[0] in op.inputs)
    name = flatbuffer.operator_name(model, first)
    return first if name in ("SUB", "ADD") else None  # it may add the negative


def drop_subtraction(model):
    """Takes the subtraction at the beginning of a float graph away.

    The graph's input is then pixel - mean, which a quantised tensor stores as the pixel
    itself.
    """
    subgraph = flatbuffer.graph(model)
    first = subtraction(model)
    subgraph.operators = [op for op in subgraph.operators if op is not first]
    subgraph.inputs = np.array([first.outputs[0]], np.int32)


def set_types(model, input_type, output_type, pixels):
    """Gives the input and the output the types that a user asked for, float32, uint8 or
    int8.

    `pixels` is `(scale, zero point)` of a uint8 pixel for a network that computes its
    input in float.
    """
    subgraph = flatbuffer.graph(model)
    (index,) = map(int, subgraph.inputs)
    outer = _cast(model, index, input_type, pixels, before=True)
    subgraph.inputs = np.array([outer], np.int32)
    (index,) = map(int, subgraph.outputs)
    last = subgraph.operators[-1]
    if output_type == "float32" and flatbuffer.operator_name(model, last) == "SOFTMAX":
        # In float it is exact, and XNNPACK has no other.
        _in_float(model, last)
    else:
        index = _cast(model, index, output_type, None, before=False)
    subgraph.outputs = np.array([index], np.int32)


def _cast(model, index, dtype, pixels, before):
    """Puts QUANTIZE or DEQUANTIZE between a tensor and one of another type."""
    subgraph = flatbuffer.graph(model)
    inner = subgraph.tensors[index]
    own = flatbuffer.type_name(inner)
    if own == dtype:
        return index
    if {own, dtype} == {"int16", "uint8"} or {own, dtype} == {"int16", "int8"}:
        # LiteRT has no kernel from one to the other but by way of float.
        index = _cast(model, index, "float32", None, before)
        inner, own = subgraph.tensors[index], "float32"
    scale = zero_point = None
    if dtype != "float32":
        scale, zero_point = _stored_as(inner, own, dtype, pixels)
    name = INPUT_NAME if before else "outputs"
    outer = flatbuffer.add_tensor(
        model, inner, f"{name}_{dtype}", dtype, scale, zero_point
    )
    source, target = (outer, index) if before else (index, outer)
    to_float = flatbuffer.type_name(subgraph.tensors[target]) == "float32"
    operator = flatbuffer.cast_operator(model, source, target, quantize=not to_float)
    subgraph.operators.insert(0 if before else len(subgraph.operators), operator)
    return outer


def _in_float(model, operator):
    """Lets the last operator, of one input, read and write float."""
    subgraph = flatbuffer.graph(model)
    (source,), (target,) = operator.inputs, operator.outputs
    if flatbuffer.type_name(subgraph.tensors[source]) == "float32":
        return
    subgraph.operators.pop()
    operator.inputs = np.array(
        [_cast(model, int(source), "float32", None, before=False)], np.int32
    )
    subgraph.operators.append(operator)
    subgraph.tensors[target].type = flatbuffer.TENSOR_TYPES["float32"]
    subgraph.tensors[target].quantization = None


def _stored_as(inner, own, dtype, pixels):
    """The scale and zero point of the outer tensor."""
    if own == "float32":
        scale, zero_point = pixels
        return scale, zero_point - (128 if dtype == "int8" else 0)
    scale = float(inner.quantization.scale[0])
    zero_point = int(inner.quantization.zeroPoint[0])
    return scale, zero_point + (128 if dtype == "uint8" else -128)


def set_names(model, output_name):
    """Plain names of the input and output, and a signature with them."""
    subgraph = flatbuffer.graph(model)
    signature = schema.SignatureDefT()
    signature.signatureKey = SIGNATURE
    signature.subgraphIndex = 0
    signature.inputs = [_name(subgraph, subgraph.inputs, INPUT_NAME)]
    signature.outputs = [_name(subgraph, subgraph.outputs, output_name)]
    model.signatureDefs = [signature]


def _name(subgraph, indices, name):
    (index,) = map(int, indices)
    for tensor in subgraph.tensors:
        if tensor.name in (name, name.encode()):  # names must be unique
            tensor.name = f"{name}_inner"
    subgraph.tensors[index].name = name
    entry = schema.TensorMapT()
    entry.name = name
    entry.tensorIndex = index
    return entry
