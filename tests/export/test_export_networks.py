"""Each network's files against the network in Keras."""

import keras
import numpy as np
import peer
import pytest
import tflite_file

import keras_effnet
from keras_effnet import specs
from keras_effnet.export import PRECISIONS
from keras_effnet.export import export

SIZE = 64
LEAN = {
    "ADD",
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "LOGISTIC",
    "MEAN",
    "MUL",
    "SUB",
}
CHEAP = ("EfficientNetB0", "EfficientNetLite0")
ALL_PRECISIONS = (*CHEAP, "EfficientNetV2B0", "EfficientNetEdgeTPUS", "EfficientNetV2S")
FLOAT_ONLY = [name for name in specs.SPECS if name not in CHEAP]
QUICK = ("EfficientNetV2B0",)
# The least correlation of the logits' differences between images with Keras'. With
# these random weights the five networks were seen at .980 and more (dynamic), .988
# (weight-only, int16x8) and .940 (int8), and answer with the same class for .69 of
# the images and more. Swapped channels, pixels that are 64 too low or one scale of
# twice the size left .20 to .75 of an int8 Lite0's .981.
CORRELATION = {"dynamic": 0.95, "weight-only": 0.95, "int16x8": 0.95, "int8": 0.9}


def _pixels():
    """Whole pixels; images that differ in colour and contrast."""
    random = np.random.default_rng(0)
    colour = random.uniform(0, 255, (16, 1, 1, 3))
    noise = random.normal(0, 1, (16, SIZE, SIZE, 3))
    contrast = random.uniform(10, 80, (16, 1, 1, 1))
    return (colour + contrast * noise).clip(0, 255).round().astype("float32")


PIXELS = _pixels()


def _build(name):
    keras.utils.set_random_seed(0)
    spec = specs.SPECS[name]
    if name == "EfficientNetL2":  # 480 million parameters are too many for a test
        spec = keras_effnet.scaled_spec(name, width=1, depth=1, name="l2")
    model = keras_effnet.build_model(
        spec, input_shape=(SIZE, SIZE, 3), classifier_activation=None
    )
    peer.randomize(model, PIXELS)
    return model, np.asarray(model(PIXELS))


@pytest.fixture(scope="module")
def exported(request, tmp_path_factory):
    """`(Keras' logits, files by precision)` of a network, from one trace."""
    model, expected = _build(request.param)
    found = export(
        model, tmp_path_factory.mktemp("all"), tuple(PRECISIONS), lambda: (PIXELS,)
    )
    return expected, {file.precision: file for file in found}


def _parameters(names, quick):
    slow = pytest.mark.slow
    return [
        pytest.param(name, marks=() if name in quick else slow, id=name)
        for name in names
    ]


every_precision = pytest.mark.parametrize(
    "exported", _parameters(ALL_PRECISIONS, CHEAP[:1]), indirect=True, scope="module"
)


def _answers(file):
    dtype = file.numbers["input"]["dtype"]
    return tflite_file.run(file.path, tflite_file.stored(PIXELS, dtype))


def _assert_float(file, expected):
    assert expected.std(axis=0).mean() > 0.1  # images are told apart
    assert peer.relative_error(_answers(file), expected) <= 1e-5
    assert set(tflite_file.operators(file.path)) <= LEAN
    assert len(tflite_file.in_front(file.path)) <= 1
    assert tflite_file.partitions(file.path) == 1
    assert file.numbers["waste"] == []


@pytest.mark.parametrize("name", _parameters(FLOAT_ONLY, QUICK))
def test_a_float_file_has_keras_logits(name, tmp_path):
    model, expected = _build(name)
    (file,) = export(model, tmp_path)
    _assert_float(file, expected)


@every_precision
def test_float32(exported):
    expected, files = exported
    _assert_float(files["float32"], expected)


@every_precision
def test_float16(exported):
    expected, files = exported
    path = files["float16"].path
    error = peer.relative_error(_answers(files["float16"]), expected)
    assert 1e-5 < error <= 1e-2
    assert set(tflite_file.operators(path)) <= LEAN | {"DEQUANTIZE"}
    assert tflite_file.in_front(path) == tflite_file.in_front(files["float32"].path)
    assert tflite_file.partitions(path) == 1
    assert path.stat().st_size < 0.55 * files["float32"].path.stat().st_size


@every_precision
def test_eight_bits_agree(exported):
    expected, files = exported
    differences = expected - expected.mean(axis=0)
    for precision, least in CORRELATION.items():
        found = _answers(files[precision])
        moved = found - found.mean(axis=0)
        correlation = np.corrcoef(moved.ravel(), differences.ravel())[0, 1]
        agreement = np.mean(found.argmax(-1) == expected.argmax(-1))
        assert correlation > least, precision
        assert agreement >= 0.5, precision
        path = files[precision].path
        assert path.stat().st_size < 0.45 * files["float32"].path.stat().st_size


@every_precision
def test_int8_is_whole(exported):
    _, files = exported
    path = files["int8"].path
    assert files["int8"].numbers["float_operators"] == {}
    assert set(tflite_file.operators(path)) <= LEAN
    assert len(tflite_file.in_front(path)) <= 1
    assert tflite_file.partitions(path) == 1
    assert tflite_file.partitions(files["weight-only"].path) == 1
