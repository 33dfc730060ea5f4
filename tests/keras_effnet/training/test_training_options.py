"""What a recipe may switch on in the loop, and what may go wrong under it."""

import dataclasses
import json
import os
import resource
import shutil
import subprocess

import numpy as np
import pytest
import tensorflow as tf
from test_records import foreign
from test_records import write_foreign
from test_sources import write_classes
from test_sources import write_idx
from test_training import _history
from test_training import _last
from test_training import _recipe
from test_training import some_digits

from keras_effnet import saving
from keras_effnet.data import pipeline
from keras_effnet.data.formats import open_source
from keras_effnet.data.split import hash_place
from keras_effnet.errors import InputError
from keras_effnet.training import checkpoint
from keras_effnet.training import loop
from keras_effnet.training import networks
from keras_effnet.training.run_folder import RunFolder
from keras_effnet.training.stages import stages

pytestmark = pytest.mark.usefixtures("two_stages")


@pytest.fixture(scope="module")
def digits():
    return some_digits(64, 32)


def _plain(**overrides):
    """Nothing random but the weights at the start."""
    fields = {
        "model": "EfficientNetB0",
        "epochs": 1,
        "stages": 1,
        "image_size": 24,
        "eval_image_size": 24,
        "optimizer": "sgd",
        "learning_rate_batch": None,
        "momentum": 0.0,
        "learning_rate": 0.1,
        "schedule": "constant",
        "warmup_epochs": 0.0,
        "augmentation": "none",
        "dropout_rate": 0.0,
        "drop_connect_rate": 0.0,
        "mixup_alpha": 0.0,
        "ema": None,
        "checkpoint_steps": None,
    }
    return _recipe(**{**fields, **overrides})


def _training(recipe, digits, folder, head=0.3, progress=None):
    """Its evaluations cost as much as its steps, and tell nothing here."""
    training = loop.Training(recipe, *digits, folder, progress=progress, bars=False)
    training.model.evaluate = lambda *_, **__: {"accuracy": 0.5, "loss": 1.0}
    # Behind a classifier of zeros nothing else would learn in the first step.
    kernel = training.model.get_layer("predictions").kernel
    kernel.assign(np.random.default_rng(0).normal(0, head, kernel.shape))
    return training


def _copies(variables):
    return [np.array(variable) for variable in variables]


def _distance(arrays, others):
    pairs = zip(arrays, others, strict=True)
    return np.sqrt(sum(np.sum((one - other) ** 2) for one, other in pairs))


def _after_each_step(monkeypatch, look):
    """Has `look(training)` called behind what the loop does after a step."""
    after_step = loop.Training.after_step

    def both(self, logs):
        after_step(self, logs)
        look(self)

    monkeypatch.setattr(loop.Training, "after_step", both)


def _assert_equal(arrays, expected, **tolerance):
    for one, other in zip(arrays, expected, strict=True):
        np.testing.assert_allclose(one, other, **{"rtol": 0, **tolerance})


# Precision

LEARNING = {"epochs": 3, "momentum": 0.9}


@pytest.fixture(scope="module")
def losses(digits, tmp_path_factory):
    """Of the epochs in float32, uncompiled."""
    folder = tmp_path_factory.mktemp("float32")
    _training(_plain(**LEARNING), digits, folder).run()
    return [row["loss"] for row in _history(folder)]


@pytest.mark.parametrize(
    "dtype", [pytest.param("bfloat16", marks=pytest.mark.slow), "float16"]
)
def test_mixed_precision_learns_what_float32_does(digits, losses, dtype, tmp_path):
    recipe = _plain(**LEARNING, mixed_precision=f"mixed_{dtype}")
    training = _training(recipe, digits, tmp_path)
    assert training.model.get_layer("top_conv").compute_dtype == dtype
    if dtype == "float16":
        # Keras' own makes the first steps overflow here, and be skipped.
        training.optimizer.dynamic_scale.assign(2.0**8)
    training.run()
    found = [row["loss"] for row in _history(tmp_path)]
    assert found[-1] < 0.8 * found[0]
    # Rounding makes two trainings out of one, with time.
    assert found[0] == pytest.approx(losses[0], rel=0.01)
    assert found != losses
    assert {weight.dtype for weight in training.model.weights} == {"float32"}
    assert {array.dtype for array in _last(tmp_path)[0]["model"]} == {
        np.dtype("float32")
    }
    model = saving.load_model(tmp_path / "model.keras")
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
    _assert_equal(model.get_weights(), training.model.get_weights())


def test_a_step_that_overflows_float16_is_skipped(digits, tmp_path, monkeypatch):
    recipe = _plain(mixed_precision="mixed_float16", gradient_clip=0.02)
    training = _training(recipe, digits, tmp_path)
    start = _copies(training.model.trainable_weights)
    training.optimizer.dynamic_scale.assign(2.0**60)
    weights, scales = [], []

    def look(training):
        weights.append(_copies(training.model.trainable_weights))
        scales.append(float(training.optimizer.dynamic_scale))
        if len(scales) == 2:
            training.optimizer.dynamic_scale.assign(2.0**10)

    _after_each_step(monkeypatch, look)
    training.run()
    assert scales == [2.0**59, 2.0**58, 2.0**10, 2.0**10]
    for skipped in weights[:2]:
        _assert_equal(skipped, start)
    # The others are clipped after the scale is off them, not before.
    assert _distance(weights[2], start) == pytest.approx(0.1 * 0.02, rel=1e-2)
    assert _distance(weights[3], weights[2]) == pytest.approx(0.1 * 0.02, rel=1e-2)
    assert all(np.isfinite(array).all() for array in training.model.get_weights())
    again = _training(recipe, digits, tmp_path)
    again.run()
    assert float(again.optimizer.dynamic_scale) == 2.0**10
    assert int(again.optimizer.iterations) == 2


@pytest.mark.slow
def test_a_compiled_step_has_the_same_loss(digits, losses, tmp_path):
    recipe = _plain(**{**LEARNING, "epochs": 1}, jit_compile=True)
    training = _training(recipe, digits, tmp_path)
    assert training.model.jit_compile is True
    training.run()
    assert _history(tmp_path)[0]["loss"] == pytest.approx(losses[0], rel=1e-3)


# Gradients


def test_accumulated_batches_are_one_large_batch(digits, tmp_path):
    """With BatchNormalization frozen: its statistics are of a batch."""
    runs = []
    for batch, accumulate in ((32, 1), (8, 4)):
        recipe = _plain(
            batch_size=batch,
            accumulate=accumulate,
            momentum=0.9,
            ema=0.5,
            gradient_clip=0.1,
        )
        # Of weights only, says `check`.
        recipe = dataclasses.replace(recipe, freeze_bn=True)
        folder = tmp_path / str(batch)
        training = _training(recipe, digits, folder)
        start = _copies(training.model.weights)
        averaged = training.run().get_weights()
        weights = training.model.get_weights()
        runs.append((weights, averaged, _history(folder)[0]["loss"]))
    (weights, averaged, loss), (expected, expected_averages, expected_loss) = runs
    _assert_equal(weights, expected, atol=1e-6)
    _assert_equal(averaged, expected_averages, atol=1e-6)
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    assert _distance(weights, start) > 0.01


def test_a_clipped_step_is_as_long_as_rate_times_clip(digits, tmp_path):
    """However large the loss."""
    recipe = _plain(batch_size=64, learning_rate=0.5, gradient_clip=0.02)
    training = _training(recipe, digits, tmp_path, head=300.0)
    start = _copies(training.model.trainable_weights)
    training.run()
    assert _history(tmp_path)[0]["loss"] > 100
    moved = _distance(_copies(training.model.trainable_weights), start)
    assert moved == pytest.approx(0.5 * 0.02, rel=1e-2)


def test_rare_classes_weigh_more_in_the_loss(digits, tmp_path):
    source = open_source("digits")
    kept = [
        *np.flatnonzero(source.labels == 3)[:30],
        *np.flatnonzero(source.labels == 7)[:8],
        *np.flatnonzero(source.labels == 1)[:2],
    ]
    source = source.subset("unbalanced", np.isin(np.arange(source.count), kept))
    recipe = _plain(class_weights=True, batch_size=32, learning_rate=1e-6)
    training = _training(recipe, (source, digits[1]), tmp_path)
    batches = pipeline.TrainingBatches(
        source, recipe, stages(recipe)[0], training.preprocessing
    )
    (images, labels), *others = batches.epoch(0)
    assert not others
    logits = np.array(training.model(images, training=True), "float64")
    truth = labels.numpy().argmax(axis=1)
    own = logits[np.arange(32), truth]
    losses = np.log(np.exp(logits).sum(axis=1)) - own
    weights = 40 / 3 / np.select([truth == 3, truth == 7, truth == 1], [30, 8, 2])
    training.run()
    (row,) = _history(tmp_path)
    assert row["loss"] == pytest.approx((weights * losses).mean(), rel=1e-4)
    assert row["loss"] != pytest.approx(losses.mean(), rel=0.05)
    assert row["accuracy"] == pytest.approx((logits.argmax(axis=1) == truth).mean())


# The end


def test_early_stopping_keeps_the_best_epoch(digits, tmp_path, monkeypatch):
    """Two epochs after the best, which an equal one doesn't better; interrupted
    between them."""
    accuracies = (0.1, 0.6, 0.3, 0.6, 0.9, 0.9)
    recipe = _plain(epochs=6, early_stopping=2, ema=0.5, checkpoint_steps=1)
    weights, lines = {}, []

    def run():
        training = _training(recipe, digits, tmp_path, progress=lines.append)

        def evaluate(*args, **kwargs):
            epoch = training.state.epoch
            weights[epoch + 1] = training.model.get_weights()
            return {"accuracy": accuracies[epoch], "loss": 1.0}

        training.model.evaluate = evaluate
        training.run()

    def stop(training):
        if training.state.global_step == 10:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        _after_each_step(patch, stop)
        with pytest.raises(KeyboardInterrupt):
            run()
    assert list(weights) == [1, 2]
    run()
    assert list(weights) == [1, 2, 3, 4]
    assert len(_history(tmp_path)) == 4
    model = saving.load_model(tmp_path / "model.keras")
    _assert_equal(model.get_weights(), weights[2])
    assert not np.array_equal(weights[2][0], weights[3][0])
    ended = [
        "stopped early, after 4 of 6 epochs: 2 in a row were no better",
        "kept: the weights after epoch 2, the best, validation 60.0%",
    ]
    assert lines[-2:] == ended
    run()
    assert lines[-3:] == ["Going on after 4 epochs and 0 batches", *ended]
    _assert_equal(saving.load_model(tmp_path / "model.keras").get_weights(), weights[2])


@pytest.mark.filterwarnings("ignore:.*encountered in")
def test_a_loss_that_is_no_number_is_told_by_batch_and_epoch(
    digits, tmp_path, monkeypatch
):
    saved = []

    def poison(training):
        if training.state.global_step == 5:
            saved.extend(training.model.get_weights())
            bias = training.model.get_layer("predictions").bias
            bias.assign(np.full(bias.shape, np.nan))

    _after_each_step(monkeypatch, poison)
    training = _training(_plain(epochs=2, checkpoint_steps=5), digits, tmp_path)
    with pytest.raises(InputError, match=r"after batch 2 of epoch 2.*loss=nan"):
        training.run()
    arrays, state = _last(tmp_path)
    assert state["global_step"] == 5
    _assert_equal(arrays["model"], saved)
    assert not (tmp_path / "model.keras").exists()


@pytest.mark.filterwarnings("ignore:.*encountered in")
@pytest.mark.parametrize("steps", [1, None])
def test_weights_that_are_no_numbers_are_not_kept(digits, steps, tmp_path):
    """The loss of the step that made them is a number still."""
    recipe = _plain(batch_size=64, learning_rate=3e38, checkpoint_steps=steps)
    training = _training(recipe, digits, tmp_path, head=30.0)
    with pytest.raises(InputError, match=r"no finite number.*after batch 1 of epoch 1"):
        training.run()
    assert not checkpoint.checkpoints(tmp_path / "checkpoints")
    assert not (tmp_path / "model.keras").exists()


# A full disk


class _Disk:
    """A disk of a megabyte where one can be mounted, else a limit to every file."""

    def __init__(self, path):
        self.path = path
        path.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)]
        self.mounted = (
            shutil.which("mount") is not None
            and subprocess.run(mount, capture_output=True).returncode == 0
        )
        self._limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self, room):
        """Leaves that many bytes."""
        if self.mounted:
            disk = os.statvfs(self.path)
            size = disk.f_bavail * disk.f_frsize - room
            (self.path / "filler").write_bytes(bytes(size))
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, self._limits[1]))

    def clear(self):
        resource.setrlimit(resource.RLIMIT_FSIZE, self._limits)
        (self.path / "filler").unlink(missing_ok=True)

    def close(self):
        self.clear()
        if self.mounted:
            subprocess.run(["umount", "--lazy", str(self.path)], check=True)


@pytest.fixture
def disk(tmp_path):
    disk = _Disk(tmp_path / "disk")
    yield disk
    disk.close()


FULL = r"^The output can't be written: (No space left on device|File too large)\. .*"


def _unfinished(folder):
    return list(folder.rglob(".writing-*"))


def test_a_run_goes_on_when_the_full_disk_has_room_again(digits, disk, monkeypatch):
    folder = disk.path / "run"
    recipe = _plain(checkpoint_steps=2)
    saved, lines = [], []

    def fill(training):
        if training.state.global_step == 2:
            saved.extend(training.model.get_weights())
            (path,) = checkpoint.checkpoints(folder / "checkpoints")
            disk.fill(path.stat().st_size // 2)

    with monkeypatch.context() as patch:
        _after_each_step(patch, fill)
        with pytest.raises(InputError, match=FULL + r"step-0000000004\.npz'$"):
            _training(recipe, digits, folder).run()
    assert not _unfinished(folder)
    arrays, state = _last(folder)
    assert state["global_step"] == 2
    _assert_equal(arrays["model"], saved)
    disk.clear()
    # What a killed writer leaves.
    for place in (".", "checkpoints", "tensorboard"):
        (folder / place).mkdir(exist_ok=True)
        (folder / place / ".writing-half").write_text("half")
    _training(recipe, digits, folder, progress=lines.append).run()
    assert lines[0] == "Going on after 0 epochs and 2 batches"
    assert _last(folder)[1]["global_step"] == 4
    assert saving.load_model(folder / "model.keras").count_params()
    assert not _unfinished(folder)


def _rows(count):
    return [{"epoch": epoch, "loss": 0.5} for epoch in range(count)]


@pytest.mark.parametrize(
    ("name", "room"),
    [
        ("best.npz", 4096),
        ("history.csv", 4096),
        ("tensorboard/events.out.tfevents.0.run", 4096),
        ("model.keras", 65536),
    ],
)
def test_a_full_disk_leaves_the_file_that_was_there(digits, disk, name, room):
    recipe = _plain()
    model, preprocessing = networks.training_model(recipe, digits[0])
    folder = RunFolder(disk.path, recipe, *digits)

    def write(size):
        if name == "best.npz":
            folder.write_best(model.get_weights()[: 40 * size - 35])
        elif name == "model.keras":
            final = networks.final_model(recipe, digits[0], model, preprocessing)
            final.save(folder.path / "model.keras")
        else:
            # A hundred rows are more than a page as events, not as text.
            folder.write_history(_rows(100 * size if "events" in name else 999 * size))

    write(1)
    before = (disk.path / name).read_bytes()
    assert before
    disk.fill(room)
    with pytest.raises(InputError, match=FULL + f"{name}'$"):
        write(2)
    assert (disk.path / name).read_bytes() == before
    assert not _unfinished(disk.path)
    disk.clear()
    write(2)
    assert (disk.path / name).read_bytes() != before


# Data that can't be learned


def _digits_beyond_nine(root):
    for split, classes in (("train", 10), ("t10k", 11)):
        write_idx(root / f"{split}-images-idx3-ubyte", np.zeros((22, 28, 28)))
        write_idx(root / f"{split}-labels-idx1-ubyte", np.arange(22) % classes)


def _records_beyond_the_classes(root):
    (root / "classes.json").write_text('{"classes": ["a", "b"]}')
    write_foreign(root / "x.tfrecord", [foreign(label) for label in (0, 1, 2)])


def _other_classes_to_validate(root):
    write_classes(root / "train", a=2, b=2)
    write_classes(root / "validation", a=1, c=1)


def _one_class(root):
    write_classes(root, only=9)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (_digits_beyond_nine, "0 to 9. Received: label 10"),
        (_records_beyond_the_classes, "are 0 to 1. Received: 1 others"),
        (_other_classes_to_validate, "doesn't have: c."),
        (_one_class, "at least two classes"),
    ],
)
def test_data_that_cannot_be_learned(command, make, match, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    make(data)
    before = sorted(data.rglob("*"))
    code, out, errors = command(
        "train", data, "--recipe", "digits", "--output", tmp_path / "run"
    )
    assert (code, out, len(errors)) == (1, "", 1)
    assert errors[0].startswith("keras-effnet: error: ")
    assert match in errors[0]
    assert list(tmp_path.iterdir()) == [data]
    assert sorted(data.rglob("*")) == before


def _no_constant(name):
    raise ValueError(name)


def test_a_class_of_one_image_that_is_learned_from(command, tmp_path):
    data = write_classes(tmp_path / "data", many=20, few=1)
    name = next(f"{i}.jpg" for i in range(99) if hash_place(f"{i}.jpg") >= 0.2)
    (data / "few" / "few_000.jpg").rename(data / "few" / name)
    settings = {
        "width": 0.25,
        "channels": 3,
        "epochs": 1,
        "warmup_epochs": 0,
        "image_size": 24,
        "eval_image_size": 24,
        "class_weights": "true",
    }
    options = [f"--set={field}={value}" for field, value in settings.items()]
    folder = tmp_path / "run"
    arguments = ["train", data, "--recipe", "digits", "--model", "EfficientNetB0"]
    code, _, errors = command(*arguments, "--output", folder, *options)
    assert code == 0, errors
    text = (folder / "evaluation.json").read_text()
    evaluation = json.loads(text, parse_constant=_no_constant)
    count = sum(hash_place(f"many_{i:03d}.jpg") < 0.2 for i in range(20))
    assert evaluation["images"] == count
    # It knows by heart which those were; the run's folder means them, too.
    for photographs in (data, folder):
        code, out, _ = command("evaluate", folder / "model.keras", photographs)
        assert code == 0
        assert f" of {count} held-out images" in out


def test_too_large_a_batch_is_said(digits, tmp_path, monkeypatch):
    training = loop.Training(_recipe(), *digits, tmp_path, bars=False)

    def fit(*arguments, **options):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")

    monkeypatch.setattr(training.model, "fit", fit)
    with pytest.raises(
        InputError, match=r"smaller batch_size.*Received: batch_size=\d+"
    ):
        training.run()
