"""What a finished .tflite file has inside, for its sheet."""

import collections
import gzip
import importlib.metadata
import pathlib

import numpy as np
import zstandard

from keras_effnet import files
from keras_effnet.export import flatbuffer
from keras_effnet.export.lean import partitions
from keras_effnet.sheet import Tensor

_VERSIONS = (
    "keras-effnet",
    "keras",
    "tensorflow",
    "ai-edge-litert",
    "litert-quantizer",
)
_KERNELS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_DTYPES = {0: np.float32, 1: np.float16, 9: np.int8}
# What app stores and web servers use: slower levels gain a per cent.
_LEVELS = {"gzip": 6, "zstd": 9}


def describe(file, model) -> dict:
    """The fields of a `Sheet` that can be read from a file, a `TFLiteModel` and the
    same unpacked, and the versions that wrote it."""
    operators = file.interpreter._get_ops_details()
    dtypes = {t["index"]: t["dtype"] for t in file.interpreter.get_tensor_details()}
    count, outside = partitions(operators, [file.input["index"]])
    # The delegate's nodes repeat what the file's own operators say.
    own = [op for op in operators if op["op_name"] != "DELEGATE"]
    in_float = [
        op["op_name"]
        for op in own
        if any(dtypes.get(int(index)) == np.float32 for index in op["outputs"])
    ]
    return {
        "bytes": file.path.stat().st_size,
        "compressed_bytes": compressed(file.path),
        "sparsity": sparsity(model),
        "sha256": files.checksum(file.path),
        "input": _tensor(file.input),
        "output": _tensor(file.output),
        "operators": _counts(op["op_name"] for op in own),
        "float_operators": _counts(in_float),
        "partitions": count,
        "outside_xnnpack": outside,
        "versions": {name: importlib.metadata.version(name) for name in _VERSIONS},
    }


def _counts(names):
    return dict(sorted(collections.Counter(names).items()))


def _tensor(details):
    scale, zero_point = details["quantization"]
    return Tensor(
        name=details["name"],
        shape=tuple(details["shape_signature"].tolist()),
        dtype=np.dtype(details["dtype"]).name,
        scale=float(scale),
        zero_point=int(zero_point),
    )


def compressed(path):
    """`{"gzip": bytes, "zstd": bytes}` of a file, compressed as a whole."""
    data = pathlib.Path(path).read_bytes()
    return {
        "gzip": len(gzip.compress(data, _LEVELS["gzip"], mtime=0)),
        "zstd": len(zstandard.compress(data, _LEVELS["zstd"])),
    }


def sparsity(model):
    """The share of zeros in the kernels of a `schema.ModelT`, 0 to 1.

    Those of operators in float are counted before their 8-bit kernels are unpacked.
    """
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
