"""The networks: one builder, and a constructor for each published network."""

import dataclasses
import fnmatch
import numbers
import os
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any
from typing import TypeVar

import keras
from keras import KerasTensor
from keras import layers

from keras_effnet import blocks
from keras_effnet import preprocessing as preprocessing_room
from keras_effnet import saving
from keras_effnet import scaling
from keras_effnet import weights as weights_room
from keras_effnet.blocks import Activation
from keras_effnet.errors import InputError
from keras_effnet.errors import check_number
from keras_effnet.errors import check_one_of
from keras_effnet.rule import Preprocessing
from keras_effnet.specs import SPECS
from keras_effnet.specs import ModelSpec
from keras_effnet.specs import Stage
from keras_effnet.specs import get_spec
from keras_effnet.weights import convention
from keras_effnet.weights import hub
from keras_effnet.weights.fit import PUBLISHED_CLASSES

Shape = Sequence[int | None]
_C = TypeVar("_C", bound=Callable)
# tensorflow/tpu `dense_kernel_initializer`.
_DENSE_INITIALIZER = {
    "class_name": "VarianceScaling",
    "config": {"scale": 1 / 3, "mode": "fan_out", "distribution": "uniform"},
}


def build_model(
    spec: ModelSpec | str,
    *,
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor: KerasTensor | None = None,
    input_shape: Shape | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Activation = "softmax",
    include_preprocessing: bool = True,
    preprocessing: Preprocessing | str | None = None,
    name: str | None = None,
    activation: Activation = None,
    dropout_rate: float | None = None,
    drop_connect_rate: float | None = None,
    bn_momentum: float | None = None,
    bn_epsilon: float | None = None,
    padding: str | None = None,
    features_only: bool = False,
    include_top_conv: bool | None = None,
    fused_stages: Collection[int] | None = None,
) -> keras.Model:
    """Builds a network as a flat functional graph of stock Keras layers.

    Args:
        spec: A `keras_effnet.specs.ModelSpec` or the name of a published
            network. `compound_scale` and `scaled_spec` make new ones.
        include_top: Whether to add pooling, dropout and the classifier.
        weights: `None` for random ones; the name of a published set, such as
            `"imagenet"`, which is downloaded and verified (`"imagenet@timm"`
            names the source too); a repository of the Hugging Face hub,
            `"hf://timm/efficientnet_b0.ra_in1k"`, or a folder that holds one; or the
            path of a weights file, see `load_weights`.
        input_tensor: A Keras tensor to build on.
        input_shape: `(height, width, channels)` without the batch; height and
            width may be `None` without the top. Any number of channels.
        pooling: Without the top: `None`, `"avg"` or `"max"`.
        classes: Number of classes.
        classifier_activation: Of the last layer; `None` returns logits.
        include_preprocessing: Whether the model takes 0-255 pixels and
            normalises them itself.
        preprocessing: A `Preprocessing`, or the name of the published set whose
            preprocessing it is; by default that of the weights, or of the
            network's ImageNet weights. `model.save` writes it into the file.
        name: Of the model.
        activation: A Keras activation name, or a layer such as
            `Swish(trainable_beta=True)`; the published one when `None`.
        dropout_rate: Before the classifier; the published one when `None`.
        drop_connect_rate: Of the last block, growing linearly from 0; the
            published one when `None`.
        bn_momentum: Of every BatchNormalization; the published one when
            `None`. Short training runs on little data need about 0.9.
        bn_epsilon: Of every BatchNormalization; with `None`, that of the weights,
            else 0.001.
        padding: Of convolutions with strides: `"same"`, TensorFlow's, or
            `"symmetric"`, as many zeros on each side, PyTorch's; with `None`, that
            of the weights, else `"same"`.
        features_only: Return five maps at strides 2, 4, 8, 16 and 32, for
            detection and segmentation.
        include_top_conv: Whether the last 1x1 convolution is built; by
            default yes, but not with `features_only`.
        fused_stages: Numbers from 1 of the stages that use Fused-MBConv,
            without squeeze-and-excitation; the published ones when `None`
            (EfficientNetV2 paper, Table 3).

    Returns:
        A `keras.Model`. Input: float, `(batch, height, width, channels)`,
        0-255 RGB with `include_preprocessing`. Output: `(batch, classes)`
        probabilities with the top, else a map `(batch, h, w, channels)`, a
        vector `(batch, channels)` with `pooling`, or a list of five maps with
        `features_only`.

    Raises:
        InputError: An argument is impossible, or the weights do not fit.
    """
    spec = _resolve(
        spec if isinstance(spec, ModelSpec) else get_spec(spec),
        dropout_rate=dropout_rate,
        drop_connect_rate=drop_connect_rate,
        bn_momentum=bn_momentum,
    )
    activation = spec.activation if activation is None else activation
    _check_arguments(include_top, pooling, classes, features_only, include_top_conv)
    stages = _with_fused(scaling.scaled_stages(spec), fused_stages)
    if include_top_conv is None:
        include_top_conv = not features_only
    include_top = include_top and not features_only
    located = None
    if weights is not None:
        wants_head = include_top and classes in PUBLISHED_CLASSES
        located = weights_room.locate(weights, spec.name, wants_head)
    spec = _with_convention(spec, located, padding, bn_epsilon)

    inputs = _inputs(spec, include_top, input_shape, input_tensor, located)
    rule = _preprocessing(preprocessing, spec, inputs, located)
    rule = dataclasses.replace(rule, included=bool(include_preprocessing))
    x = preprocessing_room.normalize(inputs, rule) if rule.included else inputs
    x = blocks.conv_bn_act(
        x,
        scaling.stem_filters(spec),
        strides=2,
        activation=activation,
        bn_momentum=spec.bn_momentum,
        name="stem_",
        padding=spec.padding,
        bn_epsilon=spec.bn_epsilon,
    )
    x, features = _stages(x, spec, stages, activation)
    if include_top_conv:
        x = blocks.conv_bn_act(
            x,
            scaling.top_filters(spec),
            kernel_size=1,
            activation=activation,
            bn_momentum=spec.bn_momentum,
            name="top_",
            bn_epsilon=spec.bn_epsilon,
        )
    features[-1] = x
    if features_only:
        outputs = features
    elif include_top:
        outputs = _classifier(x, spec, classes, classifier_activation)
    else:
        outputs = _pool(x, pooling)

    if input_tensor is not None:
        inputs = keras.utils.get_source_inputs(input_tensor)
    model = keras.Model(inputs, outputs, name=name or spec.model_name)
    names = located.class_names(classes) if located and include_top else None
    saving.attach(model, rule, names)
    if located is not None:
        weights_room.load_file(model, located, chosen=padding is not None)
    return model


def _resolve(spec: ModelSpec, **overrides: Any) -> ModelSpec:
    overrides = {key: value for key, value in overrides.items() if value is not None}
    for key, value in overrides.items():
        if not isinstance(value, numbers.Real) or not 0 <= float(value) < 1:
            raise InputError(
                f"`{key}` must be a number, at least 0 and below 1. "
                f"Received: {key}={value!r}"
            )
    return dataclasses.replace(spec, **overrides)


def _with_convention(
    spec: ModelSpec, located: Any, padding: str | None, bn_epsilon: float | None
) -> ModelSpec:
    """What the caller wants, else what the weights were trained with."""
    found = located and located.convention
    if padding is not None:
        check_one_of("padding", padding, convention.PADDINGS)
        if found and found.assumed:
            found = convention.PADDINGS[padding]
    options = found.options if found else {}
    wanted = {"padding": padding, "bn_epsilon": bn_epsilon}
    options |= {key: value for key, value in wanted.items() if value is not None}
    return dataclasses.replace(
        spec, **{key: value for key, value in options.items() if value is not None}
    )


def _check_arguments(
    include_top: bool,
    pooling: str | None,
    classes: int,
    features_only: bool,
    include_top_conv: bool | None,
) -> None:
    if pooling not in (None, "avg", "max"):
        raise InputError(
            f"`pooling` must be None, 'avg' or 'max'. Received: pooling={pooling!r}"
        )
    check_number("classes", classes, "a positive integer", lambda n: n > 0, whole=True)
    if features_only and pooling is not None:
        raise InputError(
            "`features_only=True` returns maps, which are not pooled. "
            f"Received: pooling={pooling!r}"
        )
    if include_top and not features_only and include_top_conv is False:
        raise InputError(
            "The classifier stands on the last 1x1 convolution. "
            "Received: include_top=True, include_top_conv=False"
        )


def _with_fused(
    stages: tuple[Stage, ...], fused_stages: Collection[int] | None
) -> tuple[Stage, ...]:
    if fused_stages is None:
        return stages
    valid = range(1, len(stages) + 1)
    if not isinstance(fused_stages, Collection) or any(
        number not in valid for number in fused_stages
    ):
        raise InputError(
            f"`fused_stages` must hold stage numbers, 1 to {len(stages)}. "
            f"Received: fused_stages={fused_stages!r}"
        )
    # V2's tables have squeeze-and-excitation in every MBConv and in no
    # Fused-MBConv, and the sizes of the fused B4 in Table 3 need the same.
    se_ratio = max(stage.se_ratio for stage in stages)
    changed = {}
    for number, stage in enumerate(stages, start=1):
        operator = stage.operator.removeprefix("Fused-")
        if number in fused_stages and not stage.fused:
            changed[number] = dataclasses.replace(
                stage, operator=f"Fused-{operator}", se_ratio=0.0
            )
        elif number not in fused_stages and stage.fused:
            changed[number] = dataclasses.replace(
                stage, operator=operator, se_ratio=se_ratio
            )
    return tuple(changed.get(number, stages[number - 1]) for number in valid)


def _preprocessing(
    wanted: Preprocessing | str | None,
    spec: ModelSpec,
    inputs: KerasTensor,
    located: Any,
) -> Preprocessing:
    """What the caller wants, else the weights', else the ImageNet weights'."""
    axis = blocks.channel_axis()
    channels = inputs.shape[axis]
    height = inputs.shape[2 if axis == 1 else 1]
    if isinstance(wanted, Preprocessing):
        rule = wanted
    elif isinstance(wanted, str):
        rule = preprocessing_room.for_weights(spec.name, wanted, height)
    elif wanted is not None:
        raise InputError(
            "`preprocessing` must be None, a Preprocessing or the name of a published "
            f"set. Received: preprocessing={wanted!r}"
        )
    else:
        rule = located and located.preprocessing(height)
    rule = rule or preprocessing_room.for_spec(spec, height)
    return rule.for_channels(channels)


def _inputs(
    spec: ModelSpec,
    needs_size: bool,
    input_shape: Shape | None,
    input_tensor: KerasTensor | None,
    located: Any,
) -> KerasTensor:
    if input_tensor is not None:
        is_tensor = keras.utils.is_keras_tensor(input_tensor)
        shape: Any = getattr(input_tensor, "shape", None)
        if not is_tensor or len(shape) != 4 or shape[blocks.channel_axis()] is None:
            raise InputError(
                "`input_tensor` must be a Keras tensor, as `keras.Input` makes, of "
                "the shape (batch, height, width, channels) with known channels. "
                f"Received: {type(input_tensor).__name__} of shape {shape}"
            )
        return input_tensor
    first = keras.config.image_data_format() == "channels_first"
    if input_shape is None:
        published = located and located.published
        size = (published or spec).image_size if needs_size else None
        input_shape = (3, size, size) if first else (size, size, 3)
    sides = tuple(input_shape) if isinstance(input_shape, Iterable) else ()
    channel = 0 if first else 2
    if len(sides) != 3 or not all(
        (side is None and axis != channel) or (isinstance(side, int) and side > 0)
        for axis, side in enumerate(sides)
    ):
        raise InputError(
            "`input_shape` must be three positive integers, "
            f"{'(channels, height, width)' if first else '(height, width, channels)'} "
            "without the batch; height and width may be None. "
            f"Received: input_shape={input_shape!r}"
        )
    return layers.Input(sides)


def _stages(
    x: KerasTensor, spec: ModelSpec, stages: tuple[Stage, ...], activation: Activation
) -> tuple[KerasTensor, list[KerasTensor]]:
    """Returns the last tensor and the last one at each stride, 2 to 32."""
    features = []
    total = sum(stage.layers for stage in stages)
    index = 0
    for number, stage in enumerate(stages, start=1):
        if stage.strides == 2:
            features.append(x)
        for repeat in range(stage.layers):
            options: dict[str, Any] = {
                "filters": stage.filters,
                "kernel_size": stage.kernel_size,
                "strides": stage.strides if repeat == 0 else 1,
                "expand_ratio": stage.expand_ratio,
                "se_ratio": stage.se_ratio,
                "activation": activation,
                "drop_rate": spec.drop_connect_rate * index / total,
                "bn_momentum": spec.bn_momentum,
                "bn_epsilon": spec.bn_epsilon,
                "padding": spec.padding,
                "skip": stage.skip,
                "expand_from": stage.expand_from if repeat == 0 else None,
                "name": f"block{number}{_letters(repeat)}_",
            }
            if stage.fused:
                x = blocks.fused_mbconv(x, **options)
            else:
                dwconv_name = "dwconv2" if spec.family == "v2" else "dwconv"
                x = blocks.mbconv(x, dwconv_name=dwconv_name, **options)
            index += 1
    return x, [*features, x]


def _letters(index: int) -> str:
    """a, b, ... z, aa, ab, ...: only EfficientNetV2XL has more than 26 blocks in
    a stage, and `keras.applications` has no names for it."""
    first, last = divmod(index, 26)
    return (chr(ord("a") + first - 1) if first else "") + chr(ord("a") + last)


def _classifier(
    x: KerasTensor, spec: ModelSpec, classes: int, activation: Activation
) -> KerasTensor:
    # The classifier's own softmax in float16 loses small probabilities.
    dtype = blocks.float32_when_mixed()
    x = layers.GlobalAveragePooling2D(dtype=dtype, name="avg_pool")(x)
    if spec.dropout_rate:
        x = layers.Dropout(spec.dropout_rate, name="top_dropout")(x)
    return layers.Dense(
        classes,
        activation=activation,
        kernel_initializer=_DENSE_INITIALIZER,
        dtype=dtype,
        name="predictions",
    )(x)


def _pool(x: KerasTensor, pooling: str | None) -> KerasTensor:
    if pooling == "avg":
        dtype = blocks.float32_when_mixed()
        return layers.GlobalAveragePooling2D(dtype=dtype, name="avg_pool")(x)
    if pooling == "max":
        return layers.GlobalMaxPooling2D(name="max_pool")(x)
    return x


_DOC = """{name}: {size} x {size} pixels, {family}.

The arguments of `keras.applications`, in its order, then `build_model`'s.
`weights` defaults to `None`: the network starts random and nothing is
downloaded; `weights="imagenet"` downloads and verifies.

Args:
    include_top: Whether to add the classifier.
    weights: `None`, the name of a published set (`keras-effnet weights list
        --model {name}`), or the path of a weights file.
    input_tensor: A Keras tensor to build on.
    input_shape: `(height, width, channels)`; `({size}, {size}, 3)` by default.
    pooling: Without the top: `None`, `"avg"` or `"max"`.
    classes: Number of classes.
    classifier_activation: Of the last layer; `None` returns logits.
    include_preprocessing: Whether the model takes 0-255 pixels.
    name: Of the model.
    **options: `preprocessing`, `activation`, `dropout_rate`,
        `drop_connect_rate`, `bn_momentum`, `bn_epsilon`, `padding`,
        `features_only`, `include_top_conv` and `fused_stages`, see
        `keras_effnet.build_model`.

Returns:
    A `keras.Model`.

Raises:
    InputError: An argument is impossible, or the weights do not fit.

Source: {source}
"""
_SOURCES = {
    "v1": "Tan and Le, EfficientNet, ICML 2019, Table 1 (arXiv 1905.11946).",
    "v2": "Tan and Le, EfficientNetV2, ICML 2021, Table 4 (arXiv 2104.00298).",
    "lite": "tensorflow/tpu, models/official/efficientnet/lite.",
    "edgetpu": "tensorflow/tpu, models/official/efficientnet/edgetpu.",
}


def create_model(name: str, **options: Any) -> keras.Model:
    """Builds a published network by its name.

    Args:
        name: As for `keras_effnet.specs.get_spec`: `"EfficientNetLite0"`, `"lite0"`; or
            a repository of the Hugging Face hub, `"hf://OWNER/NAME"`, or a folder that
            holds one, whose network is built with its classes and weights.
        **options: Of its constructor, `classes=5`, `weights="imagenet"`.

    Returns:
        A `keras.Model`, as the constructor returns it.

    Raises:
        InputError: No network has this name, or an option is impossible.
    """
    if hub.is_address(name):
        found, _ = hub.describe(name)
        options = {"weights": name, "classes": found.classes, **options}
        name = found.model
    return globals()[get_spec(name).name](**options)


def list_models(pattern: str = "*") -> list[str]:
    """The names of the published networks, in the order of the papers' tables.

    Args:
        pattern: Of file names, in any case: `"*lite*"`.

    Returns:
        A list of constructors' names.
    """
    return [n for n in SPECS if fnmatch.fnmatchcase(n.lower(), pattern.lower())]


# Unannotated, so that editors infer the whole signature.
def _v1_order(name):  # type: ignore[no-untyped-def]
    spec = get_spec(name)

    def constructor(
        include_top: bool = True,
        weights: str | os.PathLike | None = None,
        input_tensor: KerasTensor | None = None,
        input_shape: Shape | None = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: Activation = "softmax",
        name: str | None = spec.model_name,
        *,
        include_preprocessing: bool = True,
        **options: Any,
    ) -> keras.Model:
        return build_model(
            spec.name,
            include_top=include_top,
            weights=weights,
            input_tensor=input_tensor,
            input_shape=input_shape,
            pooling=pooling,
            classes=classes,
            classifier_activation=classifier_activation,
            include_preprocessing=include_preprocessing,
            name=name,
            **options,
        )

    return _named(constructor, spec)


def _v2_order(name):  # type: ignore[no-untyped-def]
    spec = get_spec(name)
    keywords = _v1_order(name)

    def constructor(
        include_top: bool = True,
        weights: str | os.PathLike | None = None,
        input_tensor: KerasTensor | None = None,
        input_shape: Shape | None = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: Activation = "softmax",
        include_preprocessing: bool = True,
        name: str | None = spec.model_name,
        **options: Any,
    ) -> keras.Model:
        return keywords(
            include_top,
            weights,
            input_tensor,
            input_shape,
            pooling,
            classes,
            classifier_activation,
            name,
            include_preprocessing=include_preprocessing,
            **options,
        )

    return _named(constructor, spec)


def _named(constructor: _C, spec: ModelSpec) -> _C:
    constructor.__name__ = constructor.__qualname__ = spec.name
    constructor.__doc__ = _DOC.format(
        name=spec.name,
        size=spec.image_size,
        family=spec.family,
        source=_SOURCES[spec.family],
    )
    return constructor


EfficientNetB0 = _v1_order("EfficientNetB0")
EfficientNetB1 = _v1_order("EfficientNetB1")
EfficientNetB2 = _v1_order("EfficientNetB2")
EfficientNetB3 = _v1_order("EfficientNetB3")
EfficientNetB4 = _v1_order("EfficientNetB4")
EfficientNetB5 = _v1_order("EfficientNetB5")
EfficientNetB6 = _v1_order("EfficientNetB6")
EfficientNetB7 = _v1_order("EfficientNetB7")
EfficientNetB8 = _v1_order("EfficientNetB8")
EfficientNetL2 = _v1_order("EfficientNetL2")
EfficientNetV2B0 = _v2_order("EfficientNetV2B0")
EfficientNetV2B1 = _v2_order("EfficientNetV2B1")
EfficientNetV2B2 = _v2_order("EfficientNetV2B2")
EfficientNetV2B3 = _v2_order("EfficientNetV2B3")
EfficientNetV2S = _v2_order("EfficientNetV2S")
EfficientNetV2M = _v2_order("EfficientNetV2M")
EfficientNetV2L = _v2_order("EfficientNetV2L")
EfficientNetV2XL = _v2_order("EfficientNetV2XL")
EfficientNetLite0 = _v1_order("EfficientNetLite0")
EfficientNetLite1 = _v1_order("EfficientNetLite1")
EfficientNetLite2 = _v1_order("EfficientNetLite2")
EfficientNetLite3 = _v1_order("EfficientNetLite3")
EfficientNetLite4 = _v1_order("EfficientNetLite4")
EfficientNetEdgeTPUS = _v1_order("EfficientNetEdgeTPUS")
EfficientNetEdgeTPUM = _v1_order("EfficientNetEdgeTPUM")
EfficientNetEdgeTPUL = _v1_order("EfficientNetEdgeTPUL")
