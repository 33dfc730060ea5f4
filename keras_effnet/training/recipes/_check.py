"""What a recipe may say: values of the fields' types, in range, that go together."""

import dataclasses
import os
import types
import typing
from typing import Any

from keras_effnet.errors import InputError
from keras_effnet.errors import suggest
from keras_effnet.specs import get_spec
from keras_effnet.training.recipe import Recipe

_VALID = {
    field.name: field.metadata.get("valid") for field in dataclasses.fields(Recipe)
}
_WORDS = {
    str: "a name",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    tuple[int, int]: "two integers, first,last",
    tuple[float, float]: "two numbers, first,last",
}
_BOOLEANS = {"true": True, "false": False}


def _types() -> dict[str, tuple[Any, bool]]:
    """`{field: (type, whether None is valid)}`, without the recipe's name."""
    found = {}
    for field, hint in typing.get_type_hints(Recipe).items():
        optional = isinstance(hint, types.UnionType)
        kinds = typing.get_args(hint) if optional else (hint,)
        (kind,) = (each for each in kinds if each is not types.NoneType)
        found[field] = kind, optional
    del found["name"]
    return found


TYPES = _types()


def convert(field: str, value: Any) -> Any:
    """A value of the type of a field, from one of that type or from text that says one.

    An `InputError` where there is no such field, or the value isn't of its type.
    """
    if field not in TYPES:
        raise InputError(
            f"A recipe has no such field to change. {suggest(field, TYPES)}"
            f"The fields are: {', '.join(TYPES)}. Received: {field!r}"
        )
    kind, optional = TYPES[field]
    # Of a name that can't be absent, "none" is a value: no augmentation.
    if optional and (value is None or str(value).lower() == "none"):
        return None
    try:
        return _of_type(kind, value)
    except (ValueError, TypeError, OverflowError):
        raise _wrong(field, value) from None


def _of_type(kind: Any, value: Any) -> Any:
    if typing.get_origin(kind) is tuple:
        if isinstance(value, str):
            value = value.split(",")
        values = list(value) if isinstance(value, (list, tuple)) else [value]
        first, last = values * 2 if len(values) == 1 else values
        item = typing.get_args(kind)[0]
        return _of_type(item, first), _of_type(item, last)
    if kind is str and isinstance(value, (str, os.PathLike)) and str(value):
        return str(value)
    if kind is bool and isinstance(value, bool):
        return value
    if kind is bool and isinstance(value, str) and value.lower() in _BOOLEANS:
        return _BOOLEANS[value.lower()]
    # True and False are integers to Python, not to a reader.
    if kind in (int, float) and not isinstance(value, bool):
        number = kind(value)
        if isinstance(value, str) or number == value:
            return number
    raise ValueError


def _wrong(field: str, value: Any) -> InputError:
    kind, optional = TYPES[field]
    words = _WORDS[kind] + (" or none" if optional else "")
    return InputError(f"`{field}` must be {words}. Received: {field}={value!r}")


def check(recipe: Recipe) -> Recipe:
    """The recipe, its values of the fields' very types: a list that stands for a pair
    is a tuple. An `InputError` where a field is of a wrong type or out of range, or two
    contradict each other.
    """
    typed = {field: convert(field, getattr(recipe, field)) for field in TYPES}
    for field, value in typed.items():
        if value is not None:
            _check_value(field, value)
    typed["model"] = get_spec(recipe.model).name
    recipe = dataclasses.replace(recipe, **typed)
    _check_together(recipe)
    return recipe


def _check_value(field: str, value: Any) -> None:
    valid = _VALID[field]
    if isinstance(valid, tuple) and value not in valid:
        names = [str(choice) for choice in valid]
        raise InputError(
            f"`{field}` must be one of {', '.join(names)}. {suggest(value, names)}"
            f"Received: {field}={value!r}"
        )
    if isinstance(valid, str):
        values = value if isinstance(value, tuple) else (value,)
        if not all(_inside(each, valid) for each in values):
            raise InputError(
                f"`{field}` must lie in {valid}. Received: {field}={value!r}"
            )


def _inside(value: float, interval: str) -> bool:
    low, high = (float(bound) for bound in interval[1:-1].split(","))
    above = value >= low if interval[0] == "[" else value > low
    return above and (value <= high if interval[-1] == "]" else value < high)


def _check_together(recipe: Recipe) -> None:
    rules = (
        (
            recipe.stages > recipe.epochs,
            "There must be an epoch for each stage",
            ("stages", "epochs"),
        ),
        (
            recipe.head_epochs >= recipe.epochs,
            "`head_epochs` must leave epochs for the whole network",
            ("head_epochs", "epochs"),
        ),
        (
            recipe.warmup_epochs >= recipe.epochs - recipe.head_epochs,
            "`warmup_epochs` must end before the training does",
            ("warmup_epochs", "head_epochs", "epochs"),
        ),
        (
            recipe.freeze_bn and recipe.weights is None,
            "`freeze_bn` keeps the statistics of weights, so it needs some",
            ("freeze_bn", "weights"),
        ),
        (
            recipe.weights is not None and (recipe.width or recipe.depth),
            "Weights fit the published width and depth alone",
            ("weights", "width", "depth"),
        ),
    )
    for wrong, message, fields in rules:
        if wrong:
            values = ", ".join(f"{each}={getattr(recipe, each)!r}" for each in fields)
            raise InputError(f"{message}. Received: {values}")
