"""Which preprocessing rule belongs to which weights, and its place in a graph."""

import dataclasses
import os
from typing import TYPE_CHECKING
from typing import Any

from keras_effnet import costs
from keras_effnet import notes
from keras_effnet import saving
from keras_effnet import scaling
from keras_effnet.errors import InputError
from keras_effnet.rule import AUTOML_CROPS
from keras_effnet.rule import INTERPOLATIONS
from keras_effnet.rule import NORMALIZATIONS
from keras_effnet.rule import Preprocessing
from keras_effnet.rule import at_size
from keras_effnet.specs import SPECS
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
    "of_model",
    "spec_of",
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
    crops = AUTOML_CROPS if spec.normalization == "128" else ()
    interpolation = "bilinear" if bilinear else "bicubic"
    rule = Preprocessing(mean, std, interpolation, crops=crops)
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
        rule = of_model(model)
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


# What stands in front of a network and leaves the values of pixels as they are.
_UNCHANGING = ("InputLayer", "ZeroPadding2D", "Identity", "Random")
_WEIGHTED = ("Conv2D", "DepthwiseConv2D", "BatchNormalization")


def of_model(model: "keras.Model") -> Preprocessing | None:
    """The preprocessing that a model carries, or that its graph tells.

    `keras.models.clone_model`, `copy.deepcopy` and `keras.saving.load_model` lose what
    was attached. A graph of a published network is known again by its size; the
    ImageNet weights' preprocessing is assumed, told by `keras_effnet.notes`, and
    attached to the model.

    Args:
        model: A `keras.Model`.

    Returns:
        A `Preprocessing`, or `None` where the network is no published one.
    """
    rule = saving.attached(model)
    if rule is None and (spec := spec_of(model)) is not None:
        shape = model.inputs[0].shape
        rule = for_spec(spec, shape[1]).for_channels(shape[-1])
        rule = dataclasses.replace(rule, included=_normalises(model))
        notes.note(
            f"{model.name} carries no preprocessing; its graph is {spec.name}'s, and "
            f"that of its ImageNet weights is assumed: {told(rule)}; "
            "keras_effnet.saving.attach(model, Preprocessing(...)) says otherwise"
        )
        saving.attach(model, rule, saving.class_names(model))
    return rule


def told(rule: Preprocessing) -> str:
    """A `Preprocessing` in words."""
    values = "0-255 pixels"
    if not rule.included:
        values = f"pixels less {_numbers(rule.mean)}, divided by {_numbers(rule.std)}"
    cut = "whole" if rule.whole else "cropped to the middle"
    return f"{values}, {cut}, {rule.interpolation} interpolation"


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def spec_of(model: "keras.Model") -> ModelSpec | None:
    """The published network that a model is or is built on, or `None`.

    Its layers have the names of `keras.applications`; the parameters of its
    convolutions are as many as one published network has.
    """
    stem = _stem(model)
    if stem is None or len(model.inputs) != 1:
        return None
    channels = stem.kernel.shape[-2]
    parameters = sum(
        layer.count_params()
        for layer in model._flatten_layers(False)
        if type(layer).__name__ in _WEIGHTED
    )
    for spec in SPECS.values():
        found = costs.spec_costs(spec, classes=1, channels=channels).total_parameters
        if parameters == found - scaling.top_filters(spec) - 1:
            return spec
    return None


def _stem(model: "keras.Model") -> "keras.Layer | None":
    layers = model._flatten_layers(False)
    return next((layer for layer in layers if layer.name == "stem_conv"), None)


def _normalises(model: "keras.Model") -> bool:
    """Whether anything between the input and the first convolution changes pixels."""
    stem, pending = _stem(model), [_stem(model)]
    inner = [each for each in model._flatten_layers(False) if hasattr(each, "layers")]
    pending += [each for each in inner if stem in each._flatten_layers(False)]
    # A trunk may have been called by other models too.
    graphs = [getattr(each, "_functional", each) for each in (model, *inner)]
    levels = [getattr(graph, "_nodes_by_depth", {}).values() for graph in graphs]
    own = [node for depths in levels for nodes in depths for node in nodes]
    while pending:
        layer = pending.pop()
        for node in (node for node in own if node.operation is layer):
            for tensor in node.input_tensors:
                layer = tensor._keras_history.operation
                parts = layer._flatten_layers(False) if layer in inner else [layer]
                kinds = [type(part).__name__ for part in parts]
                if not all(kind.startswith(_UNCHANGING) for kind in kinds):
                    return True
                pending.append(layer)
    return False


def normalize(
    x: "keras.KerasTensor", preprocessing: Preprocessing
) -> "keras.KerasTensor":
    """Adds the normalisation to a graph, as one stock Keras layer.

    Args:
        x: A Keras tensor, `(batch, height, width, channels)`, 0-255; in the global
            image data format.
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
    normalization = layers.Normalization(
        mean=list(preprocessing.mean),
        variance=[std**2 for std in preprocessing.std],
        dtype=dtype,
        name="normalization",
    )
    if channel_axis() == -1:
        return normalization(x)
    # Keras before 3.15 can't broadcast a mean along any axis but the last.
    x = layers.Permute((2, 3, 1), dtype=dtype, name="normalization_channels_last")(x)
    x = normalization(x)
    return layers.Permute((3, 1, 2), dtype=dtype, name="normalization_channels_first")(
        x
    )


def preprocess_input(images: Any, data_format: str | None = None) -> Any:
    """What goes into `predict`, as in `keras.applications.efficientnet`: it changes
    nothing, since the networks normalise images themselves.

    A network with `include_preprocessing=False` wants its own rule:
    `keras_effnet.saving.attached(model).normalized(images)`.

    Args:
        images: An array or tensor, `(..., height, width, channels)`, 0-255.
        data_format: For nothing but the same arguments.

    Returns:
        The images.
    """
    return images
