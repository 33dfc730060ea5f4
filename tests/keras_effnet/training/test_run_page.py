"""The page of a training run."""

import types

import numpy as np
import pytest

from keras_effnet.evaluation import Evaluation
from keras_effnet.training import run_page

HISTORY = [
    {"epoch": n + 1, "loss": 1.0, "accuracy": 0.5, "val_accuracy": share}
    for n, share in enumerate((0.5, 0.75, 0.75, 0.6))
]


@pytest.mark.parametrize(("waits", "told"), [(3, "epoch 2, the best"), (0, "the last")])
def test_a_mistake_says_what_it_is(waits, told):
    probabilities = np.array([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]])
    evaluation = Evaluation(probabilities, np.array([0, 1, 1]))
    recipe = types.SimpleNamespace(model="net", name="r", early_stopping=waits)
    image = np.zeros((4, 4, 3), "uint8")
    worst = [(image, 0, "roses/<1>.jpg")]
    names = ["roses", "tulips"]
    html = run_page.render(recipe, HISTORY, evaluation, names, worst, (8, 3))
    assert "says tulips (90%),\nis roses</figcaption>" in html
    assert "<small>roses/&lt;1&gt;.jpg</small>" in html
    assert f"model.keras holds what was learned up to {told}" in html
    assert "<span>export</span> <span>model.keras</span>" in html


def test_very_many_classes_are_a_picture():
    names = [f"class {n}" for n in range(41)]
    labels = np.arange(41)
    recipe = types.SimpleNamespace(model="net", name="r", early_stopping=0)
    evaluation = Evaluation(np.eye(41), labels)
    html = run_page.render(recipe, HISTORY, evaluation, names, [], (8, 41))
    assert 'class="scroll matrix"' not in html
    assert "The true class down" in html


@pytest.mark.parametrize(("right", "told"), [(0.5, True), (1.0, False)])
def test_what_is_no_better_than_chance(right, told):
    labels = np.arange(40) % 2
    probabilities = np.eye(2)[np.where(np.arange(40) < 40 * right, labels, 1 - labels)]
    recipe = types.SimpleNamespace(model="net", name="r", early_stopping=0)
    evaluation = Evaluation(probabilities, labels)
    html = run_page.render(recipe, HISTORY, evaluation, ["a", "b"], [], (8, 40))
    assert ("no better than chance, 1 in 2" in html) == told
