"""Whether two latencies differ, on made-up rounds whose truth is known."""

import numpy as np
import pytest

from keras_effnet.benchmarks import significance
from keras_effnet.errors import InputError

DRAWS = 2000


def verdicts(ratio, rounds, noise, paired=True, draws=DRAWS, seed=0):
    """Of many comparisons whose true ratio is known."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        drift = np.cumsum(rng.normal(0, 0.05, rounds)) if paired else 0
        first, second = (np.exp(drift + noise(rng, rounds)) for _ in range(2))
        found.append(significance.compare(ratio * first, second, paired=paired))
    return found


def normal(rng, size):
    return rng.normal(0, 0.03, size)


def hiccups(rng, size):
    """Every fifth round is held up, some by half its time."""
    return normal(rng, size) + (rng.random(size) < 0.2) * rng.uniform(0, 0.5, size)


def two_modes(rng, size):
    """A process is quick or slow for its whole life, as its memory falls."""
    return rng.choice([0, 0.1], size) + rng.normal(0, 1e-4, size)


def share(found, *wanted):
    return np.mean([difference.verdict in wanted for difference in found])


@pytest.mark.parametrize("noise", [normal, hiccups, two_modes])
@pytest.mark.parametrize(("paired", "rounds"), [(True, 8), (True, 15), (False, 8)])
def test_equal_files_are_told_apart_no_oftener_than_alpha(noise, paired, rounds):
    found = verdicts(1, rounds, noise, paired)
    # 1 % and three standard errors of so many draws.
    limit = 0.01 + 3 * np.sqrt(0.01 * 0.99 / DRAWS)
    wrong = share(found, significance.FASTER, significance.SLOWER)
    assert 0 < wrong <= limit
    assert share(found, significance.SAME) == 1 - wrong


@pytest.mark.parametrize(
    ("noise", "paired", "rounds"),
    [(normal, True, 10), (hiccups, True, 60), (normal, False, 10)],
)
def test_ten_percent_are_found(noise, paired, rounds):
    slower = verdicts(1.1, rounds, noise, paired, draws=500)
    assert share(slower, significance.SLOWER) >= 0.95
    faster = verdicts(1 / 1.1, rounds, noise, paired, draws=500)
    assert share(faster, significance.FASTER) >= 0.95


def test_pairs_find_under_drift_what_separate_rounds_can_not():
    rng = np.random.default_rng(0)
    drift = np.linspace(0, 0.5, 12)
    first, second = (np.exp(drift + rng.normal(0, 0.01, 12)) for _ in range(2))
    paired = significance.compare(1.05 * first, second)
    separate = significance.compare(1.05 * first, second, paired=False)
    assert paired.verdict == significance.SLOWER
    assert separate.verdict == significance.SAME


def test_one_disturbed_round_does_not_hide_a_difference():
    rng = np.random.default_rng(0)
    first, second = np.exp(rng.normal(0, 0.01, (2, 16)))
    second[4] *= 3
    found = significance.compare(1.1 * first, second)
    assert found.verdict == significance.SLOWER
    assert 1.07 < found.ratio < 1.13


@pytest.mark.parametrize(("paired", "rounds"), [(True, 12), (False, 9)])
def test_the_interval_holds_the_truth_and_agrees_with_the_verdict(paired, rounds):
    found = verdicts(1.04, rounds, normal, paired, draws=1000)
    held = np.mean([d.interval[0] <= 1.04 <= d.interval[1] for d in found])
    assert held >= 0.98
    assert abs(np.mean([np.log(d.ratio / 1.04) for d in found])) < 0.003
    kinds = set()
    for difference in found:
        low, high = difference.interval
        assert low <= difference.ratio <= high
        outside = high < 1 or low > 1
        assert outside == (difference.verdict != significance.SAME)
        assert outside == (difference.p_value <= significance.ALPHA)
        kinds.add(difference.verdict)
    assert {significance.SAME, significance.SLOWER} <= kinds


@pytest.mark.parametrize("seed", range(20))
def test_chances_are_those_of_scipy(seed):
    stats = pytest.importorskip("scipy.stats", reason="SciPy is not installed")
    rng = np.random.default_rng(seed)
    first, second = np.exp(rng.normal(0.03, 0.05, (2, 9 + seed)))
    found = significance.compare(first, second).p_value
    steps = np.log(first) - np.log(second)
    assert found == pytest.approx(stats.wilcoxon(steps, method="exact").pvalue)
    found = significance.compare(first, second[:8], paired=False).p_value
    expected = stats.mannwhitneyu(first, second[:8], method="exact").pvalue
    assert found == pytest.approx(expected)


def test_too_few_rounds_are_said():
    assert significance.rounds_needed() == 8
    assert significance.rounds_needed(paired=False) == 5
    assert significance.rounds_needed(alpha=0.05) == 6
    for paired, enough in ((True, 8), (False, 5)):
        for rounds in (1, enough - 1):
            found = significance.compare([2.0] * rounds, [1.0] * rounds, paired=paired)
            assert found.verdict == significance.UNKNOWN
            assert found.ratio == pytest.approx(2)
            assert found.interval is None
            assert found.p_value is None
        found = significance.compare([2.0] * enough, [1.0] * enough, paired=paired)
        assert found.verdict == significance.SLOWER
        assert found.rounds == (enough, enough)


def test_a_clock_too_coarse_to_tell_finds_nothing():
    same = significance.compare([2e6] * 20, [2e6] * 20)
    assert (same.ratio, same.interval) == (1, (1, 1))
    assert (same.verdict, same.p_value) == (significance.SAME, 1)
    ticks = np.array([2.0, 2.0, 2.1, 2.0] * 4)
    mixed = significance.compare(ticks, np.roll(ticks, 1))
    assert mixed.verdict == significance.SAME


def test_a_round_is_one_observation_however_many_its_runs():
    rounds = [{"latency_ns": [3, 1, 2]}, {"latency_ns": [10, 20]}]
    medians = significance.round_medians({"rounds": rounds})
    assert medians.tolist() == [2, 15]


@pytest.mark.parametrize(
    ("times", "reference", "options", "message"),
    [
        ([], [], {}, "`times` must be"),
        ([1.0, 0.0], [1.0, 1.0], {}, "`times` must be"),
        ([1.0], [float("nan")], {}, "`reference` must be"),
        ([[1.0]], [[1.0]], {}, "`times` must be"),
        ([1.0, 1.0], [1.0], {}, "as many rounds"),
        ([1.0], [1.0], {"alpha": 0}, "`alpha` must"),
        ([1.0], [1.0], {"alpha": 1}, "`alpha` must"),
    ],
)
def test_impossible_rounds_are_named(times, reference, options, message):
    with pytest.raises(InputError, match=f"{message}.*Received: "):
        significance.compare(times, reference, **options)
