"""Accuracy by hand, and the same model behind every door."""

import numpy as np
import peer
import pytest

from keras_effnet import saving
from keras_effnet.errors import InputError
from keras_effnet.evaluation import Evaluation
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
