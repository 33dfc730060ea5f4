"""Errors of layers against the tensors that LiteRT keeps itself."""

import json
import warnings

import keras
import numpy as np
import peer
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.interpreter import OpResolverType
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)

from keras_effnet.errors import InputError
from keras_effnet.export.layer_errors import layer_errors
from keras_effnet.tflite import TFLiteModel
from keras_effnet.tflite import layer_name

IMAGES = peer.images(32, 32, batch=6)
PRECISIONS = ("float32", "float16", "dynamic", "int8", "int16x8")


def converter(model, precision, batch=1):
    """TensorFlow's own, from a function of a fixed batch."""
    spec = tf.TensorSpec((batch, *model.input_shape[1:]), tf.float32, name="images")
    trace = tf.function(lambda x: model(x, training=False), input_signature=[spec])
    frozen = convert_variables_to_constants_v2(trace.get_concrete_function())
    made = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    if precision != "float32":
        made.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        made.target_spec.supported_types = [tf.float16]
    if precision in ("int8", "int16x8"):
        made.representative_dataset = lambda: ([image[None]] for image in IMAGES)
        kinds = {
            "int8": tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
            "int16x8": (
                tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
            ),
        }
        made.target_spec.supported_ops = [kinds[precision]]
    return made


def write(model, precision, path, batch=1):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\s*Warning: tf\.lite\.Interpreter is")
        warnings.filterwarnings("ignore", "Statistics for quantized inputs were expec")
        path.write_bytes(converter(model, precision, batch).convert())
    return path


@pytest.fixture(scope="module")
def files(tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("precisions")
    return {
        precision: write(tiny_model, precision, folder / f"tiny_{precision}.tflite")
        for precision in PRECISIONS
    }


@pytest.fixture(scope="module")
def errors(files):
    return {
        precision: layer_errors(files["float32"], files[precision], [IMAGES])
        for precision in PRECISIONS
    }


def preserved(path, image):
    """Names and real values of what the operators compute, in graph order.

    As LiteRT keeps them without XNNPACK, less what turns one type into another.
    """
    interpreter = Interpreter(
        str(path),
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    details = interpreter.get_input_details()[0]
    interpreter.set_tensor(details["index"], image[None])
    interpreter.invoke()
    details = {d["index"]: d for d in interpreter.get_tensor_details()}
    values = []
    for operator in interpreter._get_ops_details():
        if operator["op_name"] not in ("QUANTIZE", "DEQUANTIZE"):
            (index,) = map(int, operator["outputs"])
            scale, zero = details[index]["quantization"]
            tensor = interpreter.get_tensor(index).astype(np.float64)
            values.append((details[index]["name"], (tensor - zero) * (scale or 1.0)))
    return values


@pytest.mark.parametrize("precision", PRECISIONS)
def test_tensors_are_those_that_litert_keeps(files, precision):
    """Paired by their order here, so that the pairs by name are tested too."""
    kept = preserved(files["float32"], IMAGES[0])
    others = preserved(files[precision], IMAGES[0])
    rows = layer_errors(files["float32"], files[precision], [IMAGES[:1]])
    assert [row["name"] for row in rows] == [name for name, _ in kept]
    for row, (_, expected), (_, found) in zip(rows, kept, others, strict=True):
        noise = np.sqrt(((found - expected) ** 2).mean())
        assert row["rms"] == pytest.approx(np.sqrt((expected**2).mean()), rel=1e-4)
        # XNNPACK rounds otherwise by a step here and there, and quantises the
        # input of dynamic range's convolutions otherwise.
        room = (row["scale"] or 0) + 0.005 * expected.std()
        room += 0.5 * noise if precision == "dynamic" else 0
        assert row["error"] * expected.std() == pytest.approx(noise, abs=room)


@pytest.mark.parametrize("precision", PRECISIONS[1:])
def test_the_last_row_is_the_files_own_output(errors, files, precision):
    expected = TFLiteModel(files["float32"]).predict(IMAGES).astype(np.float64)
    found = TFLiteModel(files[precision]).predict(IMAGES)
    noise = np.sqrt(((found - expected) ** 2).mean())
    row = errors[precision][-1]
    assert row["operator"] == "SOFTMAX"
    assert row["rms"] == pytest.approx(np.sqrt((expected**2).mean()), rel=1e-6)
    assert row["error"] == pytest.approx(noise / expected.std(), rel=1e-5)
    assert row["sqnr"] == pytest.approx(20 * np.log10(row["rms"] / noise), rel=1e-5)


def test_steps_of_the_scale(errors):
    for row in errors["int8"]:
        deviation = row["rms"] / 10 ** (row["sqnr"] / 20)
        assert row["rmse_over_scale"] == pytest.approx(deviation / row["scale"])
    # The scale that the TFLite quantization specification gives SOFTMAX.
    assert errors["int8"][-1]["scale"] == 1 / 256


def test_float_files_have_no_scale(errors):
    for precision in ("float32", "float16", "dynamic"):
        for row in errors[precision]:
            assert row["scale"] is row["rmse_over_scale"] is None


def test_a_file_against_itself_has_no_error(errors):
    assert {row["error"] for row in errors["float32"]} == {0.0}
    assert {row["sqnr"] for row in errors["float32"]} == {None}


def test_finer_precisions_have_smaller_errors(errors):
    median = {p: np.median([row["error"] for row in errors[p]]) for p in PRECISIONS}
    assert 0 < median["float16"] < 0.01
    assert median["float16"] < median["int8"] < 0.3
    assert 0 < median["int16x8"] < median["int8"]


def test_how_the_images_are_batched_changes_nothing(files):
    pair = files["float32"], files["int8"]
    found = layer_errors(*pair, iter([IMAGES[:1], IMAGES[1:].astype("uint8")]))
    whole = layer_errors(*pair, [IMAGES[:1], np.floor(IMAGES[1:])])
    for one, other in zip(found, whole, strict=True):
        assert one["error"] == pytest.approx(other["error"], rel=1e-9)


def test_files_with_a_batch_leave_its_filling_out(tiny_model, errors, tmp_path):
    path = write(tiny_model, "float32", tmp_path / "batch.tflite", batch=4)
    for found, expected in zip(
        layer_errors(path, path, [IMAGES]), errors["float32"], strict=True
    ):
        assert found["rms"] == pytest.approx(expected["rms"], rel=1e-5)


def test_a_constant_tensor_has_no_relative_error(tmp_path):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(2, 3, activation="relu", name="dead")(inputs)
    x = keras.layers.Concatenate()([x, keras.layers.Conv2D(2, 3)(inputs)])
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    model.get_layer("dead").bias.assign([-1e6, -1e6])
    paths = [write(model, p, tmp_path / f"{p}.tflite") for p in ("float32", "float16")]
    rows = layer_errors(*paths, [peer.images(8, 8, batch=2)])
    (dead,) = [row for row in rows if "dead" in row["name"]]
    assert (dead["rms"], dead["error"], dead["sqnr"]) == (0, None, None)
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows


def test_what_can_not_be_compared(files, tmp_path):
    path = files["float32"]
    with pytest.raises(InputError, match=r"images of the shape \(32, 32, 3\)"):
        layer_errors(path, path, [peer.images(8, 8, batch=1)])
    with pytest.raises(InputError, match=r"at least one image. Received: no images"):
        layer_errors(path, path, [])
    (tmp_path / "text.tflite").write_text("no model at all")
    with pytest.raises(InputError, match=r"no \.tflite file"):
        layer_errors(path, tmp_path / "text.tflite", [IMAGES])
    inputs = keras.Input((32, 32, 3))
    outputs = keras.layers.GlobalAveragePooling2D()(inputs)
    other = write(keras.Model(inputs, outputs), "float32", tmp_path / "other.tflite")
    with pytest.raises(InputError, match="of the same model"):
        layer_errors(path, other, [IMAGES])


def test_operators_are_called_as_the_keras_layers(errors, tiny_model):
    layers = {layer.name for layer in tiny_model._flatten_layers()}
    named = {layer_name(row["name"]) for row in errors["int8"]}
    assert named <= layers | {"Identity"}  # the output, which is no layer
