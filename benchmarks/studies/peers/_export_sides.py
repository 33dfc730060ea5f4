"""Converts on one side of export_time.py or export_largest.py, in its own process.

    python _export_sides.py '{"side": "keras_effnet", "network": "EfficientNetB0", ...}'

Prints one line of JSON: what it took and what came out.
"""

import gc
import json
import pathlib
import resource
import sys
import tempfile
import time

import numpy as np

from keras_effnet.benchmarks.studies import comparison
from keras_effnet.benchmarks.workers.latency import memory_kb


def ours(network, image_size):
    """Builds; returns the function that converts."""
    import keras_effnet
    from keras_effnet.export import export

    model = keras_effnet.build_model(network, input_shape=(image_size, image_size, 3))
    return lambda *options: convert_ours(export, model, *options)


def convert_ours(export, model, folder, precisions, images):
    """All precisions by one call; what each took is not told apart."""
    calibration = None
    if images is not None:
        calibration = lambda: (image[None] for image in images)  # noqa: E731
    exported = export(model, folder, tuple(precisions), calibration)
    return {file.precision: file.path for file in exported}, {}


def stock(network, image_size):
    """Builds; returns the function that converts."""
    import keras
    import tensorflow as tf  # noqa: F401, as the other side has imported it

    model = getattr(keras.applications, network)(
        weights=None, input_shape=(image_size, image_size, 3)
    )
    return lambda *options: convert_stock(model, *options)


def convert_stock(model, folder, precisions, images):
    """One run of `TFLiteConverter.from_keras_model` after the other."""
    import tensorflow as tf

    from keras_effnet.benchmarks.studies.peers._stock import convert

    paths, seconds = {}, {}
    for precision in precisions:
        started = time.perf_counter()
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        paths[precision] = pathlib.Path(folder, f"{precision}.tflite")
        paths[precision].write_bytes(convert(converter, precision, images))
        seconds[precision] = time.perf_counter() - started
    return paths, seconds


SIDES = {"keras_effnet": ours, "TFLiteConverter": stock}


def main(options):
    images = np.load(options["images"]) if "images" in options else None
    convert = SIDES[options["side"]](options["network"], options["image_size"])
    with tempfile.TemporaryDirectory() as folder:
        gc.collect()
        memory_before = memory_kb("VmRSS")
        started = time.perf_counter_ns()
        paths, seconds = convert(folder, options["precisions"], images)
        nanoseconds = time.perf_counter_ns() - started
        peak = peak_memory_kb()
        return {
            "nanoseconds": nanoseconds,
            "seconds_of_each": seconds,
            "memory_before_kb": memory_before,
            "peak_memory_kb": peak,
            "files": {
                precision: comparison.file_facts(path)
                for precision, path in paths.items()
            },
        }


def peak_memory_kb():
    """Of this process. `ru_maxrss` alone would count its parent's memory, too,
    if that is larger: Linux keeps the maximum over exec."""
    return memory_kb("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
