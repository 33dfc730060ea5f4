"""Which preprocessing rule belongs to which weights, and its place in a graph."""

import os
from typing import TYPE_CHECKING

from keras_effnet import saving
from keras_effnet.errors import InputError
from keras_effnet.rule import INTERPOLATIONS
from keras_effnet.rule import NORMALIZATIONS
from keras_effnet.rule import Preprocessing
from keras_effnet.rule import at_size
from keras_effnet.specs import ModelSpec
from keras_effnet.specs import get_spec
from keras_effnet.weights import table

if TYPE_CHECKING:
    import keras

__all__ = [
    "INTERPOLATIONS",
    "NORMALIZATIONS",
    "Preprocessing",
    "at_size",
    "for_name",
    "for_spec",
    "for_weights",
    "normalize",
]


def for_spec(spec: ModelSpec, image_size: int | None = None) -> Preprocessing:
    """The preprocessing of a network's published ImageNet weights.

    Args:
        spec: A `keras_effnet.specs.ModelSpec`.
        image_size: Pixels at evaluation; the network's own when `None`.

    Returns:
        A `Preprocessing`.
    """
    mean, std = NORMALIZATIONS[spec.normalization]
    bilinear = spec.family == "lite" or spec.normalization == "128"
    rule = Preprocessing(mean, std, "bilinear" if bilinear else "bicubic")
    return at_size(rule, image_size or spec.image_size)


def for_weights(
    model: "keras.Model | str | os.PathLike",
    weights: str | None = None,
    image_size: int | None = None,
) -> Preprocessing:
    """The preprocessing that belongs to a set of weights, or to a model.

    Args:
        model: A network's name, a `keras.Model`, or the path of a `.keras` file.
        weights: A published set, `"noisy-student"`; with `None`, what the model
            or the file was given, or the ImageNet weights of the network.
        image_size: Pixels at evaluation; the set's own when `None`.

    Returns:
        A `Preprocessing`.

    Raises:
        InputError: There is no such network, set or file, or the model carries
            no preprocessing.
    """
    if weights is not None:
        name = get_spec(str(getattr(model, "name", model))).name
        found = table.find(name, weights)[0]
        return at_size(found.preprocessing, image_size or found.image_size)
    if isinstance(model, str | os.PathLike):
        if not str(model).endswith(".keras"):
            return for_spec(get_spec(str(model)), image_size)
        rule = saving.read(model)
    else:
        rule = saving.attached(model)
    if rule is None:
        raise InputError(
            "It carries no preprocessing; `weights` names a published set's. "
            f"Received: {model!r}"
        )
    return rule


def for_name(name: str, image_size: int) -> Preprocessing:
    """The preprocessing of a model that is known by its name alone.

    Args:
        name: A model's name; of an unknown one, the crop of most networks.
        image_size: Pixels at evaluation.

    Returns:
        A `Preprocessing`.
    """
    try:
        return for_spec(get_spec(name), image_size)
    except InputError:
        return Preprocessing(*NORMALIZATIONS["imagenet"])


def normalize(
    x: "keras.KerasTensor", preprocessing: Preprocessing
) -> "keras.KerasTensor":
    """Adds the normalisation to a graph, as one stock Keras layer.

    Args:
        x: A Keras tensor, `(batch, height, width, channels)`, 0-255.
        preprocessing: A `Preprocessing` for as many channels.

    Returns:
        A Keras tensor of the same shape, float.
    """
    from keras import layers

    from keras_effnet.blocks import channel_axis
    from keras_effnet.blocks import float32_when_mixed

    dtype = float32_when_mixed()
    if len(preprocessing.mean) == 1:
        (mean,), (std,) = preprocessing.mean, preprocessing.std
        return layers.Rescaling(1 / std, -mean / std, dtype=dtype, name="rescaling")(x)
    return layers.Normalization(
        axis=channel_axis(),
        mean=list(preprocessing.mean),
        variance=[std**2 for std in preprocessing.std],
        dtype=dtype,
        name="normalization",
    )(x)
