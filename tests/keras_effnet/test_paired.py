"""Paired comparison against published examples, scipy, and exact coverage."""

import json

import numpy as np
import pytest
from scipy import optimize
from scipy import stats

from keras_effnet.errors import InputError
from keras_effnet.evaluation import Evaluation
from keras_effnet.paired import agreement_interval
from keras_effnet.paired import compare
from keras_effnet.paired import tango_interval
from keras_effnet.paired import wilson_interval


def evaluation(predictions, labels, classes=3, confidence=0.8):
    rest = (1 - confidence) / (classes - 1)
    probabilities = np.full((len(predictions), classes), rest, "float32")
    probabilities[np.arange(len(predictions)), predictions] = confidence
    return Evaluation(probabilities, labels if labels is None else np.array(labels))


@pytest.mark.parametrize("successes", [0, 1, 5, 19, 20])
def test_wilson_is_scipys(successes):
    expected = stats.binomtest(successes, 20).proportion_ci(method="wilson")
    found = wilson_interval(successes, 20)
    assert found == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_tangos_published_example():
    """Fagerland, Lydersen and Laake, Statistical Analysis of Contingency Tables
    (2017), chapter 8, complete response before and after consolidation therapy
    (Cavo et al. 2012: 59, 6, 16, 80): -0.0621 (-0.1240 to -0.0054)."""
    low, high = tango_interval(6, 16, 161)
    assert (round(low, 4), round(high, 4)) == (-0.1240, -0.0054)


@pytest.mark.parametrize(
    ("lost", "gained", "count"), [(6, 16, 161), (3, 0, 40), (0, 1, 25), (400, 390, 5e4)]
)
def test_tangos_limits_are_where_the_score_test_rejects(lost, gained, count):
    """The restricted likelihood is maximised numerically instead of by formula."""
    for limit, sign in zip(tango_interval(lost, gained, count), (1, -1), strict=True):

        def loss(second, limit=limit):
            first = second + limit
            cells = np.array([first, second, 1 - first - second])
            counts = np.array([lost, gained, count - lost - gained])
            return -(counts * np.log(cells.clip(1e-300))).sum()

        bounds = max(0, -limit), (1 - limit) / 2
        second = optimize.minimize_scalar(
            loss, bounds=bounds, method="bounded", options={"xatol": 1e-12}
        ).x
        variance = (2 * second + limit - limit**2) / count
        score = ((lost - gained) / count - limit) / np.sqrt(variance)
        assert score == pytest.approx(sign * 1.959964, abs=1e-3)


@pytest.mark.parametrize("count", [1, 10, 1000])
def test_where_all_pairs_agree_the_interval_has_a_width(count):
    """The score test's variance at a difference d is then d (1 - d) / n."""
    edge = 1.959964**2 / (count + 1.959964**2)
    assert tango_interval(0, 0, count) == pytest.approx((-edge, edge), abs=1e-6)


def test_the_ends_of_the_scale():
    assert tango_interval(5, 0, 5)[1] == 1
    assert tango_interval(0, 5, 5)[0] == -1
    assert -1 < tango_interval(5, 0, 5)[0] < 1


def test_swapping_the_sides_mirrors_the_interval():
    low, high = tango_interval(9, 2, 100)
    assert tango_interval(2, 9, 100) == pytest.approx((-high, -low), abs=1e-12)


@pytest.mark.parametrize("chances", [(0.01, 0.01), (0.06, 0.02), (0.2, 0.1)])
def test_tango_covers_the_truth_95_times_in_100(chances):
    """Exactly: every table of 60 pairs, weighted by its probability."""
    count, truth = 60, chances[0] - chances[1]
    model = stats.multinomial(count, [*chances, 1 - sum(chances)])
    coverage = 0
    for lost in range(31):
        for gained in range(21):
            weight = model.pmf([lost, gained, count - lost - gained])
            if weight > 1e-9:
                low, high = tango_interval(lost, gained, count)
                coverage += weight * (low <= truth <= high)
    assert 0.94 < coverage <= 1


def test_a_comparison_counted_by_hand():
    labels = [0, 0, 0, 1, 1, 1, 2, 2]
    reference = evaluation([0, 0, 0, 1, 1, 1, 2, 0], labels)  # 7 of 8
    other = evaluation([0, 0, 1, 1, 1, 0, 2, 2], labels, confidence=0.5)  # 6 of 8
    found = compare(reference, other)
    assert (found.images, found.lost, found.gained) == (8, 2, 1)
    assert (found.reference_top1, found.top1) == (7 / 8, 6 / 8)
    assert found.drop == pytest.approx(12.5)
    low, high = found.drop_interval
    assert (low, high) == pytest.approx(np.multiply(tango_interval(2, 1, 8), 100))
    assert low < found.drop < high
    assert found.top1_interval == other.interval
    assert found.agreement == reference.agreement(other) == 5 / 8
    assert found.agreement_interval == wilson_interval(5, 8)
    # Same class: .8 against .5, .1 against .25 twice. Another: .8 against .25, .1
    # against .5, .1 against .25.
    assert found.largest_difference == pytest.approx(0.55)
    same, another = 0.3 + 2 * 0.15, 0.55 + 0.4 + 0.15
    assert found.mean_difference == pytest.approx((5 * same + 3 * another) / 24)


def test_a_better_file_has_a_negative_drop():
    found = compare(evaluation([0, 0], [1, 1]), evaluation([1, 0], [1, 1]))
    assert found.drop == -50


def test_a_classifier_against_itself():
    side = evaluation([0, 1, 2], [0, 1, 1])
    found = compare(side, side)
    assert (found.drop, found.agreement, found.largest_difference) == (0, 1, 0)
    assert found.drop_interval[0] == -found.drop_interval[1] < 0


def test_without_labels_there_is_agreement_alone():
    found = compare(evaluation([0, 1, 2], None), evaluation([0, 1, 1], None))
    assert found.agreement == pytest.approx(2 / 3)
    assert found.drop is found.drop_interval is found.top1 is found.lost is None
    assert agreement_interval([0, 1, 2], [0, 1, 1]) == (
        found.agreement,
        found.agreement_interval,
    )


def test_as_json_survives_json():
    labels = [0, 1, 1]
    found = compare(evaluation([0, 1, 2], labels), evaluation([0, 1, 1], labels))
    plain = found.as_json()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["drop_interval"] == list(found.drop_interval)
    assert plain["interval_methods"]["drop"] == "Tango 1998"


@pytest.mark.parametrize(
    ("reference", "other", "message"),
    [
        (
            evaluation([0, 1], [0, 1]),
            evaluation([0], [0]),
            r"same images.*Received: .*\(2, 3\) and \(1, 3\)",
        ),
        (evaluation([], []), evaluation([], []), r"at least one.*Received: .*\(0, 3\)"),
        (
            evaluation([0, 1], [0, 1]),
            evaluation([0, 1], [0, 2]),
            "labels differ. Received: 2 labels and 2 labels",
        ),
        (
            evaluation([0, 1], [0, 1]),
            evaluation([0, 1], None),
            "Received: 2 labels and no labels",
        ),
        (
            evaluation([0, 1], None),
            evaluation([0, 1], None, confidence=np.nan),
            "finite numbers. Received: NaN or infinity for 2 of 2 images, `other`",
        ),
    ],
)
def test_what_can_not_be_compared(reference, other, message):
    with pytest.raises(InputError, match=message):
        compare(reference, other)


def test_predictions_of_other_images():
    with pytest.raises(InputError, match=r"Received: shapes \(2,\) and \(1,\)"):
        agreement_interval([0, 1], [0])
    with pytest.raises(InputError, match=r"at least one. Received: .*\(0,\)"):
        agreement_interval([], [])
