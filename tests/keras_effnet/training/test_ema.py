"""The moving average against numpy; what is swapped in comes out again."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_effnet.errors import InputError
from keras_effnet.training.ema import EMA


def small_model():
    """Kernels, BatchNormalization, a counter and a random generator."""
    x = inputs = keras.Input((6, 6, 3))
    normalization = keras.layers.Normalization()
    normalization.build((None, 6, 6, 3))
    x = normalization(x)
    x = keras.layers.Conv2D(4, 3, name="conv")(x)
    x = keras.layers.BatchNormalization(momentum=0.5, name="bn")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(0.5)(x)
    x = keras.layers.Dense(2, name="predictions")(x)
    return keras.Model(inputs, x)


def values(model):
    return {each.path: np.array(each.numpy()) for each in model.weights}


def floats(model):
    return [each for each in model.weights if each.dtype == "float32"]


def train(model, ema, steps, trace=None):
    random = np.random.default_rng(5)
    model.compile("sgd", "mse")
    for _ in range(steps):
        images = random.normal(3, 2, (4, 6, 6, 3)).astype("float32")
        model.train_on_batch(images, random.normal(size=(4, 2)))
        ema.update()
        if trace is not None:
            trace.append(values(model))


@pytest.mark.parametrize("decay", [0.9999, 0.5, 0.2, 0.0])
def test_published_rule_for_every_weight_and_statistic(decay):
    """TensorFlow's: `min(decay, (1 + step) / (10 + step))`, the step from 1."""
    model = small_model()
    expected = {path: value.astype("float64") for path, value in values(model).items()}
    ema, trace = EMA(model, decay), []
    train(model, ema, 20, trace)
    for step, weights in enumerate(trace, start=1):
        share = min(decay, (1 + step) / (10 + step))
        for path, value in weights.items():
            expected[path] = share * expected[path] + (1 - share) * value
    last = values(model)
    with ema.swap() as swapped:
        assert swapped is model
        averages = values(model)
    for path in last:
        np.testing.assert_allclose(
            averages[path], expected[path], rtol=1e-4, atol=1e-5, err_msg=path
        )
    if decay:
        for path in ("bn/moving_mean", "bn/moving_variance", "conv/kernel"):
            assert not np.allclose(averages[path], last[path], rtol=1e-3), path


def test_tensorflow_1_s_own_average():
    import tensorflow as tf

    variable, step = tf.Variable([1.0, -2.0]), tf.Variable(0)
    official = tf.train.ExponentialMovingAverage(0.3, num_updates=step)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, name="dense")])
    model.get_layer("dense").bias.assign([1.0, -2.0])
    ema = EMA(model, 0.3)
    official.apply([variable])
    # The call that makes the average takes the weights in once; they are equal.
    for value in ([3.0, 4.0], [5.0, 0.0], [7.0, 7.0], [1.0, 2.0]):
        variable.assign(value)
        step.assign_add(1)
        official.apply([variable])
        model.get_layer("dense").bias.assign(value)
        ema.update()
    with ema.swap():
        actual = model.get_layer("dense").bias.numpy()
    np.testing.assert_allclose(actual, official.average(variable).numpy(), rtol=1e-6)


def test_swapped_weights_return_bit_by_bit_even_after_an_error():
    model = small_model()
    ema = EMA(model, 0.9)
    train(model, ema, 5)
    before = values(model)
    with ema.swap():
        assert not np.array_equal(values(model)["conv/kernel"], before["conv/kernel"])
        model.predict(np.zeros((1, 6, 6, 3), "float32"), verbose=0)
    with pytest.raises(ZeroDivisionError), ema.swap():
        raise ZeroDivisionError
    for path, value in values(model).items():
        np.testing.assert_array_equal(value, before[path], err_msg=path)
    # Once more: the averages are untouched by the swaps.
    state = ema.state()
    with ema.swap():
        pass
    for old, new in zip(state, ema.state(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_what_changes_the_model_within_the_swap_does_not_stay():
    model = small_model()
    ema = EMA(model, 0.9)
    before = values(model)
    with ema.swap():
        for weight in floats(model):
            weight.assign(weight + 1)
    for path, value in values(model).items():
        np.testing.assert_array_equal(value, before[path], err_msg=path)


def test_it_goes_on_from_its_state():
    def run(stop):
        keras.utils.set_random_seed(1)
        model = small_model()
        ema = EMA(model, 0.9)
        random = np.random.default_rng(2)
        for step in range(12):
            for weight in floats(model):
                weight.assign(random.normal(size=weight.shape))
            ema.update()
            if step == stop:
                state = ema.state()
                ema = EMA(model, 0.9)
                ema.restore(state)
        return ema.state()

    for whole, resumed in zip(run(None), run(6), strict=True):
        np.testing.assert_array_equal(whole, resumed)


def test_a_state_of_another_model_is_refused():
    ema = EMA(small_model(), 0.9)
    other = EMA(keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)]), 0.9)
    with pytest.raises(InputError, match="The state must have the weights"):
        ema.restore(other.state())


def test_with_accumulation_it_averages_when_the_weights_have_moved():
    model = small_model()
    thrice, once = EMA(model, 0.9, every=3), EMA(model, 0.9)
    random = np.random.default_rng(2)
    for batch in range(1, 8):
        for weight in floats(model):
            weight.assign(random.normal(size=weight.shape))
        thrice.update()
        if batch % 3 == 0:
            once.update()
    assert thrice.batches == 7
    for left, right in zip(thrice.state()[1:], once.state()[1:], strict=True):
        np.testing.assert_array_equal(left, right)


def test_it_is_traced_once():
    ema = EMA(small_model(), 0.9999)
    for _ in range(5):
        ema.update()
    assert ema._blend.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("decay", [1.0, -0.1, float("nan")])
def test_impossible_decay(decay):
    with pytest.raises(InputError, match="Received: decay="):
        EMA(small_model(), decay)


_JAX = """
import keras, numpy as np
from keras_effnet.training import optimizers
from keras_effnet.training.ema import EMA
from keras_effnet.training.recipes import get_recipe
from keras_effnet.training.schedules import build_schedule

assert keras.backend.backend() == "jax"
keras.utils.set_random_seed(0)
x = inputs = keras.Input((6, 6, 3))
x = keras.layers.Conv2D(4, 3)(x)
x = keras.layers.BatchNormalization()(x)
x = keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x))
model = keras.Model(inputs, x)
recipe = get_recipe("v1_paper", epochs=9, batch_size=256, weight_decay=0.01)
model.compile(optimizers.build_optimizer(recipe, build_schedule(recipe, 2)), "mse")
ema = EMA(model, 0.9)
expected = [np.array(weight) for weight in model.weights]
step = 0


class Average(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        global step
        step += 1
        ema.update()
        share = min(0.9, (1 + step) / (10 + step))
        for index, weight in enumerate(self.model.weights):
            value = share * expected[index] + (1 - share) * np.array(weight)
            expected[index] = value


random = np.random.default_rng(0)
data = random.normal(size=(8, 6, 6, 3)), random.normal(size=(8, 2))
model.fit(*data, batch_size=4, epochs=9, verbose=0, callbacks=[Average()])
raw = [np.array(weight) for weight in model.weights]
with ema.swap():
    for weight, value, before in zip(model.weights, expected, raw, strict=True):
        np.testing.assert_allclose(np.array(weight), value, rtol=1e-4, atol=1e-5)
        assert not np.array_equal(np.array(weight), before), weight.path
for weight, before in zip(model.weights, raw, strict=True):
    np.testing.assert_array_equal(np.array(weight), before)
assert step == 18 and int(model.optimizer.iterations) == 18
print(float(model.optimizer.learning_rate))
"""


def test_schedule_optimizer_and_average_on_jax():
    pytest.importorskip("jax", reason="JAX is not installed")
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _JAX],
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    # 9 epochs, 5 of them warm-up: three stairs at 2.4, 4.8 and 7.2 epochs.
    assert float(run.stdout) == pytest.approx(0.016 * 0.97**3, rel=1e-5)
