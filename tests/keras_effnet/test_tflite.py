"""A .tflite file as a classifier."""

import numpy as np
import pytest

from keras_effnet.errors import InputError
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
