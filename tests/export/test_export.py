"""Exported files against the Keras model they come from."""

import dataclasses
import hashlib
import json
import types

import keras
import numpy as np
import peer
import pytest
from ai_edge_litert.interpreter import Interpreter

import keras_effnet
from keras_effnet.errors import InputError
from keras_effnet.export import export
from keras_effnet.export import table
from keras_effnet.tflite import TFLiteModel

IMAGES = peer.images(32, 32, batch=8)
# What a dynamic batch or an unfolded normalisation would leave in a file.
SHAPE_ARITHMETIC = {"SHAPE", "STRIDED_SLICE", "PACK", "RESHAPE", "GATHER"}


def numbers(path):
    return json.loads(path.with_suffix(".json").read_text())


def test_the_float_file_computes_what_keras_computes(tiny_model, tiny_files):
    expected = np.asarray(tiny_model(IMAGES))
    found = TFLiteModel(tiny_files["float32"]).predict(IMAGES)
    assert np.abs(found - expected).max() < 1e-5
    assert np.ptp(expected, axis=0).max() > 0.05  # the images are told apart


def test_the_int8_file_computes_nearly_that(tiny_model, tiny_files):
    expected = np.asarray(tiny_model(IMAGES))
    found = TFLiteModel(tiny_files["int8"]).predict(IMAGES)
    assert np.abs(found - expected).mean() < 0.1 * expected.std()


def test_the_signature_is_serving_default(tiny_model, tiny_files):
    interpreter = Interpreter(str(tiny_files["float32"]))
    assert interpreter.get_signature_list() == {
        "serving_default": {"inputs": ["images"], "outputs": ["probabilities"]}
    }
    run = interpreter.get_signature_runner("serving_default")
    found = run(images=IMAGES[:1])["probabilities"]
    assert np.abs(found - np.asarray(tiny_model(IMAGES[:1]))).max() < 1e-5


def test_int8_is_whole(tiny_files):
    sheet = numbers(tiny_files["int8"])
    assert sheet["float_operators"] == {}
    assert sheet["input"]["dtype"] == sheet["output"]["dtype"] == "int8"
    # Lite takes (pixel - 127) / 128: the mean is in the zero point.
    assert sheet["input"]["scale"] == pytest.approx(1, abs=1e-6)
    assert sheet["input"]["zero_point"] == 127 - 128
    assert "SUB" not in sheet["operators"]


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_no_shape_arithmetic(tiny_files, precision):
    operators = numbers(tiny_files[precision])["operators"]
    assert not SHAPE_ARITHMETIC & set(operators)
    assert operators["DEPTHWISE_CONV_2D"] == 7


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_the_sheet_tells_of_this_file(tiny_files, precision):
    path = tiny_files[precision]
    sheet = numbers(path)
    assert sheet["bytes"] == path.stat().st_size
    assert sheet["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert sheet["precision"] == precision
    assert sheet["input"]["shape"] == [1, 32, 32, 3]
    assert sheet["output"]["shape"] == [1, 5]
    assert sheet["versions"]["keras"] == keras.__version__


def test_int8_is_about_a_quarter(tiny_files):
    sizes = {key: path.stat().st_size for key, path in tiny_files.items()}
    assert sizes["int8"] < 0.5 * sizes["float32"]


def test_files_that_runtimes_of_apps_refuse_are_named(tiny_model, tmp_path):
    def lines(precision, input_type=None):
        calibration = None if precision == "float32" else lambda: (IMAGES,)
        found = export(
            tiny_model, tmp_path, (precision,), calibration, input_type=input_type
        )
        return table(found).splitlines()

    (told,) = [line for line in lines("int8") if "refuse" in line]
    assert told.startswith("tiny_int8.tflite: int8 input")
    assert "uint8" in told
    assert not [x for x in lines("int8", "uint8") + lines("float32") if "refuse" in x]


@pytest.mark.parametrize(("high", "told"), [(29.9, True), (0.4, False)])
def test_a_limit_in_doubt_is_told(tiny_model, tmp_path, high, told):
    (file,) = export(tiny_model, tmp_path)
    found = types.SimpleNamespace(drop=0.0, drop_interval=(-29.9, high))
    sheet = dataclasses.replace(
        file.sheet, verdict="within limit", max_drop=0.5, evaluation=found
    )
    text = table([dataclasses.replace(file, sheet=sheet)])
    assert ("-29.9 to 29.9 points, reaches over it" in text) == told


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_model_in_mixed_precision_is_exported_in_float32(policy, tmp_path):
    """Its weights are float32; so the file computes what a float32 model would."""
    keras.config.set_dtype_policy(policy)
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, x, name="mixed")
    (file,) = export(model, tmp_path)
    assert file.path == tmp_path / "mixed_float32.tflite"
    kernel, bias = map(np.asarray, model.get_weights())
    images = peer.images(8, 8, batch=2)
    windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), (1, 2))
    maps = np.einsum("nhwcij,ijcf->nhwf", windows, kernel) + bias
    expected = np.maximum(maps, 0).mean((1, 2))
    found = TFLiteModel(file.path).predict(images)
    assert peer.relative_error(found, expected) < 1e-5


def test_operations_that_tflite_lacks_are_named(tmp_path):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Lambda(lambda x: keras.ops.erfinv(x / 256))(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    with pytest.raises(
        InputError, match=r"does not have. Received: .*Erfinv"
    ) as caught:
        export(keras.Model(inputs, x, name="odd"), tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def _two_inputs():
    a, b = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    return keras.Model([a, b], keras.layers.Add()([a, b]))


def _open_size():
    return keras_effnet.EfficientNetLite0(include_top=False, pooling="avg")


def _no_image():
    inputs = keras.Input((4,))
    return keras.Model(inputs, keras.layers.Dense(2)(inputs))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_two_inputs, r"one input of the shape.*Received: inputs=\[\(.*\), \(.*\)\]"),
        (_open_size, r"fixed sizes.*Received: .*\(None, None, None, 3\)"),
        (_no_image, r"\(batch, height, width, channels\).*Received: .*\(None, 4\)"),
    ],
)
def test_models_that_are_no_classifier_are_refused(make, message, tmp_path):
    with pytest.raises(InputError, match=message):
        export(make(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unknown_precision_is_refused(tiny_model, tmp_path):
    with pytest.raises(InputError, match=r"float32, .*int8.*precision='int4'"):
        export(tiny_model, tmp_path, ("float32", "int4"))
    assert list(tmp_path.iterdir()) == []


def test_int8_needs_calibration(tiny_model, tmp_path):
    with pytest.raises(InputError, match="calibration"):
        export(tiny_model, tmp_path, ("float32", "int8"))
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_folder(tiny_model, tmp_path):
    (tmp_path / "out").write_text("kept")
    with pytest.raises(InputError, match=r"can't be written.*out"):
        export(tiny_model, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "kept"


def test_calibration_that_fails_leaves_nothing(tiny_model, tmp_path):
    def broken():
        yield IMAGES[:1]
        raise InputError("This photograph is damaged. Received: 'a.jpg'")

    with pytest.raises(InputError, match="damaged"):
        export(tiny_model, tmp_path, ("int8",), broken)
    assert list(tmp_path.iterdir()) == []
