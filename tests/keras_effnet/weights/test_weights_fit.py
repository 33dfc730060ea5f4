"""What a file and a model may differ in: channels, classes, normalisation."""

import logging

import keras
import numpy as np
import peer
import pytest

import keras_effnet
from keras_effnet.errors import InputError
from keras_effnet.rule import Preprocessing
from keras_effnet.weights import load_weights
from keras_effnet.weights import put
from keras_effnet.weights.assign import variables_by_name
from keras_effnet.weights.fit import fit
from keras_effnet.weights.fit import stem

pytestmark = pytest.mark.usefixtures("two_stages")
MEAN, STD = peer.IMAGENET_MEAN, peer.IMAGENET_STD


def _head(classes, features=4):
    random = np.random.default_rng(classes)
    return {
        "predictions/kernel": random.normal(size=(features, classes)),
        "predictions/bias": random.normal(size=classes),
    }


def _shapes(classes, features=4):
    return {name: value.shape for name, value in _head(classes, features).items()}


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6])
def test_the_first_activations_keep_their_size(channels):
    """On grey images, whose channels are equal: the same where every channel of
    the file is used equally often, and about as large elsewhere."""
    random = np.random.default_rng(0)
    kernel = random.normal(loc=0.3, size=(3, 3, 3, 64)).astype("float32")
    fitted = stem(kernel, channels)
    assert fitted.shape == (3, 3, channels, 64)
    actual, expected = fitted.sum(axis=2), kernel.sum(axis=2)
    if channels in (1, 3, 6):
        np.testing.assert_allclose(actual, expected, atol=1e-5)
    assert np.mean(actual) == pytest.approx(np.mean(expected), rel=0.1)
    assert np.std(actual) == pytest.approx(np.std(expected), rel=0.35)


def test_a_grey_model_answers_as_the_colour_model_on_grey_images():
    colour = keras_effnet.EfficientNetLite0(
        input_shape=(33, 32, 3), include_preprocessing=False, classifier_activation=None
    )
    peer.randomize(colour, peer.images(33, 32) / 128 - 1)
    grey = keras_effnet.EfficientNetLite0(
        input_shape=(33, 32, 1), include_preprocessing=False, classifier_activation=None
    )
    values = {k: np.asarray(v) for k, v in variables_by_name(colour).items()}
    put(grey, values, "colour")
    pixels = peer.images(33, 32, 1) / 128 - 1
    actual, expected = grey(pixels), colour(pixels.repeat(3, axis=-1))
    assert peer.relative_error(actual, expected) <= 1e-4


def test_the_background_class_is_dropped():
    head = _head(1001)
    values, note = fit(head, _shapes(1000), "file")
    assert note is None
    for name in head:
        np.testing.assert_array_equal(values[name], head[name][..., 1:])
    values, note = fit(head, _shapes(1001), "file")
    assert values == head


@pytest.mark.parametrize(
    ("found", "classes"), [(1000, 5), (1001, 5), (21843, 1000), (1000, 21843)]
)
def test_another_published_class_count_skips_the_head_and_says_so(found, classes):
    values, note = fit(_head(found), _shapes(classes), "b0.h5")
    assert values == {"predictions/kernel": None, "predictions/bias": None}
    assert note == (
        f"b0.h5 holds a classifier of {found} classes: the model's, of {classes}, "
        "starts random."
    )


def test_somebodys_own_classifier_is_not_thrown_away():
    with pytest.raises(InputError, match="5 classes, the model 1000: build it with cl"):
        fit(_head(5), _shapes(1000), "mine.h5")


def test_a_file_without_a_classifier():
    values, note = fit({}, _shapes(5), "notop.h5")
    assert values == {"predictions/kernel": None, "predictions/bias": None}
    assert note.startswith("notop.h5 holds no classifier: the model's, of 5,")
    # A model of 1000 classes was meant to have the published ones: assign refuses.
    assert fit({}, _shapes(1000), "notop.h5") == ({}, None)


def test_a_skipped_head_is_logged_and_stays_as_it_was(tmp_path, caplog):
    options = {"input_shape": (32, 32, 3)}
    whole = keras_effnet.EfficientNetLite0(**options)
    whole.save_weights(tmp_path / "lite0.weights.h5")
    mine = keras_effnet.EfficientNetLite0(classes=3, **options)
    before = np.asarray(mine.get_layer("predictions").kernel)
    with caplog.at_level(logging.WARNING, "keras_effnet"):
        load_weights(mine, tmp_path / "lite0.weights.h5")
    assert caplog.messages == [
        "lite0.weights.h5 holds a classifier of 1000 classes: the model's, of 3, "
        "starts random."
    ]
    np.testing.assert_array_equal(mine.get_layer("predictions").kernel, before)
    np.testing.assert_array_equal(
        mine.get_layer("top_conv").kernel, whole.get_layer("top_conv").kernel
    )


def test_the_normalization_is_imagenets_or_the_models():
    own = Preprocessing((0.0,) * 3, (255.0,) * 3)
    for mean, variance in ((MEAN, STD**2), (np.zeros(3), np.ones(3))):
        values = {
            "normalization/mean": mean,
            "normalization/variance": variance,
            "normalization/count": np.array(0),
        }
        assert fit(values, {}, "b0.h5", own) == ({}, None)


@pytest.mark.parametrize(
    ("mean", "variance"),
    [
        (MEAN + 0.01, STD**2),
        (MEAN, STD**2 * 1.1),
        (MEAN, np.ones(3)),
        (MEAN, STD),
        (np.array([0.5]), np.array([0.25])),
        (MEAN[::-1], STD**2),
    ],
)
def test_another_normalization_is_refused(mean, variance):
    values = {"normalization/mean": mean, "normalization/variance": variance}
    with pytest.raises(InputError, match=r"otherwise.*build it with prep") as caught:
        fit(values, {}, "b0.h5")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_no_number_is_refused(bad):
    values = {"stem_bn/gamma": np.array([1, bad])}
    with pytest.raises(InputError, match="stem_bn/gamma holds values that are no fin"):
        fit(values, {}, "b0.h5")


def test_another_resolution_takes_the_same_weights(tmp_path):
    small = keras_effnet.EfficientNetLite0(input_shape=(32, 32, 3))
    small.save_weights(tmp_path / "lite0.weights.h5")
    large = keras_effnet.EfficientNetLite0(
        input_shape=(64, 48, 3), weights=tmp_path / "lite0.weights.h5"
    )
    assert isinstance(large, keras.Model)
    for mine, theirs in zip(large.weights, small.weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)
