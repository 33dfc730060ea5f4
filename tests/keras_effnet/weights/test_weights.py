"""Weights files: all of one goes into the model that it belongs to, or nothing."""

import dataclasses
import re

import conftest
import h5py
import keras
import numpy as np
import peer
import pytest

import keras_effnet
from keras_effnet.errors import InputError
from keras_effnet.weights import load_weights

SHAPE = (32, 33, 3)


def _cut(spec):
    """Its first three stages; Lite networks differ in depth between their ends."""
    return dataclasses.replace(spec, stages=spec.stages[:3])


def _lite(number=0, **options):
    options = {"input_shape": SHAPE, "classifier_activation": None, **options}
    spec = keras_effnet.SPECS[f"EfficientNetLite{number}"]
    return keras_effnet.build_model(_cut(spec), **options)


def _values(model):
    return {weight.path: np.asarray(weight) for weight in model.weights}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A Lite0 with weights of its own, and its `.weights.h5`."""
    model = _lite()
    peer.randomize(model, peer.images(*SHAPE))
    path = tmp_path_factory.mktemp("weights") / "trained.weights.h5"
    model.save_weights(path)
    return model, path


def _refused(model, path, match):
    """The one line of the error; nothing in the model may have changed."""
    before = _values(model)
    with pytest.raises(InputError, match=match) as caught:
        load_weights(model, path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(f"{path.name}'")
    for name, value in _values(model).items():
        np.testing.assert_array_equal(value, before[name])
    return message


@pytest.fixture(scope="module")
def lite():
    """A Lite0 for files that it must refuse: `_refused` sees to it that it does."""
    return _lite()


# Files that fit.


def test_a_round_trip_gives_the_same_bits(trained):
    model, path = trained
    pixels = peer.images(*SHAPE)
    np.testing.assert_array_equal(_lite(weights=str(path))(pixels), model(pixels))


@pytest.mark.parametrize(
    "options",
    [{"include_top": False}, {"features_only": True}, {"include_preprocessing": False}],
)
def test_a_file_fits_every_part_of_its_network(trained, options):
    model, path = trained
    part = _lite(weights=path, **options)
    for layer in part.layers:
        for mine, whole in zip(
            layer.weights, model.get_layer(layer.name).weights, strict=True
        ):
            np.testing.assert_array_equal(mine, whole)


def test_keras_own_loader_agrees(trained):
    _, path = trained
    other = _lite()
    other.load_weights(path)
    for mine, whole in zip(_lite(weights=path).weights, other.weights, strict=True):
        np.testing.assert_array_equal(mine, whole)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize(
    ("name", "with_top", "without_top"),
    [
        ("EfficientNetB0", "whole_model.h5", "weights.h5"),
        pytest.param(
            "EfficientNetV2B0",
            *("weights.h5", "whole_model.h5"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_keras_applications_legacy_files(name, with_top, without_top, tmp_path):
    """Both layouts that Keras 2 wrote."""
    whole = peer.build(name, SHAPE)
    cut = keras.Model(whole.input, whole.get_layer("top_activation").output)
    for theirs, layout in ((whole, with_top), (cut, without_top)):
        theirs.save(tmp_path / "whole_model.h5")
        _copy_weights(tmp_path / "whole_model.h5", tmp_path / "weights.h5")
        ours = getattr(keras_effnet, name)(
            input_shape=SHAPE,
            include_top=theirs is whole,
            weights=tmp_path / layout,
            classifier_activation=None,
        )
        pixels = peer.images(*SHAPE)
        assert peer.relative_error(ours(pixels), theirs(pixels)) <= 1e-5


def _copy_weights(whole_model, weights):
    """What `save_weights` of Keras 2 wrote is a part of what `save` wrote."""
    with h5py.File(whole_model) as source, h5py.File(weights, "w") as target:
        for key, value in source["model_weights"].attrs.items():
            target.attrs[key] = value
        for key in source["model_weights"]:
            source.copy(f"model_weights/{key}", target)


def test_a_file_without_the_top_cannot_give_one(lite, trained, tmp_path):
    _, path = trained
    _lite(include_top=False, weights=path).save_weights(tmp_path / "notop.weights.h5")
    message = _refused(lite, tmp_path / "notop.weights.h5", "are not those of")
    assert "predictions/kernel (1280, 1000) is not in the file" in message


def test_published_v2_b0():
    """`keras.applications` reads the same file by its own way."""
    path = conftest.shared_file("data/weights/efficientnetv2-b0_imagenet.weights.h5")
    options = {"input_shape": (64, 65, 3), "classifier_activation": None}
    theirs = keras.applications.EfficientNetV2B0(weights=None, **options)
    theirs.load_weights(path)
    cut = keras.Model(theirs.input, theirs.get_layer("top_activation").output)
    pixels = peer.images(64, 65)
    for expected, include_top in ((theirs, True), (cut, False)):
        ours = keras_effnet.EfficientNetV2B0(
            weights=path, include_top=include_top, **options
        )
        assert peer.relative_error(ours(pixels), expected(pixels)) <= 1e-4


# Files of another network.


def test_weights_of_another_network_name_the_first_layers(trained):
    _, path = trained
    model = _lite(2)
    message = _refused(model, path, "are not those of efficientnet-lite2")
    assert "block2c_expand_conv/kernel (1, 1, 24, 144) is not in the file; " in message
    assert re.search(r"; and \d+ more\. Received", message)


def test_both_shapes_are_named(trained):
    """Of a network that differs in nothing but its width."""
    _, path = trained
    wide = keras_effnet.scaled_spec("EfficientNetLite0", width=2.0, name="wide")
    model = keras_effnet.build_model(_cut(wide), input_shape=SHAPE)
    message = _refused(model, path, "are not those of wide")
    assert (
        "block1a_project_conv/kernel is (1, 1, 32, 32) in the model and "
        "(1, 1, 32, 16) in the file; "
    ) in message


def test_somebodys_own_classes_are_not_thrown_away(lite, tmp_path):
    _lite(classes=7).save_weights(tmp_path / "mine.weights.h5")
    message = _refused(lite, tmp_path / "mine.weights.h5", "has 7 classes")
    assert "the model 1000: build it with classes=7" in message


def test_weights_of_a_deeper_network_have_no_place(tmp_path):
    _lite(1).save_weights(tmp_path / "deep.weights.h5")
    _refused(
        _lite(), tmp_path / "deep.weights.h5", "are not those of efficientnet-lite0"
    )
    _refused(
        _lite(features_only=True),
        tmp_path / "deep.weights.h5",
        "are not those of efficientnet-lite0",
    )


# Files that are none.


def test_a_missing_file_offers_its_neighbours(lite, tmp_path):
    (tmp_path / "lite0.weights.h5").touch()
    message = _refused(lite, tmp_path / "lite1.weights.h5", "no such weights file")
    assert "Did you mean 'lite0.weights.h5'?" in message


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        ("imagnet", "has no such weights. Did you mean 'imagenet'"),
        ("noisy-student", "has no such weights"),
        ("/nowhere/at/all.h5", "There is no such weights file"),
        ("", "the name of a published set"),
        (3, "the name of a published set"),
    ],
)
def test_neither_a_set_nor_a_file(lite, weights, match):
    with pytest.raises(InputError, match=match):
        load_weights(lite, weights)
    with pytest.raises(InputError, match=match):
        _lite(weights=weights)


def test_a_folder_without_a_checkpoint(tmp_path):
    with pytest.raises(InputError, match="There is no TensorFlow checkpoint in it"):
        _lite(weights=tmp_path)


def test_another_suffix_is_refused(lite, tmp_path):
    (tmp_path / "weights.onnx").touch()
    _refused(lite, tmp_path / "weights.onnx", r"ends in .*\.weights\.h5.*\.pth")


@pytest.mark.parametrize("keep", [0, 10, 5000, 0.5, -10])
def test_a_cut_off_file(lite, trained, keep, tmp_path):
    _, path = trained
    whole = path.read_bytes()
    keep = int(keep * len(whole)) if isinstance(keep, float) else keep
    damaged = tmp_path / "cut.weights.h5"
    damaged.write_bytes(whole[:keep])
    _refused(lite, damaged, "can't be read, it may be cut off or damaged")


def _text(path):
    path.write_text("these are not the weights that you look for\n" * 50)


def _noise(path):
    path.write_bytes(np.random.default_rng(0).bytes(10_000))


def _empty(path):
    h5py.File(path, "w").close()


def _photos(path):
    with h5py.File(path, "w") as file:
        file["photos"] = np.zeros((2, 3))


def _no_group(path):
    with h5py.File(path, "w") as file:
        file["layers"] = np.zeros(3)


def _no_variables(path):
    with h5py.File(path, "w") as file:
        file["layers/conv2d"] = np.zeros(3)


def _names_of_another_kind(path):
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = 3


@pytest.mark.parametrize(
    "write",
    [
        _text,
        _noise,
        _empty,
        _photos,
        _no_group,
        _no_variables,
        _names_of_another_kind,
    ],
)
def test_a_file_of_something_else(lite, write, tmp_path):
    path = tmp_path / "other.h5"
    write(path)
    _refused(lite, path, "can't be read|holds no Keras weights|No layer of the file")
