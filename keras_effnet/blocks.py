"""The building blocks, as functions on Keras tensors.

Each adds stock Keras layers to a flat functional graph, with the layer names of
`keras.applications`, and can be used in a model of one's own. The image data
format is Keras' global one.
"""

from collections.abc import Callable
from typing import Any
from typing import TypeAlias

import keras
from keras import KerasTensor
from keras import layers

Activation: TypeAlias = str | Callable | layers.Layer | None
# tensorflow/tpu `conv_kernel_initializer`: not truncated.
CONV_INITIALIZER = {
    "class_name": "VarianceScaling",
    "config": {"scale": 2.0, "mode": "fan_out", "distribution": "untruncated_normal"},
}


def channel_axis() -> int:
    """The axis of the channels in the global image data format."""
    return 1 if keras.config.image_data_format() == "channels_first" else -1


def float32_when_mixed() -> str | None:
    """The dtype for layers that must not run in 16 bits, or `None`.

    Normalising the input, pooling over positions and the classifier lose
    digits that matter in bfloat16 and overflow in float16.
    """
    policy = keras.config.dtype_policy()
    return "float32" if policy.compute_dtype != policy.variable_dtype else None


def activate(x: KerasTensor, activation: Activation, name: str) -> KerasTensor:
    """Applies an activation as a layer of its own.

    Args:
        x: A Keras tensor.
        activation: A Keras activation name or function, `None` for none, or a
            layer such as `keras_effnet.Swish(trainable_beta=True)`, of which a
            fresh copy is made for every place.
        name: The layer's name.

    Returns:
        A Keras tensor of the same shape.
    """
    if activation is None:
        return x
    if isinstance(activation, layers.Layer):
        config = {**activation.get_config(), "name": name}
        return type(activation).from_config(config)(x)
    return layers.Activation(activation, name=name)(x)


def _bn(x: KerasTensor, momentum: float, epsilon: float, name: str) -> KerasTensor:
    return layers.BatchNormalization(
        axis=channel_axis(), momentum=momentum, epsilon=epsilon, name=name
    )(x)


def _padded(
    x: KerasTensor, kernel_size: int, strides: int, padding: str, name: str
) -> tuple[KerasTensor, str]:
    """The tensor as a convolution takes it, and what that has for `padding`.

    Without strides the two paddings are one, since every kernel is odd.
    """
    if padding == "same" or strides == 1:
        return x, "same"
    return layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x), "valid"


def _conv(
    x: KerasTensor,
    filters: int,
    kernel_size: int,
    strides: int,
    name: str,
    padding: str = "same",
    **kwargs: Any,
) -> KerasTensor:
    kwargs.setdefault("use_bias", False)
    x, padding = _padded(x, kernel_size, strides, padding, name)
    return layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding=padding,
        kernel_initializer=CONV_INITIALIZER,
        name=name,
        **kwargs,
    )(x)


def conv_bn_act(
    x: KerasTensor,
    filters: int,
    kernel_size: int = 3,
    strides: int = 1,
    activation: Activation = "swish",
    bn_momentum: float = 0.99,
    name: str = "",
    padding: str = "same",
    bn_epsilon: float = 1e-3,
) -> KerasTensor:
    """Convolution without bias, BatchNormalization, activation.

    Args:
        x: A Keras tensor, `(batch, height, width, channels)`.
        filters: Output channels.
        kernel_size: Of the convolution.
        strides: Of the convolution.
        activation: As for `activate`.
        bn_momentum: Of the BatchNormalization.
        name: Prefix of the layer names `conv`, `bn` and `activation`.
        padding: `"same"`, TensorFlow's, or `"symmetric"`, PyTorch's: as many zeros
            on each side, by a layer `conv_pad` before a convolution with strides.
        bn_epsilon: Of the BatchNormalization.

    Returns:
        A Keras tensor, `(batch, ceil(height / strides), ..., filters)`.
    """
    x = _conv(x, filters, kernel_size, strides, f"{name}conv", padding)
    x = _bn(x, bn_momentum, bn_epsilon, f"{name}bn")
    return activate(x, activation, f"{name}activation")


def squeeze_excite(
    x: KerasTensor, filters: int, activation: Activation = "swish", name: str = ""
) -> KerasTensor:
    """Squeeze-and-excitation: channels reweighted by their global average
    (Hu et al. 2018; EfficientNet paper, Section 4).

    Args:
        x: A Keras tensor, `(batch, height, width, channels)`.
        filters: Channels of the bottleneck; the published networks take a
            quarter of those that *enter the block*, not of the expanded ones.
        activation: Between the two 1x1 convolutions, as for `activate`.
        name: Prefix of the layer names `se_squeeze`, `se_reduce`, `se_expand`
            and `se_excite`.

    Returns:
        A Keras tensor of the same shape.
    """
    channels = x.shape[channel_axis()]
    # keepdims rather than a Reshape: at a dynamic batch the Reshape leaves
    # SHAPE, STRIDED_SLICE, PACK and RESHAPE in a .tflite file.
    gate = layers.GlobalAveragePooling2D(
        keepdims=True, dtype=float32_when_mixed(), name=f"{name}se_squeeze"
    )(x)
    inside: dict[str, Any] = {"use_bias": True}
    if isinstance(activation, layers.Layer):
        gate = _conv(gate, filters, 1, 1, f"{name}se_reduce", **inside)
        gate = activate(gate, activation, f"{name}se_activation")
    else:
        inside["activation"] = activation
        gate = _conv(gate, filters, 1, 1, f"{name}se_reduce", **inside)
    gate = _conv(
        gate, channels, 1, 1, f"{name}se_expand", use_bias=True, activation="sigmoid"
    )
    return layers.Multiply(name=f"{name}se_excite")([x, gate])


def drop_path(x: KerasTensor, rate: float, name: str) -> KerasTensor:
    """Stochastic depth: drops a whole sample's branch (Huang et al. 2016).

    Args:
        x: A Keras tensor, `(batch, height, width, channels)`.
        rate: Probability of dropping, 0 to 1; 0 adds no layer.
        name: The layer's name.

    Returns:
        A Keras tensor of the same shape, the kept samples scaled by
        `1 / (1 - rate)` in training.
    """
    if not rate:
        return x
    return layers.Dropout(rate, noise_shape=(None, 1, 1, 1), name=name)(x)


def _residual(
    x: KerasTensor,
    inputs: KerasTensor,
    strides: int,
    skip: bool,
    drop_rate: float,
    name: str,
) -> KerasTensor:
    axis = channel_axis()
    if not skip or strides != 1 or inputs.shape[axis] != x.shape[axis]:
        return x
    x = drop_path(x, drop_rate, f"{name}drop")
    # The short way first: Keras walks a graph recursively, and EfficientNetV2XL's
    # long way is deeper than Python's recursion limit.
    return layers.Add(name=f"{name}add")([inputs, x])


def mbconv(
    inputs: KerasTensor,
    filters: int,
    kernel_size: int = 3,
    strides: int = 1,
    expand_ratio: int = 6,
    se_ratio: float = 0.25,
    activation: Activation = "swish",
    drop_rate: float = 0.0,
    bn_momentum: float = 0.99,
    skip: bool = True,
    expand_from: int | None = None,
    dwconv_name: str = "dwconv",
    name: str = "",
    padding: str = "same",
    bn_epsilon: float = 1e-3,
) -> KerasTensor:
    """MBConv: 1x1 expansion, depthwise convolution, squeeze-and-excitation,
    1x1 projection, residual (EfficientNet paper, Section 4).

    Args:
        inputs: A Keras tensor, `(batch, height, width, channels)`.
        filters: Output channels.
        kernel_size: Of the depthwise convolution.
        strides: Of the depthwise convolution.
        expand_ratio: Expanded channels over `expand_from`; 1 for no expansion.
        se_ratio: Bottleneck channels over `expand_from`; 0 for no
            squeeze-and-excitation.
        activation: As for `activate`.
        drop_rate: Of the residual branch, see `drop_path`.
        bn_momentum: Of every BatchNormalization.
        skip: Whether to add the input where the shape is kept.
        expand_from: Channels that the two ratios multiply; the input's when
            `None`.
        dwconv_name: `"dwconv"`, or `"dwconv2"` as V2 names it.
        name: Prefix of the layer names.
        padding: Of the depthwise convolution, as for `conv_bn_act`.
        bn_epsilon: Of every BatchNormalization.

    Returns:
        A Keras tensor, `(batch, ceil(height / strides), ..., filters)`.
    """
    expand_from = expand_from or inputs.shape[channel_axis()]
    x = inputs
    if expand_ratio != 1:
        x = conv_bn_act(
            x,
            expand_from * expand_ratio,
            kernel_size=1,
            activation=activation,
            bn_momentum=bn_momentum,
            name=f"{name}expand_",
            bn_epsilon=bn_epsilon,
        )
    x, padding = _padded(x, kernel_size, strides, padding, f"{name}{dwconv_name}")
    x = layers.DepthwiseConv2D(
        kernel_size,
        strides=strides,
        padding=padding,
        use_bias=False,
        depthwise_initializer=CONV_INITIALIZER,
        name=f"{name}{dwconv_name}",
    )(x)
    x = _bn(x, bn_momentum, bn_epsilon, f"{name}bn")
    x = activate(x, activation, f"{name}activation")
    if se_ratio:
        x = squeeze_excite(x, max(1, int(expand_from * se_ratio)), activation, name)
    x = _conv(x, filters, 1, 1, f"{name}project_conv")
    x = _bn(x, bn_momentum, bn_epsilon, f"{name}project_bn")
    return _residual(x, inputs, strides, skip, drop_rate, name)


def fused_mbconv(
    inputs: KerasTensor,
    filters: int,
    kernel_size: int = 3,
    strides: int = 1,
    expand_ratio: int = 4,
    se_ratio: float = 0.0,
    activation: Activation = "swish",
    drop_rate: float = 0.0,
    bn_momentum: float = 0.9,
    skip: bool = True,
    expand_from: int | None = None,
    name: str = "",
    padding: str = "same",
    bn_epsilon: float = 1e-3,
) -> KerasTensor:
    """Fused-MBConv: one k x k convolution in place of MBConv's expansion and
    depthwise convolution (EfficientNetV2 paper, Figure 2).

    Args:
        inputs: A Keras tensor, `(batch, height, width, channels)`.
        filters: Output channels.
        kernel_size: Of the k x k convolution.
        strides: Of the k x k convolution.
        expand_ratio: As for `mbconv`; with 1 the block is a single k x k
            convolution with activation.
        se_ratio: As for `mbconv`; 0 in every published network.
        activation: As for `activate`.
        drop_rate: Of the residual branch, see `drop_path`.
        bn_momentum: Of every BatchNormalization.
        skip: Whether to add the input where the shape is kept.
        expand_from: As for `mbconv`.
        name: Prefix of the layer names.
        padding: Of the k x k convolution, as for `conv_bn_act`.
        bn_epsilon: Of every BatchNormalization.

    Returns:
        A Keras tensor, `(batch, ceil(height / strides), ..., filters)`.
    """
    expand_from = expand_from or inputs.shape[channel_axis()]
    x = inputs
    if expand_ratio != 1:
        x = conv_bn_act(
            x,
            expand_from * expand_ratio,
            kernel_size,
            strides,
            activation,
            bn_momentum,
            f"{name}expand_",
            padding,
            bn_epsilon,
        )
    if se_ratio:
        x = squeeze_excite(x, max(1, int(expand_from * se_ratio)), activation, name)
    if expand_ratio != 1:
        x = _conv(x, filters, 1, 1, f"{name}project_conv")
        x = _bn(x, bn_momentum, bn_epsilon, f"{name}project_bn")
    else:
        x = conv_bn_act(
            x,
            filters,
            kernel_size,
            strides,
            activation,
            bn_momentum,
            f"{name}project_",
            padding,
            bn_epsilon,
        )
    return _residual(x, inputs, strides, skip, drop_rate, name)
