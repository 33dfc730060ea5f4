"""How much less a file takes when it is compressed, and how much of it is zero."""

import gzip
import pathlib

import numpy as np
import zstandard

from keras_effnet.export import flatbuffer

_KERNELS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_DTYPES = {0: np.float32, 1: np.float16, 9: np.int8}
# What app stores and web servers use: slower levels gain a per cent.
_LEVELS = {"gzip": 6, "zstd": 9}


def compressed(path):
    """`{"gzip": bytes, "zstd": bytes}` of a file, compressed as a whole."""
    data = pathlib.Path(path).read_bytes()
    return {
        "gzip": len(gzip.compress(data, _LEVELS["gzip"], mtime=0)),
        "zstd": len(zstandard.compress(data, _LEVELS["zstd"])),
    }


def sparsity(path):
    """The share of zeros in the kernels of a .tflite file, 0 to 1.

    Those of operators in float are counted before their 8-bit kernels are unpacked.
    """
    model = flatbuffer.unpack(pathlib.Path(path).read_bytes())
    graph = flatbuffer.graph(model)
    sources = {
        int(operator.outputs[0]): int(operator.inputs[0])
        for operator in graph.operators
        if flatbuffer.operator_name(model, operator) == "DEQUANTIZE"
    }
    kernels = {
        int(operator.inputs[1])
        for operator in graph.operators
        if flatbuffer.operator_name(model, operator) in _KERNELS
    }
    zeros = values = 0
    for index in kernels:
        tensor = graph.tensors[sources.get(index, index)]
        stored = model.buffers[tensor.buffer].data
        if stored is None or tensor.type not in _DTYPES:
            continue
        array = np.frombuffer(bytes(stored), _DTYPES[tensor.type])
        # Kernels are symmetric: a zero is stored as 0 (LiteRT quantization spec).
        zeros += int(np.sum(array == 0))
        values += array.size
    return zeros / values if values else 0.0
