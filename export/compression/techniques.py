"""The three ways to compress a model, each one call."""

import functools
import os
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_effnet.errors import InputError
from keras_effnet.errors import check_number
from keras_effnet.errors import check_one_of
from keras_effnet.export.compression import compressing
from keras_effnet.export.compression import post_training
from keras_effnet.export.compression import twin
from keras_effnet.export.compression.recipe import CompressionRecipe

PATTERNS = ("unstructured", "2:4", "block")
KEEPS = ("sparsity", "clusters", "both")
# The share of the steps in which zeros grow; in the rest the others make up for them.
_RAMP = 0.5


def qat(
    model: keras.Model,
    images: np.ndarray,
    *,
    labels: Sequence[int] | np.ndarray | None = None,
    keep: str | None = None,
    recipe: CompressionRecipe | None = None,
    folder: str | os.PathLike | None = None,
    progress: Callable[[str], None] | None = None,
) -> compressing.Compressed:
    """Quantisation-aware training: numbers are rounded as in an int8 file.

    It starts from calibrated ranges and learns them with the weights. Its file:
    `export(result.model, ..., "int8", ranges=result.ranges)`.

    Args:
        model: A `keras.Model` that `export` takes, flat, of stock layers. All of
            them are trained, frozen ones too.
        images: `(images, height, width, channels)`, uint8 or float32, as the model
            takes them.
        labels: The class index of each image, for a recipe whose distillation is
            below 1. Without them the float model teaches.
        keep: What an earlier `prune` or `cluster` made and this shall not lose:
            `"sparsity"`, `"clusters"`, `"both"` or `None`. Clusters are kept in
            each output channel, of which an int8 file scales each by itself.
        recipe: A `CompressionRecipe`; its defaults when `None`.
        folder: Where the training is kept, to go on after a kill.
        progress: Called with a line of text after each step; a bar counts them.

    Returns:
        `Compressed`.

    Raises:
        InputError: The model, the images or an argument can't be taken.
    """
    if keep is not None:
        check_one_of("keep", keep, KEEPS)
    compressing.check_model(model)
    _check_kept(model, keep)
    begin = functools.partial(post_training.start, model, images, rounds=keep is None)
    return compressing.compress(
        model,
        "quantize",
        images,
        {"keep": keep},
        start=begin,
        labels=labels,
        recipe=recipe,
        folder=folder,
        progress=progress,
    )


def prune(
    model: keras.Model,
    images: np.ndarray,
    *,
    sparsity: float = 0.5,
    pattern: str = "unstructured",
    **training: Any,
) -> compressing.Compressed:
    """Sets the smallest weights of convolutions and dense layers to zero.

    More and more of them, by a polynomial decay (Zhu and Gupta 2017, "To prune, or not
    to prune", section 3); depthwise convolutions and the first layer stay whole.

    Args:
        model: As `qat` takes it.
        images: As `qat` takes them.
        sparsity: The share of zeros in each kernel, above 0 and below 1.
        pattern: `"unstructured"`; `"2:4"`, two zeros among four (the sparsity is then
            half); or `"block"`, four neighbouring output channels at a time, in 1x1
            convolutions and dense layers.
        **training: `labels`, `recipe`, `folder` and `progress`, as `qat` takes them.

    Returns:
        `Compressed`.

    Raises:
        InputError: The model, the images or an argument can't be taken.
    """
    check_one_of("pattern", pattern, PATTERNS)
    share = "a share of zeros above 0 and below 1"
    check_number("sparsity", sparsity, share, lambda value: 0 < value < 1)
    if pattern == "2:4" and sparsity != 0.5:
        raise InputError(
            f"The pattern '2:4' has a sparsity of 0.5. Received: sparsity={sparsity!r}"
        )
    compressing.check_model(model)
    layers = compressing.kernels(twin.describe(model), pattern)
    if not layers:
        raise InputError(
            f"No layer of the model can be pruned. Received: pattern={pattern!r}"
        )
    options = {
        "sparsity": sparsity,
        "ramp": _RAMP,
        "pattern": pattern,
        "layers": layers,
    }
    return compressing.compress(model, "prune", images, options, **training)


def cluster(
    model: keras.Model,
    images: np.ndarray,
    *,
    clusters: int = 16,
    keep: str | None = None,
    **training: Any,
) -> compressing.Compressed:
    """Makes each kernel of a few different values, which compress well.

    Args:
        model: As `qat` takes it.
        images: As `qat` takes them.
        clusters: Values in each kernel of a convolution or dense layer, 3 to 256.
        keep: `"sparsity"` of an earlier `prune`, or `None`.
        **training: `labels`, `recipe`, `folder` and `progress`, as `qat` takes them.

    Returns:
        `Compressed`.

    Raises:
        InputError: The model, the images or an argument can't be taken.
    """
    if keep is not None:
        check_one_of("keep", keep, ("sparsity",))
    valid = "a whole number from 3 to 256"
    check_number("clusters", clusters, valid, lambda n: 3 <= n <= 256, whole=True)
    compressing.check_model(model)
    _check_kept(model, keep)
    layers = [
        name
        for name in compressing.kernels(twin.describe(model))
        if np.prod(model.get_layer(name).kernel.shape) > clusters
    ]
    if not layers:
        raise InputError(
            "No layer of the model has so many weights that it can be clustered. "
            f"Received: clusters={clusters}"
        )
    options = {"clusters": clusters, "keep": keep, "layers": layers}
    return compressing.compress(model, "cluster", images, options, **training)


def _check_kept(model: keras.Model, keep: str | None) -> None:
    """That there is something to keep; TF-MOT would not say."""
    if keep is None:
        return
    arrays, names = twin.weights(model), compressing.kernels(twin.describe(model))
    kernels = [arrays[f"{name}/0"] for name in names]
    missing = None
    if keep in ("sparsity", "both") and not any((k == 0).any() for k in kernels):
        missing = "zeros"
    if keep in ("clusters", "both") and not any(
        np.unique(kernel).size < kernel.size / 2 for kernel in kernels
    ):
        missing = "clusters"
    if missing:
        raise InputError(
            f"The model's kernels have no {missing} that could be kept: "
            f"{'prune' if missing == 'zeros' else 'cluster'} it first. "
            f"Received: keep={keep!r}"
        )
