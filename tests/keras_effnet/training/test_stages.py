"""Progressive stages against the published tables, typed here."""

import dataclasses
import itertools

import pytest

from keras_effnet.training.recipe import Recipe
from keras_effnet.training.recipes import get_recipe
from keras_effnet.training.stages import drop_connect_rates
from keras_effnet.training.stages import stages


def column(recipe, field):
    return [getattr(stage, field) for stage in stages(recipe)]


# EfficientNetV2 paper, Table 6 and Algorithm 1.
PAPER = {
    "EfficientNetV2S": {
        "image_size": [128, 185, 243, 300],
        "randaugment_magnitude": [5, 8.3333, 11.6667, 15],
        "mixup_alpha": [0, 0, 0, 0],
        "cutmix_alpha": [0, 0, 0, 0],
        "dropout_rate": [0.1, 0.16667, 0.23333, 0.3],
        "drop_connect_rate": [0.2, 0.2, 0.2, 0.2],
    },
    "EfficientNetV2M": {
        "image_size": [128, 212, 296, 380],
        "randaugment_magnitude": [5, 10, 15, 20],
        "mixup_alpha": [0, 0.06667, 0.13333, 0.2],
        "cutmix_alpha": [0, 0, 0, 0],
        "dropout_rate": [0.1, 0.2, 0.3, 0.4],
        "drop_connect_rate": [0.2, 0.2, 0.2, 0.2],
    },
    "EfficientNetV2L": {
        "image_size": [128, 212, 296, 380],
        "randaugment_magnitude": [5, 11.6667, 18.3333, 25],
        "mixup_alpha": [0, 0.16667, 0.33333, 0.5],
        "cutmix_alpha": [0, 0, 0, 0],
        "dropout_rate": [0.1, 0.23333, 0.36667, 0.5],
        "drop_connect_rate": [0.2, 0.2, 0.2, 0.2],
    },
}
# google/automl, what main.py computes.
AUTOML = {
    "EfficientNetV2S": {
        "image_size": [171, 214, 257, 300],
        "randaugment_magnitude": [5, 6.6667, 8.3333, 10],
        "mixup_alpha": [0, 0, 0, 0],
        "cutmix_alpha": [0, 0, 0, 0],
        "dropout_rate": [0.2, 0.2, 0.2, 0.2],
    },
    "EfficientNetV2M": {
        "image_size": [192, 256, 320, 384],
        "randaugment_magnitude": [5, 8.3333, 11.6667, 15],
        "mixup_alpha": [0, 0.06667, 0.13333, 0.2],
        "cutmix_alpha": [0, 0.06667, 0.13333, 0.2],
        "dropout_rate": [0.3, 0.3, 0.3, 0.3],
    },
    "EfficientNetV2L": {
        "image_size": [192, 256, 320, 384],
        "randaugment_magnitude": [5, 10, 15, 20],
        "mixup_alpha": [0, 0.16667, 0.33333, 0.5],
        "cutmix_alpha": [0, 0.16667, 0.33333, 0.5],
        "dropout_rate": [0.4, 0.4, 0.4, 0.4],
    },
    "EfficientNetV2B0": {
        "image_size": [144, 160, 176, 192],
        "randaugment_magnitude": [0, 0, 0, 0],
        "mixup_alpha": [0, 0, 0, 0],
    },
    "EfficientNetV2B3": {"image_size": [156, 184, 212, 240]},
}


@pytest.mark.parametrize(
    ("name", "model", "table"),
    [("v2_paper", model, table) for model, table in PAPER.items()]
    + [("v2_automl", model, table) for model, table in AUTOML.items()],
)
def test_published_tables(name, model, table):
    recipe = get_recipe(name, model)
    for field, expected in table.items():
        assert column(recipe, field) == pytest.approx(expected, abs=1e-4), field
    assert column(recipe, "epochs") == [87, 88, 87, 88]
    assert column(recipe, "first_epoch") == [0, 87, 175, 262]
    assert column(recipe, "batch_size") == [4096] * 4


def test_the_last_stage_is_exactly_the_last_value():
    last = stages(get_recipe("v2_paper", "EfficientNetV2L"))[-1]
    assert (last.mixup_alpha, last.dropout_rate, last.image_size) == (0.5, 0.5, 380)


@pytest.mark.parametrize("progression", ["linear", "automl"])
def test_one_stage_is_the_last_and_has_the_network_s_own_values(progression):
    recipe = Recipe(name="x", model="EfficientNetB4", epochs=7, progression=progression)
    (stage,) = stages(recipe)
    assert (stage.number, stage.first_epoch, stage.epochs) == (0, 0, 7)
    assert stage.image_size == 380
    assert (stage.dropout_rate, stage.drop_connect_rate) == (0.4, 0.2)
    (stage,) = stages(dataclasses.replace(recipe, image_size=(100, 200)))
    assert stage.image_size == 200


@pytest.mark.parametrize(("epochs", "count"), [(10, 3), (3, 3), (350, 7), (5, 4)])
def test_epochs_are_shared_evenly_without_a_gap(epochs, count):
    plan = stages(Recipe("x", "EfficientNetB0", epochs=epochs, stages=count))
    assert [stage.number for stage in plan] == list(range(count))
    assert sum(stage.epochs for stage in plan) == epochs
    assert {stage.epochs for stage in plan} <= {epochs // count, -(-epochs // count)}
    for before, after in itertools.pairwise(plan):
        assert after.first_epoch == before.first_epoch + before.epochs


def test_batches_grow_as_images_shrink():
    recipe = get_recipe("v2_automl", grow_batch=True, batch_size=32)
    # 32 * (300 / 171)**2 = 98.5, 62.9, 43.6
    assert column(recipe, "batch_size") == [96, 56, 40, 32]
    # A batch below 8 grows in multiples of itself: 3 * 3.08 = 9.2, 5.9, 4.1
    recipe = get_recipe("v2_automl", grow_batch=True, batch_size=3)
    assert column(recipe, "batch_size") == [9, 3, 3, 3]


def test_batches_never_shrink():
    recipe = Recipe(
        "x",
        "EfficientNetB0",
        epochs=2,
        stages=2,
        image_size=(224, 128),
        grow_batch=True,
        batch_size=30,
    )
    assert column(recipe, "batch_size") == [30, 30]


def test_drop_connect_grows_linearly_over_the_blocks():
    rates = drop_connect_rates(0.2, 16)
    assert rates[0] == 0
    assert rates[8] == pytest.approx(0.1)
    assert rates[15] == pytest.approx(0.1875)
    assert len(rates) == 16
