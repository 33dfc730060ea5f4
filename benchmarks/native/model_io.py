"""What goes into a .tflite file and what comes out, found on this machine."""

import base64
import hashlib

import numpy as np

from keras_effnet.benchmarks.workers import latency
from keras_effnet.errors import InputError
from keras_effnet.errors import first_line
from keras_effnet.quiet import native_stderr_held_back
from keras_effnet.tflite import check_file


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
