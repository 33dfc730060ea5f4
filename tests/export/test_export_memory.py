"""What exporting a large network may hold in memory."""

import subprocess
import sys
import tracemalloc

import numpy as np
import peer
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)

from keras_effnet.export import converting
from keras_effnet.export import flatbuffer
from keras_effnet.export import tracing
from keras_effnet.tflite import TFLiteModel

# Exports V2-S at a small size and prints the growth of its peak, in bytes.
MEASURE = """
import resource, sys
import keras_effnet
from keras_effnet.export import export
model = keras_effnet.EfficientNetV2S(input_shape=(64, 64, 3))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
export(model, sys.argv[1])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def weights(data):
    """The buffers of a file that hold more than a few values, in an order of their
    own."""
    buffers = [buffer.data for buffer in flatbuffer.unpack(data).buffers]
    return sorted(b.tobytes() for b in buffers if b is not None and len(b) > 256)


def stock(model):
    """The file by TensorFlow's own freezing and converter."""
    spec = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32)
    trace = tf.function(lambda x: model(x, training=False), input_signature=[spec])
    frozen = convert_variables_to_constants_v2(trace.get_concrete_function())
    return tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert()


@pytest.mark.parametrize("limit", [1, 1 << 10, 1 << 30])
def test_a_file_is_the_same_from_variables_and_constants(
    limit, tiny_model, tmp_path, monkeypatch
):
    monkeypatch.setattr(tracing, "_LARGE", limit)
    trace = converting.trace(tiny_model, tmp_path / "saved_model")
    found, expected = weights(trace.float32), weights(stock(tiny_model))
    # Not the first kernel, which has the scale of the pixels in it.
    assert len(found) == len(expected)
    assert len(set(found) - set(expected)) == 1
    (tmp_path / "a.tflite").write_bytes(converting.file_of(trace, "float32"))
    images = peer.images(32, 32, batch=2)
    found = TFLiteModel(tmp_path / "a.tflite").predict(images)
    assert np.abs(found - np.asarray(tiny_model(images))).max() < 1e-5


def test_large_weights_are_in_no_graph(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr(tracing, "_LARGE", 1 << 10)
    tracing.freeze(tiny_model, tmp_path)
    loaded = tf.saved_model.load(str(tmp_path))
    sizes = [np.prod(v.shape) for v in loaded.signatures["serving_default"].variables]
    expected = [np.prod(v.shape) for v in tiny_model.weights]
    assert sorted(sizes) == sorted(size for size in expected if size >= 1 << 10)
    graph = (tmp_path / "saved_model.pb").stat().st_size
    monkeypatch.setattr(tracing, "_LARGE", 1 << 30)
    tracing.freeze(tiny_model, tmp_path / "constants")
    constants = (tmp_path / "constants" / "saved_model.pb").stat().st_size
    assert constants - graph > 0.9 * 4 * sum(sizes)


def test_packing_holds_the_weights_twice():
    model = schema.ModelT()
    model.version = 3
    model.buffers = [schema.BufferT() for _ in range(8)]
    for buffer in model.buffers:
        buffer.data = np.ones(1 << 23, np.uint8)
    tracemalloc.start()
    try:
        data = flatbuffer.pack(model)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The builder, more than it needs of pages that nothing is written to, and the
    # file. One that grew would hold its content three times.
    assert peak < 2.3 * len(data)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units")
def test_exporting_takes_a_few_times_the_weights(tmp_path):
    command = [sys.executable, "-c", MEASURE, str(tmp_path)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    size = (tmp_path / "efficientnetv2-s_float32.tflite").stat().st_size
    # 8 times; with the weights as constants of the graph it was 33 times.
    assert int(output.split()[-1]) < 14 * size
