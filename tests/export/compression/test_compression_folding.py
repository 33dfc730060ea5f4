"""Normalisations folded into kernels: the same answers, the kernel of the file."""

import keras
import numpy as np
import peer
import pytest
import tflite_file
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from keras_effnet.export import export
from keras_effnet.export.compression import folding
from keras_effnet.export.compression import twin

PIXELS = peer.images(16, 16)


def behind_rescaling(function):
    image = keras.Input((16, 16, 3))
    x = layers.Rescaling(1 / 128, -1)(image)
    return network(image, layers.Flatten()(function(x)))


def network(image, outputs):
    """A model with random weights, normalisations included."""
    model = keras.Model(image, outputs)
    random = np.random.default_rng(0)
    for weight in model.weights:
        low = 0.2 if "variance" in weight.path else -1.5
        weight.assign(random.uniform(low, 1.5, weight.shape))
    return model


def folded(model):
    """`(arrays, names)`, after a look at what the model answers with the arrays."""
    arrays, names = folding.fold(twin.describe(model), twin.weights(model))
    expected = np.asarray(model(PIXELS))
    copy = keras.models.clone_model(model)
    twin.assign(copy, arrays)
    assert peer.relative_error(copy(PIXELS), expected) <= 1e-5
    return arrays, names


def norm(**options):
    return layers.BatchNormalization(name="norm", **options)


def bare(kind, **options):
    return kind(name="kernel", use_bias=False, **options)


KERNELS = {
    "convolution": lambda: bare(layers.Conv2D, filters=6, kernel_size=3),
    "grouped": lambda: bare(layers.Conv2D, filters=6, kernel_size=3, groups=3),
    "depthwise": lambda: bare(layers.DepthwiseConv2D, kernel_size=3),
    "multiplied": lambda: bare(
        layers.DepthwiseConv2D, kernel_size=3, depth_multiplier=2
    ),
    "dense": lambda: bare(layers.Dense, units=6),
    "biased": lambda: layers.Conv2D(6, 3, name="kernel"),
}


@pytest.mark.parametrize("kind", KERNELS)
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("scale", [True, False])
def test_what_is_left_only_adds(kind, center, scale):
    options = {"center": center, "scale": scale, "epsilon": 1.7e-3}
    model = behind_rescaling(lambda x: norm(**options)(KERNELS[kind]()(x)))
    before = twin.weights(model)
    arrays, names = folded(model)
    assert names == ["norm"]
    assert not np.allclose(arrays["kernel/0"], before["kernel/0"])
    layer = keras.models.clone_model(model).get_layer("norm")
    layer.set_weights(twin.of_layer(layer, arrays))
    variance = np.asarray(layer.moving_variance)
    assert variance.dtype == np.float32
    assert (variance + np.float32(1.7e-3) == np.float32(1)).all()
    if scale:
        assert (np.asarray(layer.gamma) == 1).all()
    if center:
        assert (np.asarray(layer.moving_mean) == 0).all()


@pytest.mark.parametrize("epsilon", [0.0, 1e-12, 1e-5, 1e-3, 0.01, 0.3, 0.9])
def test_the_variance_and_epsilon_are_one(epsilon):
    epsilon = np.float32(epsilon)
    assert folding._one_less(epsilon) + epsilon == np.float32(1)


@pytest.mark.parametrize("kind", ["shared", "alone", "other axis", "behind"])
def test_what_stays_as_it_is(kind):
    def function(x):
        if kind == "alone":
            return norm()(x)
        y = KERNELS["convolution"]()(x)
        if kind == "shared":
            return layers.Add()([norm()(y), y])
        if kind == "other axis":
            return norm(axis=1)(y)
        return norm()(layers.Activation("relu")(y))

    model = behind_rescaling(function)
    arrays, names = folded(model)
    assert names == []
    for name, array in twin.weights(model).items():
        np.testing.assert_array_equal(arrays[name], array)


def test_the_arrays_that_went_in_are_untouched():
    model = behind_rescaling(lambda x: norm()(KERNELS["convolution"]()(x)))
    arrays = twin.weights(model)
    kept = {name: array.copy() for name, array in arrays.items()}
    folding.fold(twin.describe(model), arrays)
    for name, array in kept.items():
        np.testing.assert_array_equal(arrays[name], array)


def test_a_convolution_that_is_the_output_too():
    model = behind_rescaling(lambda x: norm()(KERNELS["convolution"]()(x)))
    description = twin.describe(model)
    # One description that answers the kernel's values, normalised or not.
    description["nodes"].append(
        {
            "name": "both",
            "kind": "Concatenate",
            "config": {"axis": -1},
            "inputs": ["kernel", "norm"],
            "layer": None,
        }
    )
    assert folding.fold(description, twin.weights(model))[1] == []


def test_sixteen_values_stay_sixteen_in_the_file(tmp_path):
    """What the file's kernels hold is what the training saw."""

    def function(x):
        x = norm()(KERNELS["convolution"]()(x))
        x = layers.DepthwiseConv2D(3, use_bias=False, name="depthwise")(x)
        x = layers.BatchNormalization(name="norm2")(x)
        return layers.Dense(5)(layers.GlobalAveragePooling2D()(x))

    image = keras.Input((16, 16, 3))
    model = network(image, function(image))
    arrays, names = folded(model)
    assert names == ["norm", "norm2"]
    values = np.float32(np.linspace(-0.7, 0.9, 16))
    shapes = {}
    for name in ("kernel/0", "depthwise/0"):
        kernel = arrays[name]
        shapes[kernel.size] = name
        arrays[name] = values[np.arange(kernel.size) % 16].reshape(kernel.shape)
    twin.assign(model, arrays)
    (file,) = export(model, tmp_path)
    assert tflite_file.operators(file.path).count("CONV_2D") == 1
    interpreter = Interpreter(str(file.path))
    found = {}
    for operator in interpreter._get_ops_details():
        if operator["op_name"] in tflite_file.CONVOLUTIONS:
            found[operator["op_name"]] = interpreter.get_tensor(operator["inputs"][1])
    assert set(found) == set(tflite_file.CONVOLUTIONS)
    for kernel in found.values():
        assert kernel.size in shapes
        np.testing.assert_array_equal(np.unique(kernel), values)
