"""The building blocks, against convolutions written out in numpy."""

import keras
import numpy as np
import peer
import pytest

from keras_effnet import blocks
from keras_effnet.activations import Swish


def _windows(x, size, strides):
    """`[(row, column, pixels)]` under each kernel position, SAME padding as
    TensorFlow has it: the odd pixel goes to the bottom and the right."""
    out = [-(-side // strides) for side in x.shape[1:3]]
    pads = [
        max((o - 1) * strides + size - side, 0)
        for o, side in zip(out, x.shape[1:3], strict=True)
    ]
    padded = np.pad(x, [(0, 0), *((p // 2, p - p // 2) for p in pads), (0, 0)])
    for row in range(size):
        for column in range(size):
            rows = slice(row, row + (out[0] - 1) * strides + 1, strides)
            columns = slice(column, column + (out[1] - 1) * strides + 1, strides)
            yield row, column, padded[:, rows, columns]


class _Reference:
    """The layers of a model by name, computed in float64."""

    def __init__(self, model):
        self.model = model

    def _weights(self, name):
        layer = self.model.get_layer(name)
        return {w.name: np.asarray(w, dtype="float64") for w in layer.weights}

    def conv(self, x, name, strides=1):
        kernel = self._weights(name)["kernel"]
        windows = _windows(x, len(kernel), strides)
        x = sum(pixels @ kernel[row, column] for row, column, pixels in windows)
        return x + self._weights(name).get("bias", 0)

    def depthwise(self, x, name, strides=1):
        kernel = self._weights(name)["kernel"][..., 0]
        windows = _windows(x, len(kernel), strides)
        return sum(pixels * kernel[row, column] for row, column, pixels in windows)

    def norm(self, x, name):
        w = self._weights(name)
        scale = w["gamma"] / np.sqrt(w["moving_variance"] + 1e-3)
        return (x - w["moving_mean"]) * scale + w["beta"]

    def squeeze_excite(self, x, prefix=""):
        gate = x.mean(axis=(1, 2), keepdims=True)
        gate = _swish(self.conv(gate, f"{prefix}se_reduce"))
        return x * _sigmoid(self.conv(gate, f"{prefix}se_expand"))


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _swish(x):
    return x * _sigmoid(x)


def _pixels(shape=(9, 6, 8)):
    return np.random.default_rng(1).normal(size=(3, *shape)).astype("float32")


def _model(block, shape=(9, 6, 8), **options):
    inputs = keras.Input(shape)
    model = keras.Model(inputs, block(inputs, name="b_", **options))
    peer.randomize(model, _pixels(shape))
    return model


def _close(model, expected, x):
    np.testing.assert_allclose(model(x), expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(("kernel_size", "strides"), [(1, 1), (3, 2), (5, 1), (5, 2)])
def test_conv_bn_act(kernel_size, strides):
    model = _model(
        blocks.conv_bn_act, filters=5, kernel_size=kernel_size, strides=strides
    )
    x, ref = _pixels(), _Reference(model)
    expected = _swish(ref.norm(ref.conv(x, "b_conv", strides), "b_bn"))
    _close(model, expected, x)
    assert "bias" not in {w.name for w in model.get_layer("b_conv").weights}


def test_conv_bn_act_without_activation():
    model = _model(blocks.conv_bn_act, filters=5, activation=None)
    x, ref = _pixels(), _Reference(model)
    _close(model, ref.norm(ref.conv(x, "b_conv"), "b_bn"), x)


def test_squeeze_excite():
    model = _model(blocks.squeeze_excite, filters=3)
    x, ref = _pixels(), _Reference(model)
    assert model.get_layer("b_se_reduce").filters == 3
    _close(model, ref.squeeze_excite(x, "b_"), x)


@pytest.mark.parametrize(
    ("strides", "filters", "adds"), [(1, 8, True), (1, 12, False), (2, 8, False)]
)
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_mbconv(kernel_size, strides, filters, adds):
    model = _model(
        blocks.mbconv, filters=filters, kernel_size=kernel_size, strides=strides
    )
    assert model.get_layer("b_expand_conv").filters == 6 * 8
    assert model.get_layer("b_se_reduce").filters == 8 // 4
    x, ref = _pixels(), _Reference(model)
    y = _swish(ref.norm(ref.conv(x, "b_expand_conv"), "b_expand_bn"))
    y = _swish(ref.norm(ref.depthwise(y, "b_dwconv", strides), "b_bn"))
    y = ref.norm(
        ref.conv(ref.squeeze_excite(y, "b_"), "b_project_conv"), "b_project_bn"
    )
    _close(model, x + y if adds else y, x)


def test_mbconv_without_expansion_and_squeeze():
    model = _model(
        blocks.mbconv, filters=8, expand_ratio=1, se_ratio=0, dwconv_name="dwconv2"
    )
    names = [layer.name for layer in model.layers]
    assert not [name for name in names if "expand" in name or "se_" in name]
    x, ref = _pixels(), _Reference(model)
    y = _swish(ref.norm(ref.depthwise(x, "b_dwconv2"), "b_bn"))
    _close(model, x + ref.norm(ref.conv(y, "b_project_conv"), "b_project_bn"), x)


@pytest.mark.parametrize("se_ratio", [0, 0.25])
@pytest.mark.parametrize(("strides", "adds"), [(1, True), (2, False)])
def test_fused_mbconv(strides, adds, se_ratio):
    model = _model(blocks.fused_mbconv, filters=8, strides=strides, se_ratio=se_ratio)
    assert model.get_layer("b_expand_conv").filters == 4 * 8
    x, ref = _pixels(), _Reference(model)
    y = _swish(ref.norm(ref.conv(x, "b_expand_conv", strides), "b_expand_bn"))
    if se_ratio:
        y = ref.squeeze_excite(y, "b_")
    y = ref.norm(ref.conv(y, "b_project_conv"), "b_project_bn")
    _close(model, x + y if adds else y, x)


def test_fused_mbconv_without_expansion_is_one_convolution():
    model = _model(blocks.fused_mbconv, filters=8, expand_ratio=1)
    x, ref = _pixels(), _Reference(model)
    y = _swish(ref.norm(ref.conv(x, "b_project_conv"), "b_project_bn"))
    _close(model, x + y, x)
    convolutions = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    assert len(convolutions) == 1
    assert convolutions[0].kernel_size == (3, 3)


@pytest.mark.parametrize("block", [blocks.mbconv, blocks.fused_mbconv])
def test_expands_from_what_it_is_told_and_may_not_skip(block):
    model = _model(block, filters=8, se_ratio=0.25, expand_from=20, skip=False)
    ratio = 6 if block is blocks.mbconv else 4
    assert model.get_layer("b_expand_conv").filters == ratio * 20
    assert model.get_layer("b_se_reduce").filters == 5
    assert not [x for x in model.layers if isinstance(x, keras.layers.Add)]


@pytest.mark.parametrize("block", [blocks.mbconv, blocks.fused_mbconv])
def test_options_reach_every_layer(block):
    model = _model(block, filters=8, se_ratio=0.25, activation="relu", bn_momentum=0.7)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            assert layer.momentum == 0.7
            assert layer.epsilon == 1e-3
        if isinstance(layer, keras.layers.Activation) or "reduce" in layer.name:
            assert layer.activation is keras.activations.relu


def test_squeeze_has_at_least_one_channel():
    model = _model(blocks.mbconv, shape=(4, 4, 2), filters=2)
    assert model.get_layer("b_se_reduce").filters == 1


def test_drop_path_drops_whole_samples_and_scales_the_others():
    inputs = keras.Input((2, 3, 4))
    model = keras.Model(inputs, blocks.drop_path(inputs, 0.25, name="drop"))
    x = np.ones((400, 2, 3, 4), "float32")
    np.testing.assert_array_equal(model(x, training=False), x)
    factors = np.asarray(model(x, training=True))
    np.testing.assert_array_equal(factors, factors[:, :1, :1, :1] * x)
    values, counts = np.unique(factors, return_counts=True)
    np.testing.assert_allclose(values, [0, 1 / 0.75], rtol=1e-6)
    # 100 of 400 expected; the standard deviation is 8.7.
    assert 60 < counts[0] / 24 < 140


def test_drop_path_of_rate_zero_is_no_layer():
    inputs = keras.Input((2, 3, 4))
    assert blocks.drop_path(inputs, 0.0, name="drop") is inputs


def test_drop_path_keeps_the_short_way():
    """All branches dropped: the block is the identity in training."""
    inputs = keras.Input((4, 4, 8))
    outputs = blocks.mbconv(inputs, 8, drop_rate=1 - 1e-7, name="b_")
    x = _pixels((4, 4, 8))
    np.testing.assert_array_equal(keras.Model(inputs, outputs)(x, training=True), x)


def test_activate_copies_a_layer_for_every_place():
    swish = Swish(beta=2.0, trainable_beta=True)
    inputs = keras.Input((3,))
    first = blocks.activate(inputs, swish, "first")
    model = keras.Model(inputs, blocks.activate(first, swish, "second"))
    assert [layer.name for layer in model.layers[1:]] == ["first", "second"]
    assert len(model.trainable_weights) == 2
    assert swish not in model.layers


def test_kernels_start_with_he_variance_of_the_fan_out():
    """tensorflow/tpu `conv_kernel_initializer`: normal, variance 2 / fan_out."""
    model = keras.Model(x := keras.Input((8, 8, 16)), blocks.mbconv(x, 64, name="b_"))
    kernel = np.asarray(model.get_layer("b_expand_conv").kernel)
    assert kernel.std() == pytest.approx((2 / 96) ** 0.5, rel=0.1)
    # Not truncated at two standard deviations.
    assert np.abs(kernel).max() > 2.5 * kernel.std()


def test_the_channels_follow_the_global_data_format():
    keras.config.set_image_data_format("channels_first")
    try:
        inputs = keras.Input((8, 9, 6))
        outputs = blocks.mbconv(inputs, 12, strides=2, name="b_")
        assert blocks.channel_axis() == 1
    finally:
        keras.config.set_image_data_format("channels_last")
    assert outputs.shape == (None, 12, 5, 3)
    assert blocks.channel_axis() == -1
