"""What goes into a .tflite file and what comes out, found on this machine."""

import base64
import hashlib

import numpy as np

from keras_effnet.benchmarks.workers import latency
from keras_effnet.errors import InputError
from keras_effnet.errors import first_line
from keras_effnet.quiet import native_stderr_held_back
from keras_effnet.tflite import check_file
from keras_effnet.tflite import layer_name


def described(path):
    """`inputs` and `outputs` of a file, as results of this machine describe them;
    raises where LiteRT can't load it."""
    interpreter = _loaded(path)
    return {
        "inputs": [latency.tensor(x) for x in interpreter.get_input_details()],
        "outputs": [latency.tensor(x) for x in interpreter.get_output_details()],
    }


def random_input_bytes(path):
    """The input that every target is measured with: all inputs, one after the other, of
    the generator with the seed 0."""
    rng = np.random.default_rng(0)
    details = _loaded(path).get_input_details()
    try:
        inputs = [latency.random_input(detail, rng) for detail in details]
    except ValueError as error:
        raise _refused(path, error) from error
    return b"".join(values.tobytes() for values in inputs)


def layers(path, operators):
    """The Keras layer of each operator of a run, whose names are given in turn, `None`
    of those that have no kernel, and of all where that can't be told.

    XNNPACK names its operators otherwise than the file, leaves some out and adds
    others; those with a kernel follow each other as the file's do.
    """
    interpreter = _loaded(path)
    tensors = {row["index"]: row["name"] for row in interpreter.get_tensor_details()}
    rows = interpreter._get_ops_details()
    own = [(_kernel(row["op_name"]), row["outputs"][0]) for row in rows]
    own = [(kind, layer_name(tensors[index])) for kind, index in own if kind]
    kinds = [_kernel(name) for name in operators]
    if [kind for kind, _ in own] != [kind for kind in kinds if kind]:
        return [None] * len(operators)
    names = iter(own)
    return [kind and next(names)[1] for kind in kinds]


def _kernel(operator):
    """Which kind of kernel an operator has, by its name in the file or XNNPACK's."""
    if operator.startswith("DEPTHWISE_CONV_2D") or "DWConv" in operator:
        return "depthwise"
    # XNNPACK makes a convolution of one pixel's width fully connected.
    starts = ("CONV_2D", "FULLY_CONNECTED", "Convolution (", "Fully Connected (")
    return "full" if operator.startswith(starts) else None


def _loaded(path):
    from ai_edge_litert import interpreter as litert

    path = str(check_file(path))
    builtin = litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    try:
        with native_stderr_held_back():
            interpreter = litert.Interpreter(
                path, experimental_op_resolver_type=builtin
            )
            latency.check_input_shapes(interpreter)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise _refused(path, error) from error
    return interpreter


def _refused(path, error):
    return InputError(
        f"The model can't be run: {first_line(error)}. Received: {str(path)!r}"
    )


def as_rows(data, path):
    """Outputs, one after the other, as an array `(n, classes)`."""
    tensor = described(path)["outputs"][0]
    rows = np.frombuffer(data, tensor["dtype"])
    return rows.reshape(-1, *tensor["shape"][1:]).copy()


def digested(output):
    """What a result tells of all outputs' bytes."""
    return {
        "output_sha256": hashlib.sha256(output).hexdigest(),
        "output_base64": base64.b64encode(output).decode(),
    }
