"""EfficientNets of other programs on Keras 2, as oracles for weights files.

As a script it needs TF_USE_LEGACY_KERAS=1, and writes for each network the
weights, the pixels and the logits: `python tf_keras_peer.py FOLDER NETWORK...`.
"""

import pathlib
import sys
from unittest import mock

import numpy as np
import peer
import tf_keras

# Odd at every stride: padding that is the same on both sides is SAME there.
SHAPE = (33, 33, 3)


def randomize(model, pixels):
    """`peer.randomize` for Keras 2, whose layers have the same attributes.

    An initializer that layers share gives equal kernels there: they are drawn
    again.
    """
    random = np.random.default_rng(0)
    for weight in model.weights:
        if weight.name.endswith("kernel:0"):
            weight.assign(random.normal(0, weight.numpy().std(), weight.shape))
    with mock.patch.object(peer, "keras", tf_keras):
        peer.randomize(model, pixels)


def logits(model, pixels):
    """What the last layer gives without its softmax."""
    model.layers[-1].activation = tf_keras.activations.linear
    return model(pixels).numpy()


def set_normalization(model, variance):
    """Fills V1's Normalization, as its weights file would."""
    for layer in model.layers:
        if isinstance(layer, tf_keras.layers.Normalization) and layer.weights:
            layer.set_weights([peer.IMAGENET_MEAN, variance, np.array(0)])
            layer.finalize_state()


def _keras_efficientnet_v2(name):
    import keras_efficientnet_v2

    constructor = getattr(keras_efficientnet_v2, name)
    classes = 21843 if name == "EfficientNetV2B0" else 1000
    return constructor(num_classes=classes, input_shape=SHAPE, pretrained=None)


def _kecam(name):
    from keras_cv_attention_models import efficientnet

    constructor = getattr(efficientnet, name)
    model = constructor(input_shape=SHAPE, pretrained=None)
    for layer in model.layers:
        # Its EdgeTPU networks have PyTorch's epsilon; the official ones 1e-3.
        if isinstance(layer, tf_keras.layers.BatchNormalization):
            layer.epsilon = 1e-3
    return model


def _qubvel(name):
    # It resizes photographs with scikit-image, which is not needed here.
    missing = dict.fromkeys(("skimage", "skimage.transform"), mock.MagicMock())
    with mock.patch.dict(sys.modules, missing):
        from efficientnet import tfkeras
    return getattr(tfkeras, name)(weights=None, input_shape=SHAPE)


_PROGRAMS = {
    "keras_efficientnet_v2": _keras_efficientnet_v2,
    "keras_cv_attention_models": _kecam,
    "efficientnet": _qubvel,
}


def _write(folder, networks):
    pixels = peer.images(*SHAPE) / 127.5 - 1
    np.save(folder / "pixels.npy", pixels)
    for network in networks:
        program, name = network.split(".")
        model = _PROGRAMS[program](name)
        randomize(model, pixels)
        np.save(folder / f"{network}.npy", logits(model, pixels))
        model.save_weights(folder / f"{network}.h5")


if __name__ == "__main__":
    _write(pathlib.Path(sys.argv[1]), sys.argv[2:])
