"""Named recipes: what they say, what changes them, what is refused."""

import dataclasses
import importlib
import itertools
import json

import numpy as np
import pytest

from keras_effnet.errors import InputError
from keras_effnet.specs import SPECS
from keras_effnet.training.losses import build_loss
from keras_effnet.training.losses import class_weights
from keras_effnet.training.optimizers import build_optimizer
from keras_effnet.training.recipe import Recipe
from keras_effnet.training.recipes import RECIPES
from keras_effnet.training.recipes import as_json
from keras_effnet.training.recipes import check
from keras_effnet.training.recipes import from_json
from keras_effnet.training.recipes import get_recipe
from keras_effnet.training.recipes import parse_override
from keras_effnet.training.schedules import build_schedule
from keras_effnet.training.stages import stages


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_valid_and_says_what_it_costs(name):
    module = importlib.import_module(f"keras_effnet.training.recipes.{name}")
    assert check(module.RECIPE) == module.RECIPE == get_recipe(name)
    assert module.RECIPE.name == name
    for line in ("Data: ", "Cost", "Expected accuracy"):
        assert f"\n\n{line}" in module.__doc__
    assert "\nCommand: keras-effnet train " in module.__doc__
    assert f" --recipe {name}" in module.__doc__
    assert len(stages(module.RECIPE)) == module.RECIPE.stages
    schedule = build_schedule(module.RECIPE, 10)
    assert schedule.total_epochs == module.RECIPE.epochs
    build_optimizer(module.RECIPE, schedule)
    build_loss(module.RECIPE)


_V2 = [name for name, spec in SPECS.items() if spec.family == "v2"]
_ALLOWED = {
    "v1_paper": [name for name in SPECS if name not in _V2],
    "v2_paper": ["EfficientNetV2S", "EfficientNetV2M", "EfficientNetV2L"],
    "v2_automl": _V2,
    "pretrain_21k": _V2,
    "finetune_21k_1k": _V2,
}


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("model", SPECS)
def test_every_network_has_a_recipe_or_a_message(name, model):
    allowed = _ALLOWED.get(name, SPECS)
    if model in allowed:
        assert get_recipe(name, model, images=2000).model == model
    else:
        with pytest.raises(InputError, match=f"Received: model='{model}'"):
            get_recipe(name, model)


def test_published_hyperparameters():
    """EfficientNet paper, Section 5.2; EfficientNetV2 paper, Section 5.1."""
    expected = {
        "epochs": 350,
        "batch_size": 4096,
        "optimizer": "rmsprop",
        "momentum": 0.9,
        "rho": 0.9,
        "epsilon": 0.001,
        "schedule": "exponential",
        "warmup_epochs": 5,
        "decay_rate": 0.97,
        "decay_epochs": 2.4,
        "weight_decay": 1e-5,
        "ema": 0.9999,
        "label_smoothing": 0.1,
    }
    for name in ("v1_paper", "v2_paper", "v2_automl"):
        recipe = get_recipe(name)
        for field, value in expected.items():
            assert getattr(recipe, field) == value, (name, field)
        peak = recipe.learning_rate * recipe.batch_size / recipe.learning_rate_batch
        assert peak == pytest.approx(0.256)
        (rate,) = {stage.drop_connect_rate for stage in stages(recipe)}
        assert rate == 0.2
    assert get_recipe("v1_paper").augmentation == "autoaugment"
    for model, size, dropout in [
        ("EfficientNetB0", 224, 0.2),
        ("EfficientNetB4", 380, 0.4),
        ("EfficientNetB7", 600, 0.5),
    ]:
        (stage,) = stages(get_recipe("v1_paper", model))
        assert (stage.image_size, stage.dropout_rate) == (size, dropout)


def test_21k_hyperparameters():
    """google/automl `datasets.py`, `ImageNet21k` and `ImagenetFt`."""
    first = get_recipe("pretrain_21k", "EfficientNetV2M")
    assert (first.epochs, first.learning_rate, first.schedule) == (60, 0.008, "cosine")
    (stage,) = stages(first)
    assert (stage.image_size, stage.dropout_rate, stage.drop_connect_rate) == (
        224,
        0,
        0,
    )
    second = get_recipe("finetune_21k_1k", "EfficientNetV2M", images=1_281_167)
    assert (second.epochs, second.batch_size, second.ema) == (15, 512, 0.9996)
    assert (second.learning_rate, second.schedule) == (0.0005, "constant")
    assert (second.cutout, stages(second)[0].image_size) == (240, 480)
    # At least 10,000 steps: CIFAR's 50,000 images are 97.65 batches.
    assert get_recipe("finetune_21k_1k", images=50_000).epochs == 103


def test_finetune_follows_the_number_of_images():
    counts = (100, 999, 1_000, 9_999, 10_000, 99_999, 100_000, 1_000_000)
    recipes = [get_recipe("finetune", images=count) for count in counts]
    for before, after in itertools.pairwise(recipes):
        assert after.epochs <= before.epochs
        assert after.learning_rate >= before.learning_rate
        assert after.randaugment_magnitude >= before.randaugment_magnitude
        assert after.crop_area <= before.crop_area
        assert after.freeze_bn <= before.freeze_bn
    for count, recipe in zip(counts, recipes, strict=True):
        assert recipe.weights == "imagenet"
        assert 0 < recipe.head_epochs < recipe.epochs
        assert recipe.early_stopping
        assert recipe.batch_size <= count * 0.8
        assert recipe.freeze_bn == (count < 10_000)
    assert recipes[0] != recipes[-1]
    assert get_recipe("finetune") == get_recipe("finetune", images=5_000)


def test_the_classic_tutorial():
    recipe = get_recipe("mnist")
    assert (recipe.optimizer, recipe.learning_rate, recipe.momentum) == (
        "sgd",
        0.01,
        0.8,
    )
    assert (recipe.batch_size, recipe.channels, recipe.image_size) == (50, 1, (28, 28))


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("learning_rate=0.1", "learning_rate", 0.1),
        ("learning-rate = 1e-3", "learning_rate", 0.001),
        ("epochs=7", "epochs", 7),
        ("randaugment_magnitude=5,15", "randaugment_magnitude", (5.0, 15.0)),
        ("image_size=128", "image_size", (128, 128)),
        ("ema=none", "ema", None),
        ("image_size=None", "image_size", None),
        ("augmentation=none", "augmentation", "none"),
        ("freeze_bn=true", "freeze_bn", True),
        ("class_weights=False", "class_weights", False),
        ("weights=a=b.h5", "weights", "a=b.h5"),
        ("optimizer=sgd", "optimizer", "sgd"),
        ("early_stopping=3", "early_stopping", 3),
    ],
)
def test_overrides_of_a_command_line(text, field, value):
    assert parse_override(text) == (field, value)
    assert type(parse_override(text)[1]) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs", "field=value"),
        ("", "field=value"),
        ("learningrate=1", "Did you mean 'learning_rate'"),
        ("name=x", "no such field"),
        ("epochs=1.5", "`epochs` must be an integer. Received: epochs='1.5'"),
        ("epochs=none", "must be an integer. "),
        ("early_stopping=x", "must be an integer or none"),
        ("learning_rate=fast", "must be a number"),
        ("image_size=1,2,3", "two integers, first,last or none"),
        ("image_size=", "two integers"),
        ("freeze_bn=1", "true or false"),
        ("optimizer=", "must be a name"),
    ],
)
def test_overrides_that_are_refused(text, message):
    with pytest.raises(InputError) as caught:
        parse_override(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_overrides_from_python():
    recipe = get_recipe(
        "v2_paper",
        "efficientnetv2-m",
        learning_rate="0.1",
        image_size=[64, 128],
        mixup_alpha=0.3,
        epochs=8,
        warmup_epochs=1,
        ema=None,
    )
    assert recipe.model == "EfficientNetV2M"
    assert recipe.learning_rate == 0.1
    assert recipe.image_size == (64, 128)
    assert recipe.mixup_alpha == (0.3, 0.3)
    assert type(recipe.warmup_epochs) is float
    assert recipe.ema is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "`epochs` must lie in [1, inf). Received: epochs=0"),
        ({"epochs": True}, "must be an integer"),
        ({"epochs": 2.5}, "must be an integer"),
        ({"epochs": float("inf")}, "must be an integer"),
        ({"learning_rate": 0}, "(0, inf)"),
        ({"learning_rate": float("nan")}, "must be a number"),
        ({"learning_rate": float("inf")}, "(0, inf)"),
        ({"momentum": 1}, "[0, 1)"),
        ({"randaugment_magnitude": (5, 31)}, "[0, 30]"),
        ({"crop_area": 0}, "(0, 1]"),
        ({"image_size": (0, 224)}, "[8, inf)"),
        ({"channels": 2}, "one of 1, 3"),
        ({"optimizer": "rmsprob"}, "Did you mean 'rmsprop'"),
        ({"schedule": "cos"}, "one of exponential, cosine, constant"),
        ({"augmentation": "randaug"}, "Did you mean 'randaugment'"),
        ({"mixed_precision": "fp16"}, "mixed_float16"),
        ({"weights": 3}, "a name or none"),
        ({"validation": 1}, "(0, 1)"),
        ({"stages": 7, "epochs": 6}, "Received: stages=7, epochs=6"),
        ({"head_epochs": 350}, "`head_epochs` must leave epochs"),
        ({"warmup_epochs": 350}, "`warmup_epochs` must end"),
        ({"freeze_bn": True}, "Received: freeze_bn=True, weights=None"),
        ({"weights": "imagenet", "width": 0.5}, "Weights fit the published width"),
        ({"lerning_rate": 1}, "Did you mean 'learning_rate'"),
        ({"images": 0}, "`images`"),
        ({"images": "many"}, "`images`"),
        ({"model": "EfficientNetB9"}, "No network has this name"),
    ],
)
def test_impossible_recipes(changes, message):
    with pytest.raises(InputError) as caught:
        get_recipe("v1_paper", **changes)
    assert message in str(caught.value)
    assert "Received: " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("epochs", [1, 2, 3, 5, 20, 100])
@pytest.mark.parametrize("name", RECIPES)
def test_other_epochs_keep_the_phases_shares(name, epochs):
    before = get_recipe(name)
    recipe = get_recipe(name, epochs=str(epochs))
    share = epochs / before.epochs
    assert recipe.epochs == epochs
    assert abs(recipe.head_epochs - before.head_epochs * share) <= 1
    assert recipe.warmup_epochs <= before.warmup_epochs * share + 1e-9
    assert recipe.stages == min(before.stages, epochs)
    if before.early_stopping:
        assert recipe.early_stopping >= min(3, before.early_stopping)


def test_phases_that_are_given_stay_as_they_are_given():
    recipe = get_recipe("finetune", epochs=40, head_epochs=3, early_stopping=2)
    assert (recipe.head_epochs, recipe.early_stopping) == (3, 2)
    assert recipe.warmup_epochs == 2 * get_recipe("finetune").warmup_epochs
    with pytest.raises(InputError, match="`warmup_epochs` must end before"):
        get_recipe("finetune", epochs=3, warmup_epochs=5)
    with pytest.raises(InputError, match="`epochs` must lie in"):
        get_recipe("finetune", epochs=0)


def test_from_nothing_all_learns_from_the_first_epoch():
    recipe = get_recipe("finetune", weights="none")
    assert (recipe.weights, recipe.freeze_bn, recipe.head_epochs) == (None, False, 0)
    with pytest.raises(InputError, match="`freeze_bn` keeps the statistics"):
        get_recipe("finetune", weights=None, freeze_bn=True)


def test_unknown_recipe():
    with pytest.raises(InputError, match=r"Did you mean 'flowers'.*Received: 'flower'"):
        get_recipe("flower")


@pytest.mark.parametrize("name", RECIPES)
def test_json_there_and_back(name):
    recipe = get_recipe(name)
    assert from_json(json.loads(json.dumps(as_json(recipe)))) == recipe


def test_json_that_is_refused():
    values = as_json(get_recipe("mnist"))
    with pytest.raises(InputError, match="no such field"):
        from_json({**values, "colour_of_the_sky": 1})
    with pytest.raises(InputError, match="no model"):
        from_json({"name": "x", "epochs": 3})
    assert from_json({"name": "x", "model": "efficientnet-lite0", "epochs": 3})


def test_every_field_is_described():
    described = Recipe.__doc__
    for field in dataclasses.fields(Recipe):
        assert f"\n        {field.name}: " in described


def test_class_weights_by_hand():
    labels = np.array([0] * 6 + [1] * 3 + [2])
    weights = class_weights(labels, 3)
    np.testing.assert_allclose(weights, [10 / 18, 10 / 9, 10 / 3], rtol=1e-6)
    assert weights[labels].mean() == pytest.approx(1)
    assert weights.dtype == "float32"
    # Each class weighs the same in all.
    np.testing.assert_allclose(np.bincount(labels) * weights, 10 / 3, rtol=1e-6)
    np.testing.assert_allclose(class_weights([1, 0, 2], 3), 1)


def test_class_weights_of_a_class_without_images():
    labels = np.array([0, 0, 0, 2])
    weights = class_weights(labels, 3)
    np.testing.assert_allclose(weights, [4 / 6, 0, 2], rtol=1e-6)
    assert weights[labels].mean() == pytest.approx(1)


@pytest.mark.parametrize("labels", [[], [0, 3], [-1, 0]])
def test_class_weights_of_impossible_labels(labels):
    with pytest.raises(InputError, match="Received: "):
        class_weights(np.array(labels, "int64"), 3)


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
@pytest.mark.parametrize("from_logits", [True, False])
def test_losses_are_tensorflow_1_s(loss, from_logits):
    import tensorflow as tf

    random = np.random.default_rng(0)
    logits = random.normal(size=(6, 4)).astype("float32")
    labels = np.eye(4, dtype="float32")[[0, 1, 2, 3, 0, 1]]
    labels = 0.7 * labels + 0.3 * labels[::-1]
    official = {
        "softmax": tf.compat.v1.losses.softmax_cross_entropy,
        "sigmoid": tf.compat.v1.losses.sigmoid_cross_entropy,
    }[loss](labels, logits, label_smoothing=0.1)
    activation = {"softmax": tf.nn.softmax, "sigmoid": tf.nn.sigmoid}[loss]
    outputs = logits if from_logits else activation(logits)
    recipe = get_recipe("mnist", loss=loss, label_smoothing=0.1)
    actual = build_loss(recipe, from_logits)(labels, outputs)
    assert float(actual) == pytest.approx(float(official), rel=1e-5)


def test_unknown_loss():
    recipe = dataclasses.replace(get_recipe("mnist"), loss="hinge")
    with pytest.raises(InputError, match="Received: loss='hinge'"):
        build_loss(recipe)
