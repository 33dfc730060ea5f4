"""Learning rates against a numpy transcription of the official formula."""

import fractions
import math

import keras
import numpy as np
import pytest

from keras_effnet.training.recipes import get_recipe
from keras_effnet.training.schedules import EpochSchedule
from keras_effnet.training.schedules import build_schedule


def official(step, kind, peak, steps_per_epoch, total_steps, warmup_epochs):
    """tensorflow/tpu `build_learning_rate`, in float64, its stairs in integers."""
    if step < int(warmup_epochs * steps_per_epoch):
        return peak * step / int(warmup_epochs * steps_per_epoch)
    if kind == "exponential":
        return peak * 0.97 ** (step * 5 // (12 * steps_per_epoch))
    if kind == "cosine":
        return 0.5 * peak * (1 + np.cos(np.pi * step / total_steps))
    return peak


def rates(schedule, steps):
    return [float(schedule(step)) for step in steps]


@pytest.mark.parametrize("kind", ["exponential", "cosine", "constant"])
@pytest.mark.parametrize(("steps_per_epoch", "warmup"), [(313, 5), (10, 2.55), (7, 0)])
def test_official_formula(kind, steps_per_epoch, warmup):
    schedule = EpochSchedule(
        kind, [0.256], [350], [steps_per_epoch], warmup_epochs=warmup
    )
    total = 350 * steps_per_epoch
    random = np.random.default_rng(0)
    warmup_steps = int(warmup * steps_per_epoch)
    chosen = [
        *range(30),
        *range(max(0, warmup_steps - 3), warmup_steps + 3),
        *random.integers(0, total, 60).tolist(),
        total - 1,
    ]
    expected = [
        official(step, kind, 0.256, steps_per_epoch, total, warmup) for step in chosen
    ]
    np.testing.assert_allclose(rates(schedule, chosen), expected, rtol=2e-5, atol=1e-7)


def test_every_stair_stands_at_its_very_step():
    # 2.4 epochs of 10 steps: the rate falls at 24, 48, 72 ..., of 7: at 17 (16.8).
    for steps_per_epoch in (10, 7):
        schedule = EpochSchedule("exponential", [1.0], [350], [steps_per_epoch])
        for stair in (1, 2, 3, 5, 50, 100, 145):
            first = math.ceil(fractions.Fraction(stair * 12 * steps_per_epoch, 5))
            assert rates(schedule, [first - 1, first]) == pytest.approx(
                [0.97 ** (stair - 1), 0.97**stair], rel=1e-5
            )


def test_published_values():
    """Batch 4096: .256; warm-up from 0; .97**2 of the peak when it ends."""
    recipe = get_recipe("v1_paper")
    schedule = build_schedule(recipe, 312)
    assert rates(schedule, [0, 156, 780, 1559]) == pytest.approx(
        [0, 0.0256, 0.128, 0.256 * 1559 / 1560], rel=1e-6
    )
    assert float(schedule(1560)) == pytest.approx(0.256 * 0.97**2, rel=1e-6)
    assert float(schedule(349 * 312)) == pytest.approx(0.256 * 0.97**145, rel=1e-4)


def test_the_epoch_is_exact_over_stages_of_different_batches():
    schedule = EpochSchedule("constant", [1.0, 1.0, 1.0], [2, 3, 1], [10, 25, 40])
    assert schedule.total_steps == 2 * 10 + 3 * 25 + 40
    for step, epoch in [(0, 0), (5, 0.5), (19, 1.9), (20, 2), (45, 3), (94, 4.96)]:
        assert float(schedule.epoch(step)) == pytest.approx(epoch, rel=1e-6)
        assert schedule.step_at(epoch) == pytest.approx(step)
    assert [float(schedule.epoch(step)) for step in (95, 115)] == [5.0, 5.5]


def test_stages_of_any_batch_see_the_same_rate_at_the_same_epoch():
    one = EpochSchedule("exponential", [0.1], [12], [100], warmup_epochs=2)
    three = EpochSchedule(
        "exponential", [0.1] * 3, [4, 4, 4], [20, 50, 100], warmup_epochs=2
    )
    for epoch in (0, 0.5, 1.95, 2, 2.35, 2.4, 3, 4, 4.78, 4.8, 7, 8, 9.6, 11.99):
        step = round(three.step_at(epoch))
        if three.step_at(epoch) == pytest.approx(step):
            assert float(three(step)) == pytest.approx(
                float(one(round(one.step_at(epoch)))), rel=1e-5
            ), epoch


def test_the_peak_follows_the_batch_of_an_update():
    recipe = get_recipe(
        "v2_automl", batch_size=32, grow_batch=True, accumulate=4, warmup_epochs=0
    )
    schedule = build_schedule(recipe, [10, 20, 30, 40])
    expected = [0.016 * batch * 4 / 256 for batch in (96, 56, 40, 32)]
    assert schedule.peaks == pytest.approx(expected)
    assert float(schedule(0)) == pytest.approx(expected[0])
    # A data set smaller than the batch.
    schedule = build_schedule(recipe, [1, 1, 1, 1], batch_sizes=[32] * 4)
    assert schedule.peaks == pytest.approx([0.016 * 32 * 4 / 256] * 4)
    fixed = get_recipe("mnist")
    assert build_schedule(fixed, 20).peaks == [0.01]


def test_the_classifier_s_epochs_come_first_and_the_schedule_counts_from_their_end():
    schedule = EpochSchedule(
        "cosine",
        [0.1],
        [10],
        [10],
        warmup_epochs=1,
        head_epochs=2,
        head_learning_rate=0.5,
    )
    assert rates(schedule, [0, 10, 19]) == [0.5, 0.5, 0.5]
    assert rates(schedule, [20, 25]) == pytest.approx([0, 0.05])
    middle = 0.05 * (1 + np.cos(np.pi * 40 / 80))
    assert float(schedule(60)) == pytest.approx(middle, rel=1e-5)


def test_the_cosine_ends_at_zero_and_stays_there():
    schedule = EpochSchedule("cosine", [0.1], [10], [10])
    assert rates(schedule, [100, 150]) == pytest.approx([0, 0], abs=1e-9)


def test_it_is_serialisable_and_drives_an_optimizer():
    schedule = EpochSchedule(
        "exponential", [0.2, 0.1], [3, 2], [4, 8], warmup_epochs=1, decay_epochs=1.5
    )
    optimizer = keras.optimizers.SGD(schedule)
    clone = keras.optimizers.SGD.from_config(optimizer.get_config())
    copy = clone._learning_rate
    assert isinstance(copy, EpochSchedule)
    steps = range(schedule.total_steps)
    assert rates(copy, steps) == rates(schedule, steps)
    weight = keras.Variable(1.0)
    for _ in range(3):
        clone.apply([np.float32(1)], [weight])
    # Warm-up over 4 steps: 0, 1/4, 2/4 of .2.
    assert float(weight) == pytest.approx(1 - 0.2 * 0.75)
    assert float(clone.learning_rate) == pytest.approx(0.15)
