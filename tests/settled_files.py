"""A small EfficientNet-Lite as .tflite files whose answers vary with the image."""

import keras
import peer

import keras_effnet
from keras_effnet.export import export


def write(folder):
    """Writes the files of a network of random weights; their paths by precision.

    BatchNormalization has the statistics of images, as after training: the answers
    of a fresh network fade to one and the same, which would hide any error.
    """
    keras.utils.set_random_seed(0)
    spec = keras_effnet.scaled_spec(
        "EfficientNetLite0", width=0.25, depth=0.25, image_size=32, name="settled"
    )
    model = keras_effnet.build_model(spec, classes=5)
    images = peer.images(32, 32, batch=32)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(images, training=True)
    model.layers[-1].kernel.assign(model.layers[-1].kernel / 10)
    exported = export(
        model,
        folder,
        ("float32", "int8"),
        calibration=lambda: (image[None] for image in images),
    )
    return {file.precision: file.path for file in exported}
