"""`keras.applications` as an oracle: random weights, copied by layer name."""

import keras
import numpy as np

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406])  # of 0..1 RGB, torchvision's
IMAGENET_STD = np.array([0.229, 0.224, 0.225])
NAMES = [
    *(f"EfficientNetB{n}" for n in range(8)),
    *(f"EfficientNetV2B{n}" for n in range(4)),
    *(f"EfficientNetV2{size}" for size in "SML"),
]


def build(name, input_shape):
    """The same network of `keras.applications`, everything in it random.

    V1's Normalization, which a weights file would fill, gets ImageNet's
    statistics.
    """
    model = getattr(keras.applications, name)(
        weights=None, classifier_activation=None, input_shape=input_shape
    )
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            layer.set_weights([IMAGENET_MEAN, IMAGENET_STD**2, np.array(0)])
            layer.finalize_state()
    randomize(model, images(*input_shape))
    return model


def randomize(model, pixels):
    """Random BatchNormalization variables and biases; kernels are so already.

    Fresh BatchNormalizations are the identity and hide a wrong epsilon or axis.
    But moving statistics far from those of the activations make a deep network
    constant, and activations that bend much make it chaotic: the last bit of a
    pixel then decides the output, and nothing can be compared. So the statistics
    are taken from the activations before they are shaken, and most activations
    lie where swish bends little.
    """
    random = np.random.default_rng(0)
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    drops = [x for x in model.layers if isinstance(x, keras.layers.Dropout)]
    settings = [(x, "momentum", x.momentum, 0.0) for x in norms]
    settings += [(x, "rate", x.rate, 0.0) for x in drops]
    for layer in model.layers:
        if getattr(layer, "bias", None) is not None:
            layer.bias.assign(random.uniform(-0.4, 0.4, layer.bias.shape))
    for layer in norms:
        layer.gamma.assign(random.uniform(0.4, 0.8, layer.gamma.shape))
        layer.beta.assign(random.uniform(0.5, 1.5, layer.beta.shape))
    for layer, key, _, value in settings:
        setattr(layer, key, value)
    model(pixels, training=True)
    for layer, key, value, _ in settings:
        setattr(layer, key, value)
    for layer in norms:
        variance = np.asarray(layer.moving_variance)
        variance = np.maximum(variance, 0.1 * variance.mean())
        shift = random.uniform(-0.4, 0.4, variance.shape) * np.sqrt(variance)
        layer.moving_mean.assign(layer.moving_mean + shift)
        layer.moving_variance.assign(variance * random.uniform(0.6, 1.4, shift.shape))


def copy(source, target):
    """Copies weights by layer name; every layer of `target` must get its own."""
    for layer in target.layers:
        if layer.weights:
            layer.set_weights(source.get_layer(layer.name).get_weights())


def images(height, width, channels=3, batch=4):
    """Random pixels, 0-255."""
    shape = (batch, height, width, channels)
    return np.random.default_rng(0).uniform(0, 255, shape).astype("float32")


def normalized(name, pixels):
    """What each weight set expects, in numpy (google/automl, tensorflow/tpu)."""
    if name in ("EfficientNetV2S", "EfficientNetV2M", "EfficientNetV2L"):
        return (pixels - 128) / 128
    return ((pixels / 255 - IMAGENET_MEAN) / IMAGENET_STD).astype("float32")


def relative_error(actual, expected):
    """max|difference| over max|expected|."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    return np.abs(actual - expected).max() / np.abs(expected).max()
