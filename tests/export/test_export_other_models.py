"""Any Keras image classifier: the file's answers are the model's."""

import keras
import numpy as np
import peer
import pytest
import tflite_file
from keras import layers

import keras_effnet
from keras_effnet.errors import InputError
from keras_effnet.export import export
from keras_effnet.tflite import TFLiteModel

PIXELS = peer.images(16, 16, batch=6).round()


@keras.saving.register_keras_serializable("keras_effnet_tests")
class Mish(layers.Layer):
    """A layer of a user's own."""

    def call(self, x):
        return x * keras.ops.tanh(keras.ops.softplus(x))


@keras.saving.register_keras_serializable("keras_effnet_tests")
class InverseErf(layers.Layer):
    """One that .tflite has no operator for."""

    def call(self, x):
        return keras.ops.erfinv(x / 256)


def _head(x):
    return layers.Dense(4)(layers.GlobalAveragePooling2D()(x))


def _convolution(**options):
    return layers.Conv2D(8, 3, padding="same", activation="relu", **options)


def _rescaling():
    return layers.Rescaling(1 / 127.5, -1)


def _sequential():
    return keras.Sequential(
        [keras.Input((16, 16, 3)), _rescaling(), _convolution(), layers.MaxPooling2D(),
         layers.Flatten(), layers.Dense(4)],
        name="sequential",
    )  # fmt: skip


def _custom(layer=Mish):
    image = keras.Input((16, 16, 3))
    x = layer()(_convolution()(_rescaling()(image)))
    return keras.Model(image, _head(x), name="custom")


def _nested():
    image = keras.Input((16, 16, 3))
    trunk = keras.Model(image, _convolution()(_rescaling()(image)), name="trunk")
    again = keras.Input((16, 16, 3))
    return keras.Model(again, _head(trunk(again)), name="nested")


def _shared():
    """The kernel that could take the scale of the pixels works twice."""
    image = keras.Input((16, 16, 3))
    convolution = layers.Conv2D(3, 3, padding="same")
    x = convolution(convolution(_rescaling()(image)))
    return keras.Model(image, _head(x), name="shared")


def _shared_with_a_part():
    image, features = keras.Input((16, 16, 3)), keras.Input((16, 16, 3))
    convolution = layers.Conv2D(3, 3, padding="same")
    part = keras.Model(features, convolution(features), name="part")
    x = part(convolution(_rescaling()(image)))
    return keras.Model(image, _head(x), name="shared")


def _shared_rescaling():
    image = keras.Input((16, 16, 3))
    rescaling = layers.Rescaling(0.5, -3)
    x = _convolution()(rescaling(rescaling(image)))
    return keras.Model(image, _head(x), name="twice")


def _two_readers():
    image = keras.Input((16, 16, 3))
    x = _rescaling()(image)
    x = layers.Concatenate()([_convolution()(x), x])
    return keras.Model(image, _head(x), name="readers")


def _scale_of_each_channel():
    image = keras.Input((16, 16, 3))
    x = layers.Rescaling([1 / 127.5, 1 / 100, 1 / 50], [-1.0, -2.0, -3.0])(image)
    return keras.Model(image, _head(_convolution()(x)), name="channels")


def _depthwise():
    image = keras.Input((16, 16, 3))
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2)
    return keras.Model(image, _head(x(_rescaling()(image))), name="depthwise")


def _uint8_input():
    image = keras.Input((16, 16, 3), dtype="uint8")
    return keras.Model(image, _head(_convolution()(_rescaling()(image))), name="uint8")


def _augmenting():
    """Its first layer works in training alone."""
    image = keras.Input((16, 16, 3))
    x = _rescaling()(layers.RandomFlip()(image))
    return keras.Model(image, _head(_convolution()(x)), name="augmenting")


@keras.saving.register_keras_serializable("keras_effnet_tests")
class Again(layers.Layer):
    """Computes with the kernel of another layer."""

    def __init__(self, convolution, **options):
        super().__init__(**options)
        self.convolution = convolution

    def call(self, x):
        return keras.ops.conv(x, self.convolution.kernel, padding="same")


def _tied():
    image = keras.Input((16, 16, 3))
    convolution = layers.Conv2D(3, 3, padding="same")
    x = Again(convolution)(convolution(_rescaling()(image)))
    return keras.Model(image, _head(x), name="tied")


def _far_mean():
    """No pixel is as bright as the mean: it can't be a uint8's zero point."""
    image = keras.Input((16, 16, 3))
    x = layers.Rescaling(0.01, -3)(image)
    return keras.Model(image, _head(_convolution()(x)), name="far")


@pytest.mark.parametrize(
    "make",
    [
        _tied,
        _far_mean,
        _sequential,
        _custom,
        _nested,
        _shared,
        _shared_with_a_part,
        _shared_rescaling,
        _two_readers,
        _scale_of_each_channel,
        _depthwise,
        _uint8_input,
        _augmenting,
    ],
)
def test_float_and_int8(make, tmp_path):
    model = make()
    for layer in model.layers:
        if getattr(layer, "bias", None) is not None:
            layer.bias.assign(np.random.default_rng(0).uniform(-1, 1, layer.bias.shape))
    expected = np.asarray(model(PIXELS, training=False))
    assert expected.std(axis=0).max() > 1e-3
    whole, eight = export(model, tmp_path, ("float32", "int8"), lambda: (PIXELS,))
    assert peer.relative_error(tflite_file.run(whole.path, PIXELS), expected) <= 1e-5
    stored = tflite_file.stored(PIXELS, "int8")
    assert peer.relative_error(tflite_file.run(eight.path, stored), expected) <= 0.1


def test_the_users_model_stays_as_it_was(tmp_path):
    model = _nested()
    before = [len(layer._inbound_nodes) for layer in model.layers]
    for _ in range(2):
        export(model, tmp_path)
    assert [len(layer._inbound_nodes) for layer in model.layers] == before


def test_an_adapted_normalization_in_mixed_precision(tmp_path):
    """Its mean is no weight, but made of its weights."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    image = keras.Input((16, 16, 3))
    normalization = layers.Normalization()
    normalization.adapt(PIXELS)
    model = keras.Model(image, _head(_convolution()(normalization(image))), name="m")
    (file,) = export(model, tmp_path)
    expected = np.asarray(keras.ops.cast(model(PIXELS), "float32"))
    # bfloat16 has three digits.
    assert peer.relative_error(tflite_file.run(file.path, PIXELS), expected) <= 3e-2


def test_a_model_that_takes_no_pixels_keeps_its_own_scale(tmp_path):
    """0 to 1, spread to -1 to 1: what stands in front makes no pixels smaller."""
    image = keras.Input((16, 16, 3))
    x = _convolution()(layers.Rescaling(2, -1)(image))
    model = keras.Model(image, _head(x), name="unit")
    shares = PIXELS / 255
    (file,) = export(model, tmp_path, ("int8",), lambda: (shares,))
    assert not file.numbers["input"]["pixels"]
    assert file.numbers["input"]["scale"] == pytest.approx(1 / 255, rel=0.02)
    found = TFLiteModel(file.path).predict(shares)
    assert peer.relative_error(found, np.asarray(model(shares))) <= 0.1


def test_calibration_images_must_be_pixels_where_the_model_takes_them(tmp_path):
    with pytest.raises(InputError, match=r"takes pixels, 0-255.*from 0 to 1$"):
        export(_custom(), tmp_path, ("int8",), lambda: ((PIXELS > 128) * 1.0,))
    assert list(tmp_path.iterdir()) == []


def test_loops_are_refused_in_one_line(tmp_path):
    image = keras.Input((16, 16, 3))
    x = layers.GRU(4)(layers.Reshape((16, 48))(image))
    with pytest.raises(
        InputError, match=r"one graph, without loops.*Received: "
    ) as caught:
        export(keras.Model(image, layers.Dense(4)(x), name="loop"), tmp_path)
    assert "\n" not in str(caught.value)


def test_an_activation_that_xnnpack_lacks_in_8_bits_is_no_defect(tmp_path):
    image = keras.Input((16, 16, 3))
    x = layers.Activation("hard_silu")(_convolution()(_rescaling()(image)))
    model = keras.Model(image, _head(x), name="hard")
    (file,) = export(model, tmp_path, ("int8",), lambda: (PIXELS,))
    assert file.path.exists()


def test_a_layer_named_softmax_gives_probabilities(tmp_path):
    image = keras.Input((16, 16, 3))
    x = layers.Softmax()(_head(_convolution()(image)))
    (file,) = export(keras.Model(image, x, name="soft"), tmp_path)
    assert file.numbers["output"]["name"] == "probabilities"


def test_maps_are_no_classes(tmp_path):
    image = keras.Input((16, 16, 3))
    model = keras.Model(image, _convolution()(image), name="maps")
    with pytest.raises(InputError, match=r"\(batch, classes\).*Received: inputs"):
        export(model, tmp_path)


def test_a_custom_layer_that_tflite_lacks_is_named(tmp_path):
    with pytest.raises(InputError, match=r"Received: .*Erfinv") as caught:
        export(_custom(InverseErf), tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_last_maps_of_one_pixel_leave_waste_and_no_error(tmp_path):
    """The mean over 1 x 1 is a RESHAPE of the converter's."""
    spec = keras_effnet.scaled_spec("EfficientNetV2B0", width=0.25, depth=0.25)
    model = keras_effnet.build_model(spec, classes=4, input_shape=(28, 28, 1))
    pixels = peer.images(28, 28, 1)
    exported = export(model, tmp_path, ("float32", "int8"), lambda: (pixels,))
    assert [file.numbers["waste"] for file in exported] == [["1 RESHAPE"]] * 2
    found = tflite_file.run(exported[0].path, pixels)
    assert peer.relative_error(found, np.asarray(model(pixels))) <= 1e-5


def test_channels_first_is_refused(tmp_path):
    image = keras.Input((3, 16, 16))
    first = layers.Conv2D(4, 3, data_format="channels_first")(image)
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(first)))
    with pytest.raises(InputError, match=r"channels must come last.*Received: 'conv2d"):
        export(model, tmp_path)


def test_a_pad_is_no_waste(tmp_path):
    """ResNet's first padding is none of the two that a convolution knows; XNNPACK's
    does."""
    image = keras.Input((16, 16, 3))
    x = layers.ZeroPadding2D(3)(_rescaling()(image))
    x = layers.Conv2D(8, 7, strides=2)(x)
    model = keras.Model(image, _head(x), name="padded")
    (file,) = export(model, tmp_path)
    assert tflite_file.operators(file.path).count("PAD") == 1
    assert not file.numbers["waste"]
    expected = np.asarray(model(PIXELS))
    assert peer.relative_error(tflite_file.run(file.path, PIXELS), expected) <= 1e-5


@pytest.mark.slow
def test_efficientnet_of_keras_applications(tmp_path):
    """Rescaling, Normalization and Rescaling become one operation."""
    pixels = peer.images(64, 64, batch=6).round()
    model = peer.build("EfficientNetB0", (64, 64, 3))
    (file,) = export(model, tmp_path)
    expected = np.asarray(model(pixels))
    assert peer.relative_error(tflite_file.run(file.path, pixels), expected) <= 1e-5
    assert tflite_file.in_front(file.path) == ["SUB"]
    # At an even size its ZeroPadding2D is what SAME pads, and the converter sees it.
    assert file.numbers["waste"] == []


@pytest.mark.slow
def test_mobilenet_of_keras_applications(tmp_path):
    """Its pixels are normalised outside, and nothing stands in front."""
    pixels = peer.images(64, 64, batch=6) / 127.5 - 1
    model = keras.applications.MobileNetV2(
        weights=None, input_shape=(64, 64, 3), classes=10, classifier_activation=None
    )
    peer.randomize(model, pixels)
    (file,) = export(model, tmp_path)
    expected = np.asarray(model(pixels))
    assert peer.relative_error(tflite_file.run(file.path, pixels), expected) <= 1e-5
    assert tflite_file.in_front(file.path) == []
    with pytest.raises(InputError, match="what a pixel is worth"):
        export(model, tmp_path, input_type="uint8")
