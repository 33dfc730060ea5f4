"""Runs one .tflite file once for each of several inputs.

    python answers.py model.tflite inputs outputs

`inputs` holds the bytes of n inputs, one after the other, and `outputs` gets those of
n outputs. Needs Python, NumPy and ai-edge-litert only. Prints one line of JSON, which
is empty or holds `error`.
"""

import json
import pathlib
import sys

import numpy as np


def main(model, inputs, outputs):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model, num_threads=1)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]
    target = interpreter.get_output_details()[0]["index"]
    rows = np.fromfile(inputs, source["dtype"]).reshape(-1, *source["shape"])
    with pathlib.Path(outputs).open("wb") as file:
        for row in rows:
            interpreter.set_tensor(source["index"], row)
            interpreter.invoke()
            file.write(interpreter.get_tensor(target).tobytes())
    return {}


if __name__ == "__main__":
    try:
        line = main(*sys.argv[1:])
    except Exception as error:
        # Whatever the runtime objects to is news about the file, for one line.
        line = {"error": (str(error) or type(error).__name__).split("\n")[0]}
    print(json.dumps(line))
