"""The named recipes: one file each, and what changes them."""

import dataclasses
import importlib
import math
from typing import Any

from keras_effnet import lazy
from keras_effnet.errors import InputError
from keras_effnet.errors import suggest
from keras_effnet.specs import get_spec
from keras_effnet.training.recipe import Recipe
from keras_effnet.training.recipes._check import check
from keras_effnet.training.recipes._check import convert

RECIPES = (
    "finetune",
    "flowers",
    "mnist",
    "digits",
    "v1_paper",
    "v2_paper",
    "v2_automl",
    "pretrain_21k",
    "finetune_21k_1k",
)

__all__ = ["RECIPES", "as_json", "check", "from_json", "get_recipe", "parse_override"]

__getattr__ = lazy.modules(__name__)


def get_recipe(
    name: str, model: str | None = None, images: int | None = None, **overrides: Any
) -> Recipe:
    """A named recipe, with changes.

    Args:
        name: One of `RECIPES`.
        model: The network's name; the recipe's own when `None`.
        images: The number of training images, which `finetune` and
            `finetune_21k_1k` depend on; `None` where it isn't known.
        **overrides: Fields of `Recipe` other than `name` and `model`. A value
            may be text, as on a command line: `"0.1"`, `"5,15"` for a pair,
            `"none"`, `"true"`; one number stands for a pair of equals. With other
            `epochs` the phases (head, warm-up, the wait for a better epoch) keep their
            shares of them; without `weights` all learns from the first epoch. What is
            given besides stays as it is given.

    Returns:
        A checked `Recipe`.

    Raises:
        InputError: No recipe or field has this name, or a value is impossible.
    """
    if name not in RECIPES:
        raise InputError(
            f"No recipe has this name. {suggest(name, RECIPES)}"
            f"The recipes are: {', '.join(RECIPES)}. Received: {name!r}"
        )
    if images is not None and (type(images) is not int or images < 1):
        raise InputError(
            "`images`, the number of training images, must be a positive integer. "
            f"Received: images={images!r}"
        )
    module = importlib.import_module(f"{__name__}.{name}")
    model = get_spec(model).name if model else module.RECIPE.model
    recipe = module.recipe(model, images)
    values = {field: convert(field, value) for field, value in overrides.items()}
    adapted = check(recipe)
    if "epochs" in values:
        adapted = _of_epochs(adapted, values["epochs"])
    if "weights" in values and values["weights"] is None and recipe.weights:
        # Nothing to keep, and no features that a new classifier could spoil. Few steps
        # leave BatchNormalization's statistics far behind with the published momentum.
        adapted = dataclasses.replace(
            adapted, freeze_bn=False, head_epochs=0, bn_momentum=0.9
        )
    return check(dataclasses.replace(adapted, **values))


def _of_epochs(recipe: Recipe, epochs: int) -> Recipe:
    """The recipe with other epochs, whose phases keep their shares of them."""
    share = epochs / recipe.epochs
    if not 0 < share < math.inf:
        return recipe  # `check` refuses it
    head = recipe.head_epochs and min(max(1, round(recipe.head_epochs * share)), epochs)
    patience = recipe.early_stopping
    return dataclasses.replace(
        recipe,
        stages=min(recipe.stages, epochs),
        head_epochs=min(head, epochs - 1),
        warmup_epochs=min(recipe.warmup_epochs * share, (epochs - head) / 2),
        early_stopping=patience and max(min(3, patience), round(patience * share)),
    )


def parse_override(text: str) -> tuple[str, Any]:
    """One override of a command line.

    Args:
        text: `"learning_rate=0.1"`.

    Returns:
        `(field, value)`, for `get_recipe(..., **{field: value})`.

    Raises:
        InputError: There is no such field, or the value isn't of its type.
    """
    field, equals, value = text.partition("=")
    if not equals:
        raise InputError(
            f"An override is written as field=value, learning_rate=0.1. "
            f"Received: {text!r}"
        )
    field = field.strip().replace("-", "_")
    return field, convert(field, value.strip())


def as_json(recipe: Recipe) -> dict[str, Any]:
    """A `Recipe` as a dict of JSON's types; pairs become lists."""
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in dataclasses.asdict(recipe).items()
    }


def from_json(values: dict[str, Any]) -> Recipe:
    """The checked `Recipe` of which `as_json` made a dict.

    Args:
        values: The dict; fields that are absent have their defaults.

    Raises:
        InputError: A field is unknown or impossible, or the name, the model or
            the number of epochs is missing.
    """
    absent = [key for key in ("name", "model", "epochs") if key not in values]
    if absent:
        raise InputError(
            f"A recipe needs a name, a model and epochs. Received: no {absent[0]}"
        )
    values = dict(values)
    name = values.pop("name")
    typed = {field: convert(field, value) for field, value in values.items()}
    return check(Recipe(name=str(name), **typed))
