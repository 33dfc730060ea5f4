"""Progressive learning: what changes from one stage of a training to the next.

Source: Tan and Le, "EfficientNetV2: Smaller Models and Faster Training", ICML
2021, Algorithm 1; google/automl `efficientnetv2/main.py`.
"""

from keras_effnet.specs import get_spec
from keras_effnet.training.recipe import Stage

_BATCH_UNIT = 8


def stages(recipe):
    """The stages of a training, whose epochs are divided as evenly as whole epochs can
    be. Image sizes follow `recipe.progression`; every other value goes linearly from
    its first to its last, as in both sources."""
    spec = get_spec(recipe.model)
    sizes = _image_sizes(recipe, recipe.image_size or (spec.image_size,) * 2)
    starts = [number * recipe.epochs // recipe.stages for number in _numbers(recipe)]
    ends = [*starts[1:], recipe.epochs]
    ramps = {
        "randaugment_magnitude": recipe.randaugment_magnitude,
        "mixup_alpha": recipe.mixup_alpha,
        "cutmix_alpha": recipe.cutmix_alpha,
        "dropout_rate": recipe.dropout_rate or (spec.dropout_rate,) * 2,
        "drop_connect_rate": recipe.drop_connect_rate or (spec.drop_connect_rate,) * 2,
    }
    return tuple(
        Stage(
            number=number,
            first_epoch=starts[number],
            epochs=ends[number] - starts[number],
            image_size=sizes[number],
            batch_size=_batch_size(recipe, sizes[number], sizes[-1]),
            **{
                key: _between(*ends_of_ramp, _share(recipe, number))
                for key, ends_of_ramp in ramps.items()
            },
        )
        for number in _numbers(recipe)
    )


def drop_connect_rates(rate, blocks):
    """The rate of every block: `rate * i / blocks` for block i, from 0.

    Source: tensorflow/tpu `efficientnet_model.py`.
    """
    return tuple(rate * index / blocks for index in range(blocks))


def _numbers(recipe):
    return range(recipe.stages)


def _share(recipe, number):
    """0 at the first stage, 1 at the last; a single stage is the last."""
    return number / (recipe.stages - 1) if recipe.stages > 1 else 1.0


def _between(first, last, share):
    # Not first + (last - first) * share, which can miss `last` by a rounding.
    return first * (1 - share) + last * share


def _image_sizes(recipe, pair):
    first, last = pair
    if recipe.progression == "automl":
        # Truncated, and one step ahead: the released code never trains at
        # `first` itself.
        return [
            int(first + (last - first) * (number + 1) / recipe.stages)
            for number in _numbers(recipe)
        ]
    # The paper doesn't say how it rounds.
    return [
        round(_between(first, last, _share(recipe, number)))
        for number in _numbers(recipe)
    ]


def _batch_size(recipe, size, last_size):
    if not recipe.grow_batch:
        return recipe.batch_size
    # Multiples of 8 keep matrix units busy; a smaller batch has its own unit.
    unit = min(_BATCH_UNIT, recipe.batch_size)
    grown = recipe.batch_size * last_size**2 // size**2
    return max(recipe.batch_size, grown // unit * unit)
