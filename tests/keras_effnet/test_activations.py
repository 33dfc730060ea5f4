"""Swish, against its definition and its limits."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_effnet import Swish

X = np.linspace(-6, 6, 49, dtype="float32")


def _sigmoid(x):
    return 1 / (1 + np.exp(-x.astype("float64")))


def test_beta_zero_is_half_the_input():
    np.testing.assert_array_equal(Swish(beta=0.0)(X), X / 2)


def test_beta_one_is_silu():
    np.testing.assert_allclose(Swish()(X), keras.activations.silu(X), rtol=1e-6)


def test_a_large_beta_is_relu():
    np.testing.assert_allclose(Swish(beta=500.0)(X), np.maximum(X, 0), atol=1e-6)
    tenth = np.abs(np.asarray(Swish(beta=10.0)(X)) - np.maximum(X, 0)).max()
    first = np.abs(np.asarray(Swish(beta=1.0)(X)) - np.maximum(X, 0)).max()
    # The largest distance to ReLU is 0.2785 / beta.
    assert first == pytest.approx(0.2785, rel=0.01)
    assert tenth < first


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 3.0])
def test_gradient(beta):
    """f'(x) = beta * f(x) + sigmoid(beta * x) * (1 - beta * f(x))."""
    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = Swish(beta=beta)(x)
    sigmoid = _sigmoid(beta * X)
    f = X * sigmoid
    expected = beta * f + sigmoid * (1 - beta * f)
    np.testing.assert_allclose(tape.gradient(y, x), expected, rtol=1e-4, atol=1e-6)


def test_gradient_of_beta():
    """df/dbeta = x^2 * sigmoid(beta * x) * (1 - sigmoid(beta * x))."""
    layer = Swish(beta=1.5, trainable_beta=True)
    with tf.GradientTape() as tape:
        y = layer(X)
    sigmoid = _sigmoid(1.5 * X)
    expected = (X**2 * sigmoid * (1 - sigmoid)).sum()
    gradient = tape.gradient(y, layer.beta.value)
    assert float(gradient) == pytest.approx(expected, rel=1e-4)


def test_a_trainable_beta_is_trained():
    """Towards the beta of 1 that the targets were made with, from 0.2."""
    model = keras.Sequential([keras.Input((1,)), Swish(0.2, trainable_beta=True)])
    model.compile(keras.optimizers.Adam(0.03), "mse")
    x = X[:, None]
    for _ in range(120):
        model.train_on_batch(x, Swish()(x))
    assert float(model.layers[0].beta) == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("trainable", [False, True])
def test_saved_and_loaded(trainable, tmp_path):
    model = keras.Sequential(
        [keras.Input((49,)), Swish(0.7, trainable_beta=trainable, name="swish")]
    )
    if trainable:
        model.layers[0].beta.assign(1.25)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert len(loaded.trainable_weights) == int(trainable)
    assert float(loaded.layers[0].beta) == pytest.approx(1.25 if trainable else 0.7)
    np.testing.assert_array_equal(loaded(X[None]), model(X[None]))


def test_a_fixed_beta_has_no_weights():
    layer = Swish(beta=0.7)
    layer(X)
    assert layer.weights == []


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_keeps_the_dtype(dtype):
    layer = Swish(beta=2.0, trainable_beta=True, dtype=f"mixed_{dtype}")
    y = layer(X)
    assert keras.backend.standardize_dtype(y.dtype) == dtype
    expected = X * _sigmoid(2 * X)
    np.testing.assert_allclose(keras.ops.cast(y, "float32"), expected, atol=0.03)


def test_keeps_the_shape():
    assert Swish()(keras.Input((3, None, 5))).shape == (None, 3, None, 5)
