"""The plan for ImageNet-21k: its formulas against the code."""

import dataclasses
import importlib
import json
import pathlib

import keras
import numpy as np
import pytest

from keras_effnet.costs import spec_costs
from keras_effnet.models import build_model
from keras_effnet.specs import get_spec
from keras_effnet.training import checkpoint
from keras_effnet.training.ema import EMA
from keras_effnet.training.optimizers import build_optimizer
from keras_effnet.training.recipes import pretrain_21k

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLASSES = 7


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "docs")
        yield importlib.import_module("plan_21k")


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_a_ring_that_adds_up_sends_as_much(script, count):
    """Played through: a round of sums, a round of copies."""
    arrays = np.random.default_rng(0).integers(0, 9, (count, 8 * count, 5))
    total = arrays.sum(0)
    parts = np.stack(np.split(arrays, count, axis=1), axis=1)
    sent = np.zeros(count)
    for turn in range(2 * (count - 1)):
        before = parts.copy()
        for each in range(count):
            part, to = (each - turn) % count, (each + 1) % count
            adds = turn < count - 1
            received = before[each, part]
            parts[to, part] = received + (before[to, part] if adds else 0)
            sent[each] += received.nbytes
    for each in parts:
        np.testing.assert_array_equal(np.concatenate(each), total)
    np.testing.assert_allclose(sent, script.ring_bytes(total.nbytes, count))


def test_a_checkpoint_is_as_large_as_planned(script, tmp_path):
    small = dataclasses.replace(
        get_spec("EfficientNetV2B0"), stages=get_spec("EfficientNetV2B0").stages[:2]
    )
    recipe = pretrain_21k.recipe()
    model = build_model(small, classes=CLASSES, input_shape=(32, 32, 3))
    optimizer = build_optimizer(recipe, keras.optimizers.schedules.CosineDecay(0.1, 9))
    optimizer.build(model.trainable_variables)
    arrays = {
        "model": model.variables,
        "optimizer": optimizer.variables,
        "metrics": [],
        "ema": EMA(model, recipe.ema).state(),
    }
    path = checkpoint.save(tmp_path, arrays, {"global_step": 1})
    planned = script.checkpoint_bytes(small, CLASSES)
    large = [a for group in arrays.values() for a in group if np.ndim(a)]
    weights = [a for a in large if "float" in str(a.dtype)]
    assert sum(4 * np.size(a) for a in weights) == planned
    count = sum(map(len, arrays.values()))
    assert planned < path.stat().st_size < planned + 1000 * (count + 1)


def test_what_a_step_asks(script):
    found = script.plan("EfficientNetV2S", 1000.0, 64)
    assert found["compute_seconds"] == 64 / 1000
    assert found["step_seconds"]["hidden"] == 64 / 1000
    assert found["images_per_second"] == pytest.approx(64_000)
    costs = spec_costs(get_spec("EfficientNetV2S"), classes=21_843)
    seconds = 2 * 63 / 64 * 4 * costs.total_parameters / 50e9
    assert found["all_reduce_seconds"] == pytest.approx(seconds)
    assert found["steps"] == 60 * 3105
    hours = 186_300 * (64 / 1000 + seconds) / 3600
    assert found["hours"]["not hidden"] == pytest.approx(hours)
    assert found["accelerator_hours"]["not hidden"] == pytest.approx(64 * hours)
    assert found["input_bytes_per_second"] == pytest.approx(64_000 * 1.31e12 / 14197122)


def test_the_slower_of_two_decides(script):
    fast = script.plan("EfficientNetV2L", 1e9, 64)
    assert fast["step_seconds"]["hidden"] == fast["all_reduce_seconds"]
    one_machine = script.all_reduce("EfficientNetV2L", 8)
    assert one_machine["seconds"] == one_machine["sent_bytes"] / 450e9
    alone = script.plan("EfficientNetV2L", 100.0, 1)
    assert alone["all_reduce_seconds"] == 0
    assert len(set(alone["hours"].values())) == 1


def test_limits_are_where_two_times_are_equal(script):
    limit = script.limits("EfficientNetV2M")
    at = script.plan("EfficientNetV2M", limit["sum of the gradients"])
    assert at["compute_seconds"] == pytest.approx(at["all_reduce_seconds"])
    slow = min(limit["cores, with RandAugment"], limit["sum of the gradients"])
    at = script.plan("EfficientNetV2M", slow)
    assert at["step_seconds"]["own cores"] == pytest.approx(at["compute_seconds"])
    assert at["cores"]["augmenting"] == pytest.approx(64 / 8 * 128)


def test_the_command_prints_a_plan(script, capsys):
    arguments = "--model", "EfficientNetV2M", "--rate", "500", "--accelerators", "8"
    assert script.main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    expected = script.plan("EfficientNetV2M", 500.0, 8)
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("arguments", "received"),
    [
        (("--rate", "0"), "0.0"),
        (("--rate", "nan"), "nan"),
        (("--accelerators", "63"), "63"),
        (("--accelerators", "0"), "0"),
        (("--model", "EfficientNetB0"), "model='EfficientNetB0'"),
        (("--model", ""), "''"),
    ],
)
def test_bad_input_is_one_line(script, capsys, arguments, received):
    assert script.main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("plan_21k: error: ")
    assert line.endswith(f"Received: {received}")
