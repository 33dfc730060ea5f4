"""A .tflite file as LiteRT alone sees it, without a line of this package."""

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.interpreter import OpResolverType

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")


def _operators(path, resolver):
    interpreter = Interpreter(str(path), experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    return interpreter._get_ops_details(), interpreter.get_input_details()


def operators(path):
    """The names of a file's operators, in the order of its graph."""
    found, _ = _operators(path, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    return [operator["op_name"] for operator in found]


def in_front(path):
    """The names of those between the image and the first convolution."""
    found, (image,) = _operators(path, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    reached, names = {image["index"]}, []
    for operator in found:
        if reached & set(operator["inputs"]):
            if operator["op_name"] in CONVOLUTIONS:
                return names
            names.append(operator["op_name"])
            reached |= set(operator["outputs"])
    raise AssertionError("no convolution reads the image")


def partitions(path):
    """Into how many pieces XNNPACK takes the graph."""
    found, _ = _operators(path, OpResolverType.AUTO)
    return sum(operator["op_name"] == "DELEGATE" for operator in found)


def run(path, stored):
    """What a file answers, as real numbers.

    Args:
        path: Of the file.
        stored: An array, a whole number of the file's batches, as its input
            tensor stores them.
    """
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    (source,), (target,) = (
        interpreter.get_input_details(),
        interpreter.get_output_details(),
    )
    rows = []
    for batch in stored.reshape(-1, *source["shape"]):
        interpreter.set_tensor(source["index"], batch)
        interpreter.invoke()
        rows.append(interpreter.get_tensor(target["index"]))
    answers = np.concatenate(rows)
    scale, zero_point = target["quantization"]
    return (answers.astype("float32") - zero_point) * (scale or 1)


def stored(pixels, dtype):
    """Whole pixels, 0-255, as an input of that type stores them."""
    return (pixels - 128 * (dtype == "int8")).astype(dtype)
