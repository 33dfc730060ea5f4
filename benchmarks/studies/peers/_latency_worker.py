"""Runs files in turn in one process; prints one line of JSON.

    python _latency_worker.py '{"files": {"a": "a.tflite", "b": "b.onnx"}, ...}'

Each turn runs every file once, and each file is first in its turn. What slows the
machine for a moment falls on all of them so.
"""

import functools
import gc
import json
import os
import sys
import time

import numpy as np

from keras_effnet.benchmarks.studies import comparison
from keras_effnet.benchmarks.workers.latency import random_input


def of_tflite(path):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=1)
    interpreter.allocate_tensors()
    (detail,) = interpreter.get_input_details()
    image = random_input(detail, np.random.default_rng(0))
    interpreter.set_tensor(detail["index"], image)
    return interpreter.invoke


def of_onnx(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"]
    )
    (detail,) = session.get_inputs()
    image = np.random.default_rng(0).uniform(0, 255, detail.shape).astype("float32")
    return lambda: session.run(None, {detail.name: image})


def main(options):
    invoke = {
        side: (of_onnx if path.endswith(".onnx") else of_tflite)(path)
        for side, path in options["files"].items()
    }
    load = os.getloadavg()[0]
    gc.collect()
    gc.disable()
    sides = {side: functools.partial(_timed, run) for side, run in invoke.items()}
    times = comparison.in_turn(sides, options["warm_up"] + options["runs"])
    return {
        "load_average": load,
        "nanoseconds": {
            side: values[options["warm_up"] :] for side, values in times.items()
        },
    }


def _timed(run):
    started = time.perf_counter_ns()
    run()
    return time.perf_counter_ns() - started


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
