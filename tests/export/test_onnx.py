"""ONNX files, run by onnxruntime, against the Keras model they come from."""

import sys

import keras
import numpy as np
import peer
import pytest

from keras_effnet import saving
from keras_effnet.errors import InputError
from keras_effnet.export import onnx
from keras_effnet.export.onnx import write_onnx
from keras_effnet.preprocessing import Preprocessing

onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is absent")
pytest.importorskip("tf2onnx", reason="the extra onnx is absent")
IMAGES = peer.images(32, 32, batch=3)


def run(path, images):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {"images": images})[0]


def small(activation="softmax"):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, activation="swish")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(5, activation=activation)(x))


@pytest.fixture(scope="module")
def path(tiny_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "tiny.onnx"
    write_onnx(tiny_model, path)
    return path


def test_onnxruntime_computes_what_keras_computes(tiny_model, path):
    expected = np.asarray(tiny_model(IMAGES))
    found = np.concatenate([run(path, image[None]) for image in IMAGES])
    assert peer.relative_error(found, expected) < 1e-5
    assert [file.name for file in path.parent.iterdir()] == ["tiny.onnx"]


def test_names_shapes_and_types_are_plain(path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    ends = [(x.name, x.shape, x.type) for x in session.get_inputs()]
    assert ends == [("images", [1, 32, 32, 3], "tensor(float)")]
    ends = [(x.name, x.shape, x.type) for x in session.get_outputs()]
    assert ends == [("probabilities", [1, 5], "tensor(float)")]


def test_the_batch_may_be_open_or_another(tmp_path):
    model, images = small(), peer.images(8, 8, batch=6)
    expected = np.asarray(model(images))
    for batch_size, batches in ((None, (1, 5)), (3, (3, 3))):
        write_onnx(model, tmp_path / "small.onnx", batch_size)
        parts = np.split(images, [batches[0]])
        found = np.concatenate([run(tmp_path / "small.onnx", x) for x in parts])
        assert peer.relative_error(found, expected) < 1e-5


def test_a_model_in_mixed_precision_is_written_in_float32(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    mixed = small()
    keras.config.set_dtype_policy("float32")
    plain = small()
    plain.set_weights(mixed.get_weights())
    write_onnx(mixed, tmp_path / "mixed.onnx")
    images = peer.images(8, 8, batch=1)
    found = run(tmp_path / "mixed.onnx", images)
    assert peer.relative_error(found, np.asarray(plain(images))) < 1e-5


def test_a_model_without_preprocessing_is_checked_on_normalised_images(
    tmp_path, monkeypatch
):
    seen = []
    compare = onnx._compare

    def spy(session, *args):
        class Spy:
            def run(self, names, feeds):
                seen.append(feeds["images"])
                return session.run(names, feeds)

        compare(Spy(), *args)

    monkeypatch.setattr(onnx, "_compare", spy)
    for included in (False, True):
        model = small()
        rule = Preprocessing((127.0,), (128.0,), included=included)
        saving.attach(model, rule)
        write_onnx(model, tmp_path / "small.onnx")
    assert np.abs(seen[0]).max() <= 1
    assert seen[-1].max() > 200


@pytest.mark.parametrize("adapted", [False, True])
def test_the_statistics_of_a_normalisation_are_no_inputs(adapted, tmp_path):
    """As with every network of one mean per channel."""
    mean, std = np.array([120.0, 110.0, 100.0]), np.array([60.0, 58.0, 57.0])
    inputs = keras.Input((8, 8, 3))
    if adapted:
        layer = keras.layers.Normalization()
        layer.build((None, 8, 8, 3))
        layer.set_weights([mean, std**2, np.array(0)])
        layer.finalize_state()
    else:
        layer = keras.layers.Normalization(mean=mean, variance=std**2)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(layer(inputs)))
    write_onnx(model, tmp_path / "small.onnx")
    images = peer.images(8, 8, batch=1)
    expected = ((images - mean) / std).mean((1, 2))
    assert peer.relative_error(run(tmp_path / "small.onnx", images), expected) < 1e-5
    assert peer.relative_error(model(images), expected) < 1e-5


def test_other_tensors_that_became_inputs_are_named(tmp_path):
    table = keras.ops.ones((16, 16, 3))
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Lambda(lambda x: x * table)(inputs)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    with pytest.raises(InputError, match=r"makes inputs of them\. Received: .*images"):
        write_onnx(model, tmp_path / "odd.onnx")
    assert list(tmp_path.iterdir()) == []


def test_operations_that_onnx_lacks_are_named(tmp_path, capfd):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Lambda(lambda x: keras.ops.erfinv(x / 256))(inputs)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    with pytest.raises(InputError, match=r"does not have\. Received: Erfinv$"):
        write_onnx(model, tmp_path / "odd.onnx")
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("wrong", [lambda y: y * 1.001, lambda y: y * np.nan])
def test_a_file_that_computes_something_else_is_refused(wrong, tmp_path, monkeypatch):
    compare = onnx._compare

    def altered(session, *args):
        class Altered:
            def run(self, names, feeds):
                return [wrong(y) for y in session.run(names, feeds)]

        compare(Altered(), *args)

    monkeypatch.setattr(onnx, "_compare", altered)
    with pytest.raises(InputError, match=r"something else.*differ by .*Received: "):
        write_onnx(small(), tmp_path / "small.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["tf2onnx", "onnx", "onnxruntime"])
def test_a_missing_extra_is_one_line(module, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        InputError, match=rf"pip install 'keras-effnet\[onnx\]'.*'{module}'"
    ) as caught:
        write_onnx(small(), tmp_path / "small.onnx")
    assert "\n" not in str(caught.value)


def test_models_that_take_no_image_are_refused(tmp_path):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    with pytest.raises(InputError, match=r"\(batch, height, width, channels\)"):
        write_onnx(model, tmp_path / "flat.onnx")
    assert list(tmp_path.iterdir()) == []
