"""Compound scaling: from a base table and three numbers to real layers."""

import dataclasses
import math
from typing import Any

from keras_effnet.errors import InputError
from keras_effnet.specs import SPECS
from keras_effnet.specs import ModelSpec
from keras_effnet.specs import Stage
from keras_effnet.specs import get_spec


def round_filters(
    filters: int, width: float, divisor: int = 8, never_shrink: bool = True
) -> int:
    """Scaled channels, rounded to a multiple of `divisor`.

    Args:
        filters: Channels in the base table.
        width: Width coefficient.
        divisor: The multiple, 8 in every published network.
        never_shrink: Whether rounding down by more than 10 % is undone (V1's
            `round_filters`, tensorflow/tpu `efficientnet_model.py`; the V2
            code has no such rule, which shows in EfficientNetV2B3).

    Returns:
        An integer.
    """
    scaled = filters * width
    rounded = max(divisor, int(scaled + divisor / 2) // divisor * divisor)
    if never_shrink and rounded < 0.9 * scaled:
        rounded += divisor
    return rounded


def round_repeats(layers: int, depth: float) -> int:
    """Scaled number of blocks in a stage, rounded up."""
    return math.ceil(layers * depth)


def stem_filters(spec: ModelSpec) -> int:
    """Channels of the stem convolution after scaling."""
    return _end_filters(spec, spec.stem_filters)


def top_filters(spec: ModelSpec) -> int:
    """Channels of the last 1x1 convolution after scaling."""
    return _end_filters(spec, spec.top_filters)


def _end_filters(spec: ModelSpec, filters: int) -> int:
    if spec.fixed_ends:
        return filters
    return round_filters(filters, spec.width, never_shrink=spec.never_shrink)


def scaled_stages(spec: ModelSpec) -> tuple[Stage, ...]:
    """The table that is built: channels and layers after scaling.

    Args:
        spec: A `ModelSpec`.

    Returns:
        A tuple of `Stage`.
    """
    last = len(spec.stages) - 1
    scaled = []
    for index, stage in enumerate(spec.stages):
        keep_layers = spec.fixed_ends and index in (0, last)
        changes: dict[str, Any] = {
            "filters": round_filters(
                stage.filters, spec.width, never_shrink=spec.never_shrink
            ),
            "layers": stage.layers
            if keep_layers
            else round_repeats(stage.layers, spec.depth),
        }
        if stage.expand_from is not None:
            changes["expand_from"] = round_filters(
                stage.expand_from, spec.width, never_shrink=spec.never_shrink
            )
        scaled.append(dataclasses.replace(stage, **changes))
    return tuple(scaled)


def compound_scale(
    phi: float,
    alpha: float = 1.2,
    beta: float = 1.1,
    gamma: float = 1.15,
    base: ModelSpec = SPECS["EfficientNetB0"],
    name: str | None = None,
) -> ModelSpec:
    """Scales a base network by the formula of the EfficientNet paper.

    Depth grows by `alpha ** phi`, width by `beta ** phi`, the image by
    `gamma ** phi` (Tan and Le 2019, Equation 3); multiply-adds grow by about
    `(alpha * beta**2 * gamma**2) ** phi`, which is `2 ** phi` for the paper's
    coefficients. The published B1-B7 are rounded by hand and do not follow
    from it: take them from `keras_effnet.specs.SPECS`.

    Args:
        phi: The compound coefficient; 0 gives the base, fractions are allowed.
        alpha: Depth base, at least 1.
        beta: Width base, at least 1.
        gamma: Image size base, at least 1.
        base: The `ModelSpec` to scale.
        name: Name of the result; made from `phi` when `None`.

    Returns:
        A `ModelSpec`; `keras_effnet.build_model` builds it.

    Raises:
        InputError: `phi` is negative or a base is below 1.
    """
    if not 0 <= phi < math.inf:
        raise InputError(f"`phi` must be a number from 0 up. Received: phi={phi!r}")
    for label, value in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
        if not 1 <= value < math.inf:
            raise InputError(
                f"`{label}` must be at least 1. Received: {label}={value!r}"
            )
    name = name or f"{base.name}Phi{phi:g}".replace(".", "p")
    return dataclasses.replace(
        base,
        name=name,
        model_name=name.lower(),
        depth=base.depth * alpha**phi,
        width=base.width * beta**phi,
        image_size=round(base.image_size * gamma**phi),
    )


def scaled_spec(
    base: ModelSpec | str,
    width: float | None = None,
    depth: float | None = None,
    image_size: int | None = None,
    name: str | None = None,
) -> ModelSpec:
    """A network of any width, depth and resolution.

    Args:
        base: A `ModelSpec`, or the name of a published network.
        width: Width coefficient; the base's when `None`.
        depth: Depth coefficient; the base's when `None`.
        image_size: Pixels; the base's when `None`.
        name: Name of the result; made from the coefficients when `None`.

    Returns:
        A `ModelSpec`.

    Raises:
        InputError: A coefficient is not positive.
    """
    spec = base if isinstance(base, ModelSpec) else get_spec(base)
    changes: dict[str, Any] = {"width": width, "depth": depth, "image_size": image_size}
    changes = {label: value for label, value in changes.items() if value is not None}
    for label, value in changes.items():
        if not 0 < value < math.inf:
            raise InputError(f"`{label}` must be positive. Received: {label}={value!r}")
    suffix = "-".join(f"{label[0]}{value:g}" for label, value in changes.items())
    name = name or (f"{spec.model_name}-{suffix}" if suffix else spec.model_name)
    return dataclasses.replace(spec, name=name, model_name=name, **changes)
