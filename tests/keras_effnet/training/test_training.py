"""The training loop: what it writes, and that it goes on where it was stopped."""

import csv
import dataclasses
import json
import os
import signal

import keras
import numpy as np
import pytest

import keras_effnet
from keras_effnet import saving
from keras_effnet.data.formats import open_source
from keras_effnet.errors import InputError
from keras_effnet.errors import Preempted
from keras_effnet.specs import SPECS
from keras_effnet.specs import get_spec
from keras_effnet.training import checkpoint
from keras_effnet.training import loop
from keras_effnet.training import networks
from keras_effnet.training.recipes import get_recipe
from keras_effnet.training.running import train
from keras_effnet.training.stages import stages

pytestmark = pytest.mark.usefixtures("two_stages")
B0 = get_spec("EfficientNetB0")
STEPS = 2 * 4 + 2 * 4


def some_digits(training, validation):
    """The first digits to learn from, and as many after them to evaluate on."""
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    source = open_source("digits")
    place = np.arange(source.count) - training
    return (
        source.subset("training", place < 0),
        source.subset("validation", (place >= 0) & (place < validation)),
    )


@pytest.fixture(scope="module")
def digits():
    return some_digits(70, 40)


def _recipe(**overrides):
    fields = {
        "width": 0.25,
        "depth": 0.25,
        "epochs": 4,
        "stages": 2,
        "image_size": (24, 32),
        "eval_image_size": 32,
        "batch_size": 16,
        "optimizer": "rmsprop",
        "learning_rate": 0.001,
        "schedule": "cosine",
        "warmup_epochs": 0.5,
        "augmentation": "crop",
        "dropout_rate": (0.1, 0.3),
        "drop_connect_rate": (0.1, 0.2),
        "mixup_alpha": (0.0, 0.2),
        "ema": 0.9,
        "checkpoint_steps": 3,
    }
    return get_recipe("digits", **{**fields, **overrides})


def _run(recipe, digits, folder):
    """Without evaluation and report."""
    loop.Training(recipe, *digits, folder, progress=None).run()


@pytest.fixture(scope="module")
def whole(digits, tmp_path_factory):
    """The folder of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    train(_recipe(), *digits, folder, progress=None)
    return folder


def _history(folder):
    with open(folder / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        del row["images_per_second"]
    return [{key: float(value) for key, value in row.items()} for row in rows]


def _last(folder):
    return checkpoint.load_last(folder / "checkpoints")


def _assert_equal_runs(folder, whole, steps=STEPS):
    history, expected = _history(folder), _history(whole)
    assert [row.keys() for row in history] == [row.keys() for row in expected]
    for row, wanted in zip(history, expected, strict=True):
        assert row == pytest.approx(wanted, rel=1e-4, abs=1e-6)
    (arrays, state), (wanted, whole_state) = _last(folder), _last(whole)
    assert state["global_step"] == whole_state["global_step"] == steps
    for name in wanted:
        for mine, theirs in zip(arrays[name], wanted[name], strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)
    paths = (folder / "model.keras", whole / "model.keras")
    mine, theirs = (saving.load_model(path).get_weights() for path in paths)
    for one, other in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("step", [2, 7, 8, 13])
def test_a_stopped_run_goes_on_as_if_nothing_had_happened(
    digits, whole, step, tmp_path, monkeypatch
):
    """Before the first checkpoint, in an epoch, between two stages, in the last."""
    after_step = loop.Training.after_step

    def stop(self, logs):
        after_step(self, logs)
        if self.state.global_step == step:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop.Training, "after_step", stop)
        with pytest.raises(KeyboardInterrupt):
            _run(_recipe(), digits, tmp_path)
    _run(_recipe(), digits, tmp_path)
    _assert_equal_runs(tmp_path, whole)


def test_sigterm_saves_the_step_under_way(digits, whole, tmp_path, monkeypatch):
    """And the run goes on as if nothing had happened."""
    after_step = loop.Training.after_step

    def terminated(self, logs):
        if self.state.global_step == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        after_step(self, logs)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Training, "after_step", terminated)
        with pytest.raises(Preempted, match="stopped after 1 epochs and 1 batches"):
            train(_recipe(), *digits, tmp_path, progress=None)
    assert _last(tmp_path)[1]["global_step"] == 5
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    # What a writer that was killed leaves.
    (tmp_path / "checkpoints" / ".writing-x-step-99.npz").write_bytes(b"half")
    _run(_recipe(), digits, tmp_path)
    _assert_equal_runs(tmp_path, whole)
    assert not list((tmp_path / "checkpoints").glob(".writing-*"))


def test_a_finished_run_is_not_trained_again(digits, whole, tmp_path):
    before = (whole / "model.keras").stat().st_size
    lines = []
    train(_recipe(), *digits, whole, progress=lines.append, bars=False)
    assert lines == ["Going on after 4 epochs and 0 batches"]
    assert (whole / "model.keras").stat().st_size == before


@pytest.mark.slow
def test_a_damaged_checkpoint_gives_way_to_the_one_before(digits, whole, tmp_path):
    _run(_recipe(), digits, tmp_path)
    last = checkpoint.checkpoints(tmp_path / "checkpoints")[-1]
    last.write_bytes(last.read_bytes()[:-5000])
    _run(_recipe(), digits, tmp_path)
    _assert_equal_runs(tmp_path, whole)
    for path in checkpoint.checkpoints(tmp_path / "checkpoints"):
        path.write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match="No checkpoint can be read"):
        _run(_recipe(), digits, tmp_path)


def test_the_folder_is_the_whole_truth(digits, whole):
    source, validation = digits
    recipe = json.loads((whole / "recipe.json").read_text())
    assert (recipe["name"], recipe["image_size"]) == ("digits", [24, 32])
    data = json.loads((whole / "data.json").read_text())
    assert data["training"]["images"] == 70
    assert data["training"]["fingerprint"] == source.fingerprint
    environment = json.loads((whole / "environment.json").read_text())
    assert environment["versions"]["keras"] == keras.__version__
    evaluation = json.loads((whole / "evaluation.json").read_text())
    assert evaluation["images"] == validation.count == 40
    rates = [row["learning_rate"] for row in _history(whole)]
    assert rates == sorted(rates, reverse=True)
    assert [row["image_size"] for row in _history(whole)] == [24, 24, 32, 32]
    assert (whole / "report.html").read_text().count("<img") >= 2
    (events,) = (whole / "tensorboard").iterdir()
    assert events.stat().st_size > 500
    names = saving.class_names(saving.load_model(whole / "model.keras"))
    assert names == source.class_names


def test_the_model_has_the_averaged_weights(digits, whole):
    arrays, _ = _last(whole)
    model = saving.load_model(whole / "model.keras")
    assert model.input_shape == (None, 32, 32, 1)
    averages = sorted(float(np.abs(array).sum()) for array in arrays["ema"][1:])
    weights = sorted(float(np.abs(array).sum()) for array in model.get_weights())
    np.testing.assert_allclose(weights, averages, rtol=1e-5)


@pytest.mark.parametrize(
    ("overrides", "match"),
    [({"epochs": 5}, "another recipe, it differs in epochs"), (None, "another data")],
)
def test_another_run_in_the_folder_is_refused(digits, whole, overrides, match):
    data = digits if overrides else digits[::-1]
    with pytest.raises(InputError, match=match):
        _run(_recipe(**(overrides or {})), data, whole)


def test_the_head_learns_alone_first(digits, tmp_path):
    recipe = _recipe(epochs=2, stages=1, image_size=(24, 24), head_epochs=1, ema=None)
    # Of weights only, says `check`.
    recipe = dataclasses.replace(recipe, freeze_bn=True)
    training = loop.Training(recipe, *digits, tmp_path, progress=None)
    start = [np.array(weight) for weight in training.model.weights]
    names = [weight.path for weight in training.model.weights]

    def moved():
        pairs = zip(names, start, training.model.weights, strict=True)
        return {name for name, old, new in pairs if not np.array_equal(old, new)}

    end_of_epoch = training._end_of_epoch
    seen = []

    def remember(*args, **kwargs):
        seen.append(moved())
        end_of_epoch(*args, **kwargs)

    training._end_of_epoch = remember
    training.run()
    head, everything = seen
    assert head == {"predictions/kernel", "predictions/bias"}
    assert "stem_conv/kernel" in everything
    assert "stem_bn/moving_mean" not in everything


def test_dropout_follows_the_stages(digits, monkeypatch):
    monkeypatch.setitem(SPECS, "EfficientNetB0", B0)
    recipe = _recipe(width=None, depth=None, model="EfficientNetB0")
    model, _ = networks.training_model(recipe, digits[0])
    first, last = stages(recipe)
    for stage, dropout, drop_connect in ((first, 0.1, 0.1), (last, 0.3, 0.2)):
        networks.set_rates(model, stage)
        assert model.get_layer("top_dropout").rate == pytest.approx(dropout)
        # Block 2b is the third of 16, and the last that is kept whole is 6d.
        assert model.get_layer("block2b_drop").rate == pytest.approx(
            drop_connect * 2 / 16
        )
        assert model.get_layer("block6d_drop").rate == pytest.approx(
            drop_connect * 14 / 16
        )
    assert get_spec("EfficientNetB0").drop_connect_rate == 0.2


def test_one_call_opens_trains_and_evaluates(tmp_path):
    lines = []
    fields = {"width": 0.25, "depth": 0.25, "image_size": 16, "eval_image_size": 16}
    found = keras_effnet.training.train(
        "digits",
        tmp_path,
        "digits",
        progress=lines.append,
        **{**fields, "epochs": 1, "warmup_epochs": 0, "batch_size": 256},
    )
    assert lines[0] == "1433 images of 10 classes to learn from, 364 held out"
    assert lines[1].startswith("epoch 1/1: loss ")
    assert len(found.labels) == 364
    kept = json.loads((tmp_path / "evaluation.json").read_text())
    assert kept["top1"] == found.top1


def test_one_call_refuses_processes_without_a_cluster(tmp_path):
    with pytest.raises(InputError, match=r"belong to `cluster`.*processes=2"):
        keras_effnet.training.train("digits", tmp_path, "digits", processes=2)
