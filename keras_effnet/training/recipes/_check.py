"""What a recipe may say."""

import dataclasses

from keras_effnet.data import AUGMENTATIONS
from keras_effnet.errors import InputError
from keras_effnet.errors import suggest
from keras_effnet.specs import get_spec
from keras_effnet.training.recipes import _fields

_CHOICES = {
    "channels": (1, 3),
    "progression": ("linear", "automl"),
    "optimizer": ("rmsprop", "sgd", "adam", "adamw"),
    "schedule": ("exponential", "cosine", "constant"),
    "loss": ("softmax", "sigmoid"),
    "augmentation": AUGMENTATIONS,
    "mixed_precision": ("float32", "mixed_float16", "mixed_bfloat16"),
}
# In the notation of intervals; of a pair, both values.
_INTERVALS = {
    "width": "(0, inf)",
    "depth": "(0, inf)",
    "epochs": "[1, inf)",
    "stages": "[1, inf)",
    "image_size": "[8, inf)",
    "eval_image_size": "[8, inf)",
    "batch_size": "[1, inf)",
    "learning_rate": "(0, inf)",
    "learning_rate_batch": "[1, inf)",
    "warmup_epochs": "[0, inf)",
    "decay_rate": "(0, 1]",
    "decay_epochs": "(0, inf)",
    "momentum": "[0, 1)",
    "rho": "[0, 1)",
    "epsilon": "(0, inf)",
    "weight_decay": "[0, inf)",
    "ema": "[0, 1)",
    "label_smoothing": "[0, 1)",
    "gradient_clip": "(0, inf)",
    "accumulate": "[1, inf)",
    "crop_area": "(0, 1]",
    "randaugment_layers": "[0, inf)",
    "randaugment_magnitude": "[0, 30]",
    "mixup_alpha": "[0, inf)",
    "cutmix_alpha": "[0, inf)",
    "cutout": "[0, inf)",
    "colour": "[0, 1]",
    "dropout_rate": "[0, 1)",
    "drop_connect_rate": "[0, 1)",
    "bn_momentum": "[0, 1)",
    "head_epochs": "[0, inf)",
    "head_learning_rate": "(0, inf)",
    "early_stopping": "[1, inf)",
    "validation": "(0, 1)",
    "seed": "[0, 4294967296)",
    "checkpoint_minutes": "(0, inf)",
    "checkpoint_steps": "[1, inf)",
}


def check(recipe):
    """The recipe, its values of the fields' very types: a list that stands for a pair
    is a tuple. An `InputError` where a field is of a wrong type or out of range, or two
    contradict each other.
    """
    typed = {
        field: _fields.convert(field, getattr(recipe, field)) for field in _fields.TYPES
    }
    for field, value in typed.items():
        if value is not None:
            _check_value(field, value)
    typed["model"] = get_spec(recipe.model).name
    recipe = dataclasses.replace(recipe, **typed)
    _check_together(recipe)
    return recipe


def _check_value(field, value):
    if field in _CHOICES and value not in _CHOICES[field]:
        names = [str(choice) for choice in _CHOICES[field]]
        raise InputError(
            f"`{field}` must be one of {', '.join(names)}. {suggest(value, names)}"
            f"Received: {field}={value!r}"
        )
    if field in _INTERVALS:
        values = value if isinstance(value, tuple) else (value,)
        if not all(_inside(each, _INTERVALS[field]) for each in values):
            raise InputError(
                f"`{field}` must lie in {_INTERVALS[field]}. "
                f"Received: {field}={value!r}"
            )


def _inside(value, interval):
    low, high = (float(bound) for bound in interval[1:-1].split(","))
    above = value >= low if interval[0] == "[" else value > low
    return above and (value <= high if interval[-1] == "]" else value < high)


def _check_together(recipe):
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
