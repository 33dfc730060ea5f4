"""The numbers that go with a file: no file leaves without them."""

import collections
import hashlib
import importlib.metadata
import json

import numpy as np

from keras_effnet import files
from keras_effnet.export import density
from keras_effnet.export.lean import partitions
from keras_effnet.export.sheet_page import write_page
from keras_effnet.tflite import TFLiteModel

_VERSIONS = (
    "keras-effnet",
    "keras",
    "tensorflow",
    "ai-edge-litert",
    "litert-quantizer",
)


def describe(path):
    """Reads from a .tflite file what is in it.

    Args:
        path: Path of the file.

    Returns:
        A JSON-ready dict: bytes, also compressed, sha256, the share of zeros in the
        kernels, input and output (name, shape, dtype,
        scale and zero point), operator counts, the operators that compute in
        float, into how many pieces XNNPACK takes the graph and what it leaves
        to LiteRT's other kernels, and the versions that wrote it.
    """
    model = TFLiteModel(path)
    with open(model.path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    interpreter = model.interpreter
    dtypes = {t["index"]: t["dtype"] for t in interpreter.get_tensor_details()}
    operators = interpreter._get_ops_details()
    count, outside = partitions(operators, [model.input["index"]])
    # The delegate's nodes repeat what the file's own operators say.
    own = [op for op in operators if op["op_name"] != "DELEGATE"]
    in_float = [
        op["op_name"]
        for op in own
        if any(dtypes.get(int(index)) == np.float32 for index in op["outputs"])
    ]
    return {
        "bytes": model.path.stat().st_size,
        "compressed_bytes": density.compressed(model.path),
        "sparsity": density.sparsity(model.path),
        "sha256": digest,
        "input": _tensor(model.input),
        "output": _tensor(model.output),
        "operators": _counts(op["op_name"] for op in own),
        "float_operators": _counts(in_float),
        "partitions": count,
        "outside_xnnpack": outside,
        "versions": {name: importlib.metadata.version(name) for name in _VERSIONS},
    }


def write(path, numbers):
    """Writes a file's sheet, .json and .html, beside it.

    Args:
        path: Of the .tflite file.
        numbers: The dict.
    """
    files.write_text(
        path.with_suffix(".json"), json.dumps(numbers, indent=2, default=str) + "\n"
    )
    write_page(numbers, path.with_suffix(".html"))


def update(path, numbers):
    """Writes a sheet anew, unless the file is another one by now.

    Args:
        path: Of the .tflite file.
        numbers: The dict that `write` wrote, with more in it.
    """
    with files.locked(path.parent):
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest == numbers["sha256"]:
            write(path, numbers)


def _counts(names):
    return dict(sorted(collections.Counter(names).items()))


def _tensor(details):
    scale, zero_point = details["quantization"]
    return {
        "name": details["name"],
        "shape": details["shape_signature"].tolist(),
        "dtype": np.dtype(details["dtype"]).name,
        "scale": float(scale),
        "zero_point": int(zero_point),
    }
