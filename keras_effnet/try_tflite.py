"""Runs a .tflite file once, for a process that a damaged one must not end.

    python try_tflite.py model.tflite gigabytes

LiteRT trusts what a file says of itself: one that was changed can make it read or write
anywhere, or ask for any memory. Needs Python, NumPy and ai-edge-litert only; prints one
line of JSON, which is empty or holds `error`.
"""

import contextlib
import json
import resource
import sys


def main(model, gigabytes):
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    most = int(gigabytes) << 30
    with contextlib.suppress(ValueError, OSError):  # a system has a lower one, or none
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    interpreter = Interpreter(model)
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        zeros = np.zeros(detail["shape"], detail["dtype"])
        interpreter.set_tensor(detail["index"], zeros)
    interpreter.invoke()
    for detail in interpreter.get_output_details():
        interpreter.get_tensor(detail["index"])
    return {}


if __name__ == "__main__":
    try:
        line = main(*sys.argv[1:])
    except Exception as error:
        # Whatever the runtime objects to is news about the file, for one line.
        line = {"error": (str(error).strip() or type(error).__name__).split("\n")[0]}
    sys.stdout.write(json.dumps(line) + "\n")
