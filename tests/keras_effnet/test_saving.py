"""The preprocessing travels with the model and in its file."""

import dataclasses
import json
import zipfile

import keras
import numpy as np
import peer
import pytest

import keras_effnet
from keras_effnet import preprocessing
from keras_effnet import saving
from keras_effnet.data import photos as photos_room
from keras_effnet.errors import InputError
from keras_effnet.evaluation import load_classifier
from keras_effnet.export import export

RULE = preprocessing.Preprocessing((100.0,), (50.0,), "bilinear", None)
SHAPE = (32, 32, 3)


@pytest.fixture(scope="module")
def small():
    spec = keras_effnet.scaled_spec(
        "EfficientNetLite0", width=0.25, depth=0.25, image_size=32, name="small"
    )
    spec = dataclasses.replace(spec, stages=spec.stages[:2])

    def build(**options):
        return keras_effnet.build_model(spec, classes=5, **options)

    return build


def test_a_saved_model_carries_its_preprocessing(small, tmp_path):
    model = small(preprocessing=RULE)
    path = tmp_path / "small.keras"
    model.save(path)
    assert preprocessing.for_weights(path) == RULE
    assert preprocessing.for_weights(model) == RULE
    loaded = saving.load_model(path)
    assert saving.attached(loaded) == RULE
    pixels = peer.images(*SHAPE)
    np.testing.assert_array_equal(loaded(pixels), model(pixels))
    # And once more, from the loaded one.
    loaded.save(tmp_path / "again.keras")
    assert preprocessing.for_weights(tmp_path / "again.keras") == RULE
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.keras", "small.keras"]
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist().count(saving.ENTRY) == 1
        assert json.loads(archive.read(saving.ENTRY))["mean"] == [100.0]


def test_class_names_travel_too(small, photos, command, tmp_path):
    model = small(preprocessing=RULE)
    names = ("tulip", "rose", "daisy", "sunflower", "dandelion")
    saving.attach(model, RULE, names)
    model.save(tmp_path / "small.keras")
    (file,) = export(saving.load_model(tmp_path / "small.keras"), tmp_path)
    for path in (tmp_path / "small.keras", file.path):
        assert load_classifier(path).class_names == names
        code, out, _ = command("predict", photos[0], "--model", path, "--json")
        assert code == 0
        found = [guess["name"] for guess in json.loads(out)[0]["predictions"]]
        assert sorted(found) == sorted(names)


def test_the_rule_is_what_the_layers_do(small):
    """With the layers, on raw pixels, as without them on normalised ones."""
    for rule in (RULE, preprocessing.for_weights("EfficientNetB0")):
        inside = small(preprocessing=rule, include_preprocessing=True)
        outside = small(preprocessing=rule, include_preprocessing=False)
        outside.set_weights(inside.get_weights())
        found = saving.attached(outside)
        assert (found.included, saving.attached(inside).included) == (False, True)
        pixels = peer.images(*SHAPE)
        actual, expected = outside(found.normalized(pixels)), inside(pixels)
        assert peer.relative_error(actual, expected) <= 1e-5


def test_photographs_come_as_the_model_takes_them(small, photos, tmp_path):
    inside = small(preprocessing=RULE)
    outside = small(preprocessing=RULE, include_preprocessing=False)
    outside.set_weights(inside.get_weights())
    outside.save(tmp_path / "outside.keras")
    answers = []
    for source in (inside, tmp_path / "outside.keras"):
        classifier = load_classifier(source)
        rule = classifier.preprocessing
        (batch,) = photos_room.batches(photos, classifier.input_shape, rule)
        answers.append(classifier.predict(batch))
    np.testing.assert_allclose(*answers, atol=1e-5)


def test_an_exported_file_keeps_it(small, photos, tmp_path):
    model = small(preprocessing=RULE, include_preprocessing=False)
    (file,) = export(model, tmp_path)
    classifier = load_classifier(file.path)
    assert classifier.preprocessing == saving.attached(model)
    assert not classifier.preprocessing.included
    (batch,) = photos_room.batches(photos, SHAPE, classifier.preprocessing)
    expected = load_classifier(model).predict(batch)
    np.testing.assert_allclose(classifier.predict(batch), expected, atol=1e-5)
    file.path.with_suffix(".json").write_text("damaged")
    found = load_classifier(file.path).preprocessing  # by the file's metadata
    np.testing.assert_allclose([found.mean, found.std], [RULE.mean, RULE.std], 1e-6)
    assert not found.included


def test_a_model_built_on_another_needs_it_once(small, tmp_path):
    trunk = small(preprocessing=RULE)
    new = keras.Model(trunk.input, trunk.layers[-2].output)
    with pytest.raises(InputError, match="carries no preprocessing"):
        preprocessing.for_weights(new)
    saving.attach(new, saving.attached(trunk))
    new.save(tmp_path / "new.keras")
    assert preprocessing.for_weights(tmp_path / "new.keras") == RULE


def test_checkpoint_callbacks_write_it_too(small, tmp_path):
    model = small(preprocessing=RULE)
    model.compile("sgd", "sparse_categorical_crossentropy")
    callback = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras")
    model.fit(peer.images(*SHAPE), np.zeros(4), verbose=0, callbacks=[callback])
    assert preprocessing.for_weights(tmp_path / "best.keras") == RULE


def test_saving_over_a_file_that_is_there(small, tmp_path):
    path = tmp_path / "small.keras"
    path.write_text("old")
    small(preprocessing=RULE).save(path)
    assert preprocessing.for_weights(path) == RULE
    small(preprocessing=RULE).save(path, overwrite=True)
    assert preprocessing.for_weights(path) == RULE


RULE_TEXT = (
    '{"mean": [%s], "std": [1], "interpolation": "bicubic", "crop_padding": 0, '
    '"included": true}'
)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"mean": 3, "std": [1]}',
        "{}",
        "[" * 10**5,
        RULE_TEXT % "Infinity",
        RULE_TEXT % "1e999",
        RULE_TEXT % ("1" * 400),
        " " * (2**24 + 1),
    ],
    ids=range(9),
)
def test_a_damaged_entry_is_one_line(tmp_path, content):
    path = tmp_path / "small.keras"
    keras.Model.save(
        keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten()]), path
    )
    assert saving.read(path) is None
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(saving.ENTRY, content)
    with pytest.raises(InputError, match=r"\.json can't be read|finite") as caught:
        saving.load_model(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("value", [3, [127, 128]])
def test_a_preprocessing_of_another_kind(small, value):
    with pytest.raises(InputError, match="`preprocessing` must be None, a Preproc"):
        small(preprocessing=value)
