"""A .tflite file as a classifier."""

import numpy as np
import pytest

from keras_effnet import sheet
from keras_effnet import tflite
from keras_effnet.errors import InputError
from keras_effnet.export import flatbuffer
from keras_effnet.tflite import TFLiteModel
from keras_effnet.tflite import dequantize
from keras_effnet.tflite import quantize

INT8 = {"dtype": np.int8, "quantization": (0.5, -3)}
FLOAT = {"dtype": np.float32, "quantization": (0.0, 0)}


def test_quantisation_by_hand():
    """Real value = scale x (stored - zero point), rounded and clipped."""
    stored = quantize(np.array([0.0, 0.5, -1.0, 1e6, -1e6]), INT8)
    assert stored.dtype == np.int8
    assert stored.tolist() == [-3, -2, -5, 127, -128]
    real = dequantize(stored, INT8)
    assert real.dtype == np.float32
    assert real.tolist() == [0.0, 0.5, -1.0, 65.0, -62.5]


def test_floats_pass():
    values = np.array([1, 2], np.uint8)
    assert quantize(values, FLOAT).dtype == np.float32
    assert dequantize(values.astype(np.float32), FLOAT).tolist() == [1, 2]


def test_a_batch_is_its_images(tiny_files):
    images = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3))
    model = TFLiteModel(tiny_files["float32"])
    together = model.predict(images)
    single = np.concatenate([model.predict(image[None]) for image in images])
    assert together.shape == (3, 5)
    assert (together == single).all()


def test_what_it_knows(tiny_files):
    model = TFLiteModel(tiny_files["int8"])
    assert (model.name, model.input_shape) == ("tiny", (32, 32, 3))


def test_a_file_that_is_cut_off(tiny_files, tmp_path):
    data = tiny_files["float32"].read_bytes()
    path = tmp_path / "cut.tflite"
    path.write_bytes(data[: len(data) // 20])
    with pytest.raises(InputError, match=r"LiteRT can't run.*Received: .*cut\.tflite"):
        TFLiteModel(path)


def _damaged(data):
    """Files that end the process that runs them, or make it take gigabytes."""
    for number in range(3):
        model = flatbuffer.unpack(data)
        graph = model.subgraphs[0]
        for operator in graph.operators:
            if number == 0:
                operator.inputs = np.full(len(operator.inputs), 10**6, np.int32)
            elif number == 1:
                operator.outputs = operator.inputs[:1]
        for tensor in graph.tensors:
            if number == 2 and len(tensor.shape) == 4:
                tensor.shape = np.array([2**29, *tensor.shape[1:]], np.int32)
        yield flatbuffer.pack(model)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_damaged_file_does_not_end_the_process(precision, tiny_files, tmp_path):
    whole = tiny_files[precision].read_bytes()
    for number, data in enumerate(_damaged(whole)):
        path = tmp_path / f"{number}.tflite"
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"LiteRT can't run the file") as caught:
            TFLiteModel(path)
        assert "\n" not in str(caught.value)


def test_strangers_are_run_apart_once(tiny_files, tmp_path, monkeypatch):
    asked = []
    ask = tflite.children.ask
    monkeypatch.setattr(
        tflite.children, "ask", lambda *a, **o: asked.append(a) or ask(*a, **o)
    )
    TFLiteModel(tiny_files["float32"])  # as its sheet says
    assert asked == []
    path = tmp_path / "alone.tflite"
    path.write_bytes(tiny_files["float32"].read_bytes() + b"\0")
    TFLiteModel(path)
    TFLiteModel(path)
    assert len(asked) == 1
    path.write_bytes(path.read_bytes() + b"\0")
    TFLiteModel(path, sheet=sheet.Sheet())  # who hands one in made the file
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such .tflite file"),
        (b"", "no .tflite file"),
        (b"PK\x03\x04 a zip file", "no .tflite file"),
    ],
)
def test_files_that_are_none(content, message, tmp_path):
    path = tmp_path / "model.tflite"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=rf"{message}.*Received: .*model\.tflite"):
        TFLiteModel(path)


def _foreign(tmp_path, function, shape=(1, 8, 8, 3), dtype="float32"):
    """A file of TensorFlow's own converter, without a sheet or metadata."""
    import tensorflow as tf

    spec = tf.TensorSpec(shape, dtype)
    concrete = tf.function(function).get_concrete_function(spec)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    path = tmp_path / "foreign.tflite"
    path.write_bytes(converter.convert())
    return path


def test_files_of_others_that_are_no_classifiers(tmp_path):
    import tensorflow as tf

    def whole(x):
        return tf.cast(tf.reduce_max(x, [1, 2]), tf.int32)

    def single(x):
        return tf.reduce_mean(x, [0, 1, 2])

    def mean(x):
        return tf.reduce_mean(x, [1, 2])

    for function, shape, message in (
        (mean, (1, None, None, 3), r"fixed numbers.*-1, -1, 3\]"),
        (single, (1, 8, 8, 3), r"no image classifier.*outputs=\[\(3,\)\]"),
        (whole, (1, 8, 8, 3), "must have a scale.*Received: int32"),
    ):
        with pytest.raises(InputError, match=rf"{message}.*foreign\.tflite"):
            TFLiteModel(_foreign(tmp_path, function, shape))


def test_whole_numbers_without_a_scale_are_pixels(tmp_path):
    import tensorflow as tf

    def share(x):
        sums = tf.cast(tf.reduce_sum(x, [1, 2]), tf.float32)
        return sums / tf.reduce_sum(sums)

    model = TFLiteModel(_foreign(tmp_path, share, dtype="int32"))
    found = model.predict(np.full((1, 8, 8, 3), [10.2, 20, 69.9]))
    assert np.allclose(found, [[0.1, 0.2, 0.7]])


@pytest.mark.parametrize(
    ("tensor", "layer"),
    [
        ("b1_bn_1/batchnorm/mul_1;b1_dwconv_1/depthwise", "b1_dwconv"),
        (
            "m/b1_project_conv_1/convolution;m/b1_bn_1/batchnorm/add_1",
            "b1_project_conv",
        ),
        ("tiny_1/stem_bn_1/batchnorm/add_1", "stem_bn"),
        ("conv2d_1_1/Relu6", "conv2d_1"),
        ("sub", "sub"),
    ],
)
def test_a_tensor_is_called_as_its_layer(tensor, layer):
    assert tflite.layer_name(tensor) == layer
