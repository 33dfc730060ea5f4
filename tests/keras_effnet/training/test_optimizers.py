"""The optimizers against TensorFlow 1's own, and against numpy."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_effnet.errors import InputError
from keras_effnet.training import optimizers
from keras_effnet.training.recipe import Recipe

RECIPE = Recipe("x", "EfficientNetB0", epochs=1)
STEPS = 50


def gradients(shape=(3, 4)):
    random = np.random.default_rng(0)
    # From one to a thousandth, so that epsilon counts.
    scales = np.logspace(0, -3, STEPS)
    return [(scale * random.normal(size=shape)).astype("float32") for scale in scales]


def learning_rates():
    return np.linspace(0.3, 0.01, STEPS).astype("float32")


class Listed(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step):
        return keras.ops.take(keras.ops.convert_to_tensor(learning_rates()), step)


def ours(recipe, start, learning_rate=None, name="kernel"):
    """The weights after each of the steps."""
    weight = keras.Variable(start, name=name)
    optimizer = optimizers.build_optimizer(recipe, learning_rate or Listed())
    trace = []
    for gradient in gradients(start.shape):
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [weight])
        trace.append(np.array(keras.ops.convert_to_numpy(weight)))
    return np.stack(trace)


START = np.random.default_rng(1).normal(size=(3, 4)).astype("float32")


def test_rmsprop_is_tensorflow_1_s_over_50_steps():
    weight = tf.Variable(START)
    rate = tf.Variable(0.0)
    official = tf.compat.v1.train.RMSPropOptimizer(
        rate, decay=0.9, momentum=0.9, epsilon=0.001
    )
    trace = []
    for gradient, value in zip(gradients(), learning_rates(), strict=True):
        rate.assign(value)
        official.apply_gradients([(tf.constant(gradient), weight)])
        trace.append(weight.numpy())
    actual = ours(RECIPE, START)
    np.testing.assert_allclose(actual, np.stack(trace), rtol=1e-5, atol=1e-6)


def test_rmsprop_is_the_published_formula():
    weight, square, velocity = START.astype("float64"), 1.0, 0.0
    trace = []
    for gradient, rate in zip(gradients(), learning_rates(), strict=True):
        square = 0.9 * square + 0.1 * gradient.astype("float64") ** 2
        velocity = 0.9 * velocity + rate * gradient / np.sqrt(square + 0.001)
        weight = weight - velocity
        trace.append(weight)
    np.testing.assert_allclose(ours(RECIPE, START), trace, rtol=1e-4, atol=1e-5)


def test_stock_rmsprop_is_another_one():
    """Why there is a class of our own: its mean square starts from 0."""
    weight = keras.Variable(START)
    stock = keras.optimizers.RMSprop(0.3, rho=0.9, momentum=0.9, epsilon=0.001)
    stock.apply([keras.ops.convert_to_tensor(gradients()[0])], [weight])
    moved = np.abs(keras.ops.convert_to_numpy(weight) - START).max()
    assert moved > 2 * np.abs(ours(RECIPE, START)[0] - START).max()


def test_sgd_of_the_classic_tutorial_by_hand():
    recipe = dataclasses.replace(RECIPE, optimizer="sgd", momentum=0.8)
    weight, velocity, trace = START.astype("float64"), 0.0, []
    for gradient in gradients():
        velocity = 0.8 * velocity - 0.01 * gradient
        weight = weight + velocity
        trace.append(weight)
    actual = ours(recipe, START, 0.01)
    np.testing.assert_allclose(actual[0], START - 0.01 * gradients()[0], rtol=1e-6)
    np.testing.assert_allclose(actual, trace, rtol=1e-5, atol=1e-6)


def test_adam_takes_the_recipe_s_numbers():
    recipe = dataclasses.replace(
        RECIPE, optimizer="adam", momentum=0.8, rho=0.99, epsilon=1e-3
    )
    weight, first, second, trace = START.astype("float64"), 0.0, 0.0, []
    for step, gradient in enumerate(gradients(), start=1):
        first = 0.8 * first + 0.2 * gradient
        second = 0.99 * second + 0.01 * gradient.astype("float64") ** 2
        rate = 0.05 * np.sqrt(1 - 0.99**step) / (1 - 0.8**step)
        weight = weight - rate * first / (np.sqrt(second) + 1e-3)
        trace.append(weight)
    np.testing.assert_allclose(ours(recipe, START, 0.05), trace, rtol=1e-4, atol=1e-5)


def small_model():
    """Every kind of weight that a network of ours has."""
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, use_bias=False, name="conv")(x)
    x = keras.layers.BatchNormalization(name="bn")(x)
    x = keras.layers.DepthwiseConv2D(3, use_bias=True, name="dwconv")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(5, name="predictions")(x)
    return keras.Model(inputs, x)


def test_decay_acts_on_kernels_alone():
    model = small_model()
    decayed = {each.path for each in model.weights if optimizers.is_kernel(each)}
    assert decayed == {"conv/kernel", "dwconv/kernel", "predictions/kernel"}


def step_of(recipe, loss_l2, steps=1, batch=None):
    """The weights of `small_model` after training steps on fixed numbers."""
    model = small_model()
    random = np.random.default_rng(3)
    for weight in model.trainable_weights:
        weight.assign(random.normal(size=weight.shape))
    images = random.normal(size=(4, 8, 8, 3)).astype("float32")
    targets = random.normal(size=(4, 5)).astype("float32")
    optimizer = optimizers.build_optimizer(recipe, 0.1)
    variables = model.trainable_weights
    for index in range(steps):
        chosen = slice(None) if batch is None else slice(index * batch, None)
        chosen = slice(chosen.start, batch and (index + 1) * batch)
        with tf.GradientTape() as tape:
            outputs = model(images[chosen], training=False)
            loss = tf.reduce_mean((outputs - targets[chosen]) ** 2)
            for weight in variables:
                if optimizers.is_kernel(weight):
                    loss += loss_l2 * tf.nn.l2_loss(weight.value)
        values = tape.gradient(loss, [weight.value for weight in variables])
        optimizer.apply(values, variables)
    return {weight.path: weight.numpy() for weight in variables}


@pytest.mark.parametrize("name", ["rmsprop", "sgd", "adam"])
def test_decay_equals_l2_in_the_loss(name):
    recipe = dataclasses.replace(RECIPE, optimizer=name)
    with_decay = dataclasses.replace(recipe, weight_decay=0.3)
    actual = step_of(with_decay, 0.0, steps=3)
    expected = step_of(recipe, 0.3, steps=3)
    without = step_of(recipe, 0.0, steps=3)
    for path, value in expected.items():
        np.testing.assert_allclose(actual[path], value, rtol=1e-4, atol=1e-5)
    assert not np.allclose(without["dwconv/kernel"], expected["dwconv/kernel"])


def test_decay_equals_l2_in_the_loss_with_accumulation_too():
    recipe = dataclasses.replace(RECIPE, optimizer="sgd", accumulate=2)
    with_decay = dataclasses.replace(recipe, weight_decay=0.3)
    actual = step_of(with_decay, 0.0, steps=2, batch=2)
    expected = step_of(recipe, 0.3, steps=2, batch=2)
    whole = dataclasses.replace(RECIPE, optimizer="sgd", weight_decay=0.3)
    for path, value in step_of(whole, 0.0).items():
        np.testing.assert_allclose(actual[path], value, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(expected[path], value, rtol=1e-4, atol=1e-5)


def test_adamw_is_decoupled_and_of_kernels_alone():
    recipe = dataclasses.replace(RECIPE, optimizer="adamw", rho=0.999)
    plain = dataclasses.replace(recipe, optimizer="adam")
    decayed = dataclasses.replace(recipe, weight_decay=0.5)
    before, after = step_of(plain, 0.0), step_of(decayed, 0.0)
    start = step_of(plain, 0.0, steps=0)
    for path, value in after.items():
        shrink = 0.1 * 0.5 * start[path] if path.endswith("kernel") else 0.0
        np.testing.assert_allclose(value, before[path] - shrink, rtol=1e-4, atol=1e-5)


def test_clipping_limits_the_global_norm():
    recipe = dataclasses.replace(
        RECIPE, optimizer="sgd", momentum=0.0, gradient_clip=0.5
    )
    moved = ours(recipe, START, 1.0)[0] - START
    assert np.linalg.norm(moved) == pytest.approx(0.5, rel=1e-5)


@pytest.mark.parametrize("name", ["rmsprop", "sgd", "adam", "adamw"])
def test_they_are_serialisable(name):
    recipe = dataclasses.replace(
        RECIPE, optimizer=name, weight_decay=0.1, gradient_clip=1.0, accumulate=3
    )
    first = optimizers.build_optimizer(recipe, 0.1)
    text = keras.saving.serialize_keras_object(first)
    second = keras.saving.deserialize_keras_object(text)
    assert type(second) is type(first)
    assert second.get_config() == first.get_config()
    assert second.gradient_accumulation_steps == 3
    decay = second.weight_decay if name == "adamw" else second.l2
    assert decay == 0.1


def test_state_carries_over():
    """What a checkpoint keeps is the whole state."""
    recipe = dataclasses.replace(RECIPE, weight_decay=0.1)
    whole = ours(recipe, START)
    first, second = (optimizers.build_optimizer(recipe, Listed()) for _ in range(2))
    weight = keras.Variable(START, name="kernel")
    for gradient in gradients()[:20]:
        first.apply([keras.ops.convert_to_tensor(gradient)], [weight])
    second.build([weight])
    for old, new in zip(first.variables, second.variables, strict=True):
        new.assign(old)
    for gradient in gradients()[20:]:
        second.apply([keras.ops.convert_to_tensor(gradient)], [weight])
    np.testing.assert_array_equal(weight.numpy(), whole[-1])


def test_mixed_precision_unscales_before_the_decay():
    recipe = dataclasses.replace(RECIPE, weight_decay=0.2)
    weight = keras.Variable(START, name="kernel")
    inner = optimizers.build_optimizer(recipe, Listed())
    outer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=1024.0)
    for gradient in gradients()[:5]:
        outer.apply([keras.ops.convert_to_tensor(gradient * 1024)], [weight])
    np.testing.assert_allclose(
        weight.numpy(), ours(recipe, START)[4], rtol=1e-5, atol=1e-6
    )


def test_unknown_optimizer():
    with pytest.raises(InputError, match="Received: optimizer='lars'"):
        optimizers.build_optimizer(dataclasses.replace(RECIPE, optimizer="lars"), 0.1)
