"""The twin of a model, in Keras 3 and in Keras 2, against the model itself."""

import importlib.util
import warnings

import keras
import numpy as np
import peer
import pytest
from keras import layers

import keras_effnet
from keras_effnet.errors import InputError
from keras_effnet.export.compression import twin

SHAPE = (32, 32, 3)
PIXELS = peer.images(*SHAPE)


def tf_keras():
    return pytest.importorskip("tf_keras", reason="tf_keras is not installed")


@pytest.fixture(autouse=True)
def _float64():
    """In float32 a random network answers otherwise by 2e-5 when its graph is run
    in another order: the same one too."""
    libraries = [keras]
    if importlib.util.find_spec("tf_keras"):
        libraries.append(tf_keras())
    for library in libraries:
        library.backend.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    for library in libraries:
        library.backend.set_floatx("float32")


def answer(model):
    answers = np.asarray(model(PIXELS, training=False))
    assert answers.dtype == np.float64
    return answers


def assert_twins(model):
    """The twin of either library answers as the model, and gives its weights back."""
    expected = answer(model)
    assert np.ptp(expected, axis=0).max() > 0.01 * np.abs(expected).max()
    description, arrays = twin.describe(model), twin.weights(model)
    for library in (keras, tf_keras()):
        found = twin.build(description, library)
        assert isinstance(found, library.Model)
        twin.assign(found, arrays)
        assert peer.relative_error(answer(found), expected) <= 1e-5
        back = twin.weights(found)
        assert set(back) <= set(arrays)
        for name, array in back.items():
            np.testing.assert_array_equal(array, arrays[name])
        # Only a Normalization's numbers are kept elsewhere: in its Rescaling.
        rest = {name.rsplit("/", 1)[0] for name in set(arrays) - set(back)}
        assert all(
            isinstance(model.get_layer(name), layers.Normalization) for name in rest
        )


@pytest.mark.parametrize(
    "name",
    [
        "EfficientNetLite0",
        pytest.param("EfficientNetV2B0", marks=pytest.mark.slow),
        pytest.param("EfficientNetB0", marks=pytest.mark.slow),
        pytest.param("EfficientNetEdgeTPUS", marks=pytest.mark.slow),
    ],
)
def test_our_networks(name):
    build = getattr(keras_effnet, name)
    model = build(input_shape=SHAPE, classes=7, classifier_activation=None)
    peer.randomize(model, PIXELS)
    assert_twins(model)


def test_keras_applications_efficientnet():
    assert_twins(peer.build("EfficientNetB0", SHAPE))


@pytest.mark.slow
def test_keras_applications_mobilenet():
    model = keras.applications.MobileNetV2(
        SHAPE, weights=None, classes=7, classifier_activation=None
    )
    pixels = PIXELS / 127.5 - 1
    peer.randomize(model, pixels)
    assert_twins(model)


def every_layer():
    """A model in which every argument that the twin copies has an unusual value."""
    image = keras.Input(SHAPE)
    x = layers.Normalization(mean=[120, 110, 100], variance=[900, 800, 700])(image)
    x = layers.Rescaling(0.5, offset=0.1)(x)
    x = layers.ZeroPadding2D(((0, 1), (2, 1)))(x)
    x = layers.Conv2D(8, (3, 2), strides=2, padding="valid", activation="relu")(x)
    x = layers.Conv2D(
        12, 3, padding="same", groups=2, dilation_rate=2, activation="silu"
    )(layers.Conv2D(8, 1, padding="same", use_bias=False)(x))
    x = layers.BatchNormalization(axis=-1, epsilon=0.05, center=False)(x)
    x = layers.Activation("tanh")(x)
    y = layers.DepthwiseConv2D(
        3, strides=2, padding="same", depth_multiplier=2, activation="relu6"
    )(x)
    y = layers.BatchNormalization(epsilon=0.02, scale=False)(y)
    z = layers.DepthwiseConv2D(
        (2, 3), padding="valid", dilation_rate=2, use_bias=False
    )(layers.ZeroPadding2D((1, 2))(y))
    y = layers.Cropping2D(((0, 0), (0, 1)))(layers.ZeroPadding2D(((0, 0), (1, 0)))(y))
    y = layers.Concatenate(axis=-1)([y, z])
    y = layers.ReLU(max_value=3, negative_slope=0.2, threshold=0.1)(y)
    y = layers.SpatialDropout2D(0.3)(y)
    y = layers.Dropout(0.2, noise_shape=(None, 1, 1, 1))(y)
    pooled = layers.AveragePooling2D((2, 3), strides=1, padding="same")(y)
    y = layers.Add()([y, layers.MaxPooling2D(3, strides=1, padding="same")(y), pooled])
    gate = layers.GlobalAveragePooling2D(keepdims=True)(y)
    gate = layers.Conv2D(48, 1, activation="sigmoid")(gate)
    y = layers.Multiply()([y, gate])
    y = layers.AveragePooling2D(2)(layers.MaxPooling2D((2, 1))(y))
    average = layers.GlobalAveragePooling2D()(y)
    most = layers.Flatten()(layers.GlobalMaxPooling2D(keepdims=True)(y))
    y = layers.Concatenate(axis=1)([average, most, layers.Flatten()(y)])
    y = layers.Dense(12, activation=keras.activations.relu)(y)
    y = layers.Reshape((-1,))(layers.Reshape((2, 2, 3))(y))
    y = layers.Softmax(axis=-1)(layers.Dense(5, use_bias=False)(y))
    model = keras.Model(image, y)
    random = np.random.default_rng(0)
    for weight in model.weights:
        if "kernel" not in weight.path and "normalization/" not in weight.path[:14]:
            low = 0.5 if "variance" in weight.path or "gamma" in weight.path else -0.5
            weight.assign(random.uniform(low, 1, weight.shape))
    return model


def test_every_layer_and_argument():
    model = every_layer()
    assert {type(layer).__name__ for layer in model.layers[1:]} == set(twin._ARGUMENTS)
    assert_twins(model)


def test_a_sequential_model():
    model = keras.Sequential(
        [keras.Input(SHAPE), layers.Conv2D(4, 3), layers.Flatten()]
    )
    model.add(layers.Dense(3))
    assert_twins(model)


def test_layers_that_another_model_uses_too():
    image = keras.Input(SHAPE)
    convolution = layers.Conv2D(4, 3)
    model = keras.Model(image, layers.GlobalMaxPooling2D()(convolution(image)))
    other = keras.Input(SHAPE)
    keras.Model(other, convolution(layers.Rescaling(2.0)(other)))
    assert_twins(model)


def test_swish_is_a_sigmoid_and_a_product():
    image = keras.Input(SHAPE, name="image")
    x = layers.Conv2D(4, 3, activation="swish", name="conv")(image)
    model = keras.Model(image, layers.GlobalAveragePooling2D(name="pool")(x))
    nodes = twin.describe(model)["nodes"]
    assert [(node["name"], node["kind"], node["inputs"]) for node in nodes] == [
        ("conv", "Conv2D", ["image"]),
        ("conv_activation_sigmoid", "Activation", ["conv"]),
        ("conv_activation", "Multiply", ["conv", "conv_activation_sigmoid"]),
        ("pool", "GlobalAveragePooling2D", ["conv_activation"]),
    ]


def test_blocks_of_matrices_answer_as_convolutions():
    image = keras.Input(SHAPE)
    x = layers.Conv2D(6, 1, activation="relu", name="one")(image)
    x = layers.Conv2D(4, 1, strides=2, name="strided")(x)
    x = layers.Conv2D(4, 1, groups=2, use_bias=False, name="grouped")(x)
    x = layers.Conv2D(4, 1, use_bias=False, name="last")(x)
    model = keras.Model(image, layers.GlobalMaxPooling2D()(x))
    description = twin.with_matrices(twin.describe(model))
    kinds = {node["name"]: node["kind"] for node in description["nodes"]}
    assert kinds["one"] == kinds["last"] == "Dense"
    assert kinds["strided"] == kinds["grouped"] == "Conv2D"
    found = twin.build(description, keras)
    twin.assign(found, twin.weights(model))
    assert peer.relative_error(answer(found), answer(model)) <= 1e-5


@pytest.mark.parametrize(
    ("activation", "expected"),
    [("softmax", "softmax"), ("sigmoid", "sigmoid"), (None, None), ("linear", None)],
)
def test_logits(activation, expected):
    image = keras.Input(SHAPE)
    x = layers.GlobalAveragePooling2D()(image)
    model = keras.Model(image, layers.Dense(3, activation=activation, name="top")(x))
    assert twin.logits(twin.describe(model)) == ("top", expected)


def test_logits_before_a_softmax_layer():
    image = keras.Input(SHAPE)
    x = layers.Dense(3, name="top")(layers.GlobalAveragePooling2D()(image))
    model = keras.Model(image, layers.Softmax()(x))
    assert twin.logits(twin.describe(model)) == ("top", "softmax")


def _of(function):
    image = keras.Input(SHAPE)
    return keras.Model(image, function(image))


def _nested():
    inner = keras.Sequential([keras.Input(SHAPE), layers.Conv2D(4, 3)], name="body")
    return _of(lambda x: layers.Flatten()(inner(x)))


def _twice():
    convolution = layers.Conv2D(3, 3, padding="same", name="both")
    return _of(lambda x: convolution(convolution(x)))


def _quantised():
    model = _of(lambda x: layers.Dense(4, name="top")(layers.Flatten()(x)))
    with warnings.catch_warnings():
        # Keras tries its InputLayer as well, and says so.
        warnings.simplefilter("ignore", UserWarning)
        model.quantize("int8")
    return model


def _channels_first():
    return _of(lambda x: layers.Conv2D(4, 3, data_format="channels_first", name="c")(x))


def unknown(x):
    return x


class Own(layers.Conv2D):
    """A layer that only its author knows."""


BAD = {
    "nested": (_nested, r"takes flat models.*Received: the layer 'body' is a "),
    "operation": (
        lambda: _of(lambda x: x * layers.Conv2D(3, 1)(x)),
        r"`keras.layers.Multiply\(\)\(\[x, y\]\)` instead of `x \* y`. "
        "Received: the operation 'multiply",
    ),
    "unsupported": (
        lambda: _of(lambda x: layers.UpSampling2D(name="up")(x)),
        "'up' can't be rebuilt for TF-MOT; replace it by layers of Activation, Add, "
        r".*ZeroPadding2D. Received: UpSampling2D",
    ),
    "own": (
        lambda: _of(lambda x: Own(3, 3, name="mine")(x)),
        "'mine' can't be rebuilt for TF-MOT; replace it .*Received: Own",
    ),
    "activation": (
        lambda: _of(lambda x: layers.Conv2D(3, 3, activation="gelu", name="c")(x)),
        "activation of the layer 'c' must be one of linear, relu, .*Received: gelu",
    ),
    "activation layer": (
        lambda: _of(lambda x: layers.Activation(unknown, name="a")(x)),
        "activation of the layer 'a' must be one of linear, .*Received: unknown",
    ),
    "twice": (_twice, "must be used once.*Received: 'both' is used 2 times"),
    "quantised": (
        _quantised,
        "quantised already; start from the float model. Received: the layer 'top' is "
        "int8",
    ),
    "channels first": (_channels_first, "channels last.*'c' with data_format='cha"),
    "name": (
        lambda: _of(lambda x: layers.Conv2D(3, 3, name="conv a")(x)),
        "letters, digits.*Received: 'conv a'",
    ),
    "two of a name": (
        lambda: _of(
            lambda x: layers.ReLU(name="c_activation")(
                layers.Conv2D(3, 3, activation="relu", name="c")(x)
            )
        ),
        "two layers would have one name.*Received: 'c_activation'",
    ),
    "inverted": (
        lambda: _of(
            lambda x: layers.Normalization(mean=1, variance=2, invert=True, name="n")(x)
        ),
        "must be of the channels, the last axis. Received: 'n' .*invert=True",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_refuses(kind):
    build, message = BAD[kind]
    with pytest.raises(InputError, match=message) as refused:
        twin.describe(build())
    assert "\n" not in str(refused.value)


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


@pytest.mark.parametrize("technique", ["qat", "prune", "cluster"])
def test_a_subclassed_model(technique):
    from keras_effnet import export

    model = Subclassed()
    model(PIXELS)
    with pytest.raises(InputError, match=r"functional or sequential.*Subclassed"):
        getattr(export, technique)(model, PIXELS)


def test_pixels_scaled_by_arrays():
    scale, offset = np.array([1 / 128, 1 / 64, 1 / 32]), np.array([-1.0, 0.0, 1.0])
    model = _of(lambda x: layers.Rescaling(scale, offset)(x))
    found = twin.build(twin.describe(model), tf_keras())
    assert peer.relative_error(found(PIXELS), model(PIXELS)) <= 1e-6


@pytest.mark.parametrize(
    ("activation", "classes", "expected"),
    [
        (None, 1, "sigmoid"),
        (None, 2, "softmax"),
        ("sigmoid", 2, "sigmoid"),
        ("softmax", 2, "softmax"),
    ],
)
def test_what_makes_probabilities(activation, classes, expected):
    model = _of(lambda x: layers.Dense(classes, activation)(layers.Flatten()(x)))
    assert twin.loss(twin.describe(model), classes) == expected


def test_the_last_axis_of_a_depthwise_kernel():
    """A Keras 2 depthwise kernel has the shape of Keras 3's, multiplier last."""
    model = _of(lambda x: layers.DepthwiseConv2D(3, depth_multiplier=2)(x))
    found = twin.build(twin.describe(model), tf_keras())
    assert found.layers[1].depthwise_kernel.shape == (3, 3, 3, 2)
