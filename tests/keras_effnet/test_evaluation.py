"""Accuracy by hand, and the same model behind every door."""

import copy
import logging

import keras
import numpy as np
import peer
import pytest
from keras import layers

import keras_effnet
from keras_effnet import notes
from keras_effnet import saving
from keras_effnet.errors import InputError
from keras_effnet.evaluation import Evaluation
from keras_effnet.evaluation import classify_photo
from keras_effnet.evaluation import evaluate
from keras_effnet.evaluation import load_classifier

IMAGES = peer.images(32, 32, batch=6)
LABELS = np.array([0, 1, 2, 3, 4, 0])


def of_ranks(*ranks, classes=8):
    """An evaluation whose right class 0 has the given ranks, from 0."""
    rows = [[classes + 0.5 - r, *range(classes, 1, -1)] for r in ranks]
    return Evaluation(np.array(rows), np.zeros(len(ranks), int))


def test_top1_and_top5():
    evaluation = of_ranks(0, 0, 4, 5)
    assert evaluation.top1 == 0.5
    assert evaluation.top5 == 0.75
    assert of_ranks(0, 1).agreement(of_ranks(0, 0)) == 0.5


def test_ties_do_not_count_twice():
    evaluation = Evaluation(np.full((1, 8), 0.125), np.array([7]))
    assert (evaluation.top1, evaluation.top5) == (0.0, 0.0)


def test_wilsons_interval():
    """Brown, Cai and DasGupta 2001 give Wilson's interval for 0 of 10 and 8 of 10
    as (0, .278) and (.490, .943)."""
    low, high = of_ranks(*[0] * 8, 1, 1).interval
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)
    low, high = of_ranks(*[1] * 10).interval
    assert (abs(round(low, 3)), round(high, 3)) == (0.0, 0.278)


def test_every_form_of_a_model_is_evaluated_the_same(tiny_model, tiny_files, tmp_path):
    tiny_model.save(tmp_path / "tiny.keras")
    tiny_model.export(tmp_path / "saved_model", verbose=False)
    expected = np.asarray(tiny_model(IMAGES))
    for source in (
        tiny_model,
        tmp_path / "tiny.keras",
        tmp_path / "saved_model",
        tiny_files["float32"],
    ):
        found = evaluate(source, [IMAGES[:4], IMAGES[4:]], LABELS)
        assert np.abs(found.probabilities - expected).max() < 1e-5
        assert found.top1 == np.mean(expected.argmax(1) == LABELS)
        assert load_classifier(source).input_shape == (32, 32, 3)


def test_labels_must_fit(tiny_model):
    with pytest.raises(InputError, match="6 images, 5 labels"):
        evaluate(tiny_model, [IMAGES], LABELS[:5])
    with pytest.raises(InputError, match="0 images, 0 labels"):
        evaluate(tiny_model, [], [])
    with pytest.raises(InputError, match=r"classes 0 to 4.*labels from 1 to 6"):
        evaluate(tiny_model, [IMAGES], np.arange(1, 7))


def test_sources_that_are_none(tmp_path):
    (tmp_path / "text.keras").write_text("no model")
    for name, message in (
        ("absent.keras", "that exists"),
        ("model.onnx", r"\.keras file, a \.tflite file or a SavedModel"),
        ("text.keras", r"no \.keras file"),
        ("", "no SavedModel"),
    ):
        with pytest.raises(InputError, match=rf"{message}.*Received") as caught:
            load_classifier(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_damaged_keras_file(tiny_model, tmp_path):
    import zipfile

    tiny_model.save(tmp_path / "tiny.keras")
    with (
        zipfile.ZipFile(tmp_path / "tiny.keras") as whole,
        zipfile.ZipFile(tmp_path / "less.keras", "w") as less,
    ):
        less.writestr("config.json", whole.read("config.json"))
    with pytest.raises(InputError, match=r"can't load.*less\.keras"):
        saving.load_model(tmp_path / "less.keras")


@pytest.fixture(scope="module")
def bare():
    """A published network's graph without normalisation."""
    return keras_effnet.EfficientNetLite0(
        classes=3, input_shape=(32, 32, 3), include_preprocessing=False, name="mine"
    )


@pytest.mark.parametrize("lose", ["clone", "copy", "save"])
def test_preprocessing_that_keras_loses_is_found_again(bare, lose, tmp_path, caplog):
    if lose == "clone":
        model = keras.models.clone_model(bare)
    elif lose == "copy":
        model = copy.deepcopy(bare)
    else:
        bare.save(tmp_path / "whole.keras")
        keras.saving.load_model(tmp_path / "whole.keras").save(tmp_path / "lost.keras")
        model = saving.load_model(tmp_path / "lost.keras")
    assert saving.attached(model) is None
    refused = pytest.raises(InputError, match=r"mine carries no.*EfficientNetLite0's")
    with refused, notes.strict():
        load_classifier(model)
    with caplog.at_level(logging.WARNING, "keras_effnet"):
        assert load_classifier(model).rule == saving.attached(bare)
        assert load_classifier(model).rule == saving.attached(model)
    assert len(caplog.messages) == 1
    assert "divided by 128" in caplog.messages[0]


def _on(trunk, front):
    image = keras.Input((None, None, 3))
    x = layers.GlobalAveragePooling2D()(trunk(front(image)))
    return keras.Model(image, layers.Dense(1, activation="sigmoid")(x))


def test_what_stands_before_a_trunk_is_seen():
    trunk = keras_effnet.EfficientNetLite0(
        include_top=False, include_preprocessing=False
    )
    normalising = keras.Sequential([layers.RandomFlip(), layers.Rescaling(1 / 128, -1)])
    fronts = {
        True: (layers.Rescaling(1 / 128, -1), normalising, lambda x: x / 127.5 - 1),
        False: (lambda x: x, layers.RandomFlip(), layers.ZeroPadding2D()),
    }
    for included, each in fronts.items():
        for front in each:
            found = load_classifier(_on(trunk, front))
            assert found.rule.included is included
            assert (found.input_shape, found.classes) == ((224, 224, 3), 2)
            assert found.assumed_size


def _answering(values, activation=None):
    """A model that answers every image with the same numbers."""
    image = keras.Input((8, 8, 3))
    x = layers.GlobalAveragePooling2D()(image)
    answer = layers.Dense(len(values), activation=activation, name="answer")
    model = keras.Model(image, answer(x), name="plain")
    answer.set_weights([np.zeros((3, len(values))), np.array(values)])
    return model


def test_logits_become_probabilities_and_it_is_told(photos, caplog):
    logits = np.array([-3.0, 1, 2])
    powers = np.exp(logits)
    with caplog.at_level(logging.WARNING, "keras_effnet"):
        found = evaluate(_answering(logits), [np.zeros((2, 8, 8, 3))])
        first = classify_photo(_answering(logits), photos[0], 2)[0]
    assert np.allclose(found.probabilities, [powers / powers.sum()] * 2)
    assert first.name == "class 2"
    assert first.probability == pytest.approx(powers[2] / powers.sum())
    assert "answers with logits" in caplog.text
    small = np.array([0.1, 0.7, 0.9])  # as probabilities might be; the graph says more
    found = evaluate(_answering(small), [np.zeros((1, 8, 8, 3))])
    assert np.allclose(found.probabilities, np.exp(small) / np.exp(small).sum())
    caplog.clear()
    found = evaluate(_answering(logits, "softmax"), [np.zeros((1, 8, 8, 3))])
    assert np.allclose(found.probabilities, powers / powers.sum())
    assert caplog.messages == []


def test_one_output_is_two_classes():
    """It said 100 % of labels that were all 0, whatever it answered."""
    images, right = np.zeros((2, 8, 8, 3)), 1 / (1 + np.exp(-2))
    for model in (_answering([2.0], "sigmoid"), _answering([2.0])):
        found = evaluate(model, [images], [0, 1])
        assert np.allclose(found.probabilities, [[1 - right, right]] * 2)
        assert found.top1 == 0.5
        assert load_classifier(model).classes == 2


def _with_ends(inputs, outputs):
    image = inputs[0] if len(inputs) == 1 else layers.Add()(inputs)
    pooled = layers.GlobalAveragePooling2D()(image)
    ends = [layers.Dense(2)(pooled), layers.Dense(3)(pooled), inputs[0]]
    return keras.Model(inputs, [ends[i] for i in outputs])


def test_models_that_are_no_classifiers():
    images = [keras.Input((8, 8, 3)), keras.Input((8, 8, 3))]
    unbuilt = keras.Sequential([layers.Dense(2)])
    models = [
        _with_ends(images[:1], [0, 1]),
        _with_ends(images[:1], [2]),
        _with_ends(images, [0]),
        keras.Sequential([keras.Input((4,)), layers.Dense(2)]),
        unbuilt,
    ]
    for model in models:
        with pytest.raises(InputError, match=r"no image classifier.*Received: inputs="):
            load_classifier(model)
    first = layers.Conv2D(4, 3, data_format="channels_first")
    pooled = layers.GlobalAveragePooling2D()
    model = keras.Sequential([keras.Input((3, 8, 8)), first, pooled, layers.Dense(2)])
    with pytest.raises(InputError, match=r"channels must come last.*Received: 'conv2d"):
        load_classifier(model)


def _saved(function, *specs, path):
    import tensorflow as tf

    module = tf.Module()
    module.serve = tf.function(function, input_signature=specs)
    signature = module.serve.get_concrete_function()
    tf.saved_model.save(module, str(path), signatures=signature)
    return path


def test_saved_models_that_are_no_classifiers(tmp_path):
    import tensorflow as tf

    image = tf.TensorSpec((None, 8, 8, 3), tf.float32, "image")
    unknown = tf.TensorSpec(None, tf.float32, "any")
    text = tf.TensorSpec((None, 8, 8, 3), tf.string, "text")

    def mean(x):
        return {"y": tf.reduce_mean(x, [1, 2])}

    def length(x):
        return {"y": tf.reduce_mean(tf.cast(tf.strings.length(x), tf.float32), [1, 2])}

    cases = (
        (lambda x, z: mean(x + z), [image, unknown]),
        (lambda x: mean(x) | {"z": x}, [image]),
        (mean, [unknown]),
        (length, [text]),
    )
    for number, (function, specs) in enumerate(cases):
        path = _saved(function, *specs, path=tmp_path / str(number))
        with pytest.raises(InputError, match=r"no image classifier|must be numbers"):
            load_classifier(path)
    logits = load_classifier(_saved(mean, image, path=tmp_path / "logits"))
    found = evaluate(logits, [np.full((1, 8, 8, 3), [5, 5, 5])])
    assert np.allclose(found.probabilities, 1 / 3)


def test_a_users_own_thousand_classes_are_not_imagenets(photos):
    model = _answering(np.arange(1000) / 100, "softmax")
    assert classify_photo(model, photos[0], 1)[0].name == "class 999"
    saving.attach(model, None, keras_effnet.class_names.imagenet_names())
    first = classify_photo(model, photos[0], 1)[0]
    assert (first.id, first.name) == keras_effnet.class_names.imagenet_classes()[999]


def test_a_file_of_keras_2_is_told(tiny_model, tmp_path):
    import zipfile

    tiny_model.save(tmp_path / "tiny.keras")
    with (
        zipfile.ZipFile(tmp_path / "tiny.keras") as whole,
        zipfile.ZipFile(tmp_path / "old.keras", "w") as old,
    ):
        old.writestr("config.json", whole.read("config.json"))
        old.writestr("metadata.json", '{"keras_version": "2.15.0"}')
    with pytest.raises(InputError, match=r"of Keras 2\.15\.0.*Received: .*old"):
        saving.load_model(tmp_path / "old.keras")
    with pytest.raises(InputError, match="There is no such"):
        saving.load_model(tmp_path / "absent.keras")
