"""Two classifiers on the same images: what one loses against the other."""

import dataclasses
import math
import statistics
from typing import Any

import numpy as np

from keras_effnet.errors import InputError

_Z = statistics.NormalDist().inv_cdf(0.975)
# Halvings of an interval of 2: the limits are exact to a float's last bits.
_HALVINGS = 60


def wilson_interval(successes: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a proportion.

    Wilson 1927, "Probable inference, the law of succession, and statistical
    inference", JASA 22:209-212.

    Args:
        successes: How many of `count`.
        count: At least 1.

    Returns:
        `(low, high)`, fractions.
    """
    share = successes / count
    centre = share + _Z**2 / (2 * count)
    spread = _Z * math.sqrt(share * (1 - share) / count + (_Z / (2 * count)) ** 2)
    scale = 1 + _Z**2 / count
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def tango_interval(lost: int, gained: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a difference of two paired proportions.

    The score interval of Tango 1998, "Equivalence test and confidence interval
    for the difference in proportions for the paired-sample design", Statistics
    in Medicine 17:891-908. It holds its level where nearly all pairs agree, and
    has a width where all do.

    Args:
        lost: Pairs in which only the first succeeds.
        gained: Pairs in which only the second succeeds.
        count: All pairs, at least 1.

    Returns:
        `(low, high)` of the first proportion minus the second, -1 to 1.
    """
    estimate = (lost - gained) / count

    def inside(difference: float) -> bool:
        # The maximum likelihood estimate of P(only the second succeeds) among all
        # pairs of proportions with this difference (Tango's appendix).
        b = (2 * count - lost + gained) * difference - lost - gained
        c = -gained * difference * (1 - difference)
        root = math.sqrt(max(0.0, b * b - 8 * count * c))
        only_second = (root - b) / (4 * count)
        variance = count * (2 * only_second + difference * (1 - difference))
        return (count * (estimate - difference)) ** 2 <= _Z**2 * variance

    def limit(end: float) -> float:
        within, beyond = estimate, end
        for _ in range(_HALVINGS):
            middle = (within + beyond) / 2
            if inside(middle):
                within = middle
            else:
                beyond = middle
        return within

    return limit(-1.0), limit(1.0)


def agreement_interval(
    predictions: np.ndarray, other: np.ndarray
) -> tuple[float, tuple[float, float]]:
    """How often two classifiers name the same class.

    Args:
        predictions: Class indices, `(images,)`, at least one.
        other: The other's, `(images,)`.

    Returns:
        `(share, (low, high))`: a fraction and its 95 % interval (Wilson 1927).

    Raises:
        InputError: There are none, or the numbers differ.
    """
    predictions, other = np.asarray(predictions), np.asarray(other)
    if predictions.ndim != 1 or predictions.shape != other.shape or not len(other):
        raise InputError(
            "There must be one prediction of each classifier for each image, and at "
            f"least one. Received: shapes {predictions.shape} and {other.shape}"
        )
    same = int((predictions == other).sum())
    return same / len(other), wilson_interval(same, len(other))


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A classifier against a reference on the same images.

    Without labels, everything from `top1` to `gained` is `None`.

    Attributes:
        images: How many.
        top1: The classifier's accuracy, a fraction.
        top1_interval: Its 95 % interval (Wilson 1927), two fractions.
        reference_top1: The reference's accuracy, a fraction.
        reference_top1_interval: Its 95 % interval (Wilson 1927), two fractions.
        drop: `reference_top1 - top1` in percentage points; negative where the
            classifier is better.
        drop_interval: Its paired 95 % interval (Tango 1998), two numbers in
            percentage points.
        lost: Images that only the reference names rightly.
        gained: Images that only the classifier names rightly.
        agreement: The fraction of images on which both name the same class.
        agreement_interval: Its 95 % interval (Wilson 1927), two fractions.
        mean_difference: The mean of |probability - reference's probability| over
            all classes and images.
        largest_difference: The largest of them.
        learned_from: From how many of the images the model learned, 0 where such were
            left out; `None` where nothing is known of that.
    """

    images: int
    top1: float | None
    top1_interval: tuple | None
    reference_top1: float | None
    reference_top1_interval: tuple | None
    drop: float | None
    drop_interval: tuple | None
    lost: int | None
    gained: int | None
    agreement: float
    agreement_interval: tuple
    mean_difference: float
    largest_difference: float
    learned_from: int | None = None

    def as_json(self) -> dict[str, Any]:
        """All figures as a dict of plain values, and the intervals' names."""
        plain = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in dataclasses.asdict(self).items()
        }
        methods = {"drop": "Tango 1998", "top1": "Wilson 1927"}
        return plain | {"interval_methods": methods | {"agreement": "Wilson 1927"}}


def compare(reference: Any, other: Any) -> Comparison:
    """What a classifier loses against a reference, such as int8 against float.

    Args:
        reference: A `keras_effnet.evaluation.Evaluation`.
        other: One of the same images in the same order; with the same labels, or
            both with `labels=None`.

    Returns:
        A `Comparison` of `other` with `reference`.

    Raises:
        InputError: The two are not of the same images or classes, there are no
            images, or a probability is NaN or infinite.
    """
    shapes = reference.probabilities.shape, other.probabilities.shape
    if len(shapes[0]) != 2 or shapes[0] != shapes[1] or 0 in shapes[0]:
        raise InputError(
            "Both classifiers must have seen the same images, at least one, and have "
            f"the same classes. Received: probabilities of shapes {shapes[0]} and "
            f"{shapes[1]}"
        )
    for name, side in (("reference", reference), ("other", other)):
        wrong = int((~np.isfinite(side.probabilities)).any(axis=1).sum())
        if wrong:
            raise InputError(
                "Probabilities must be finite numbers. Received: NaN or infinity for "
                f"{wrong} of {shapes[0][0]} images, `{name}`"
            )
    share, interval = agreement_interval(reference.predictions, other.predictions)
    difference = np.abs(
        other.probabilities.astype(np.float64) - reference.probabilities
    )
    return Comparison(
        images=shapes[0][0],
        **_accuracies(reference, other),
        agreement=share,
        agreement_interval=interval,
        mean_difference=float(difference.mean()),
        largest_difference=float(difference.max()),
    )


def _accuracies(reference: Any, other: Any) -> dict[str, Any]:
    if reference.labels is None and other.labels is None:
        names = ("top1", "reference_top1", "drop")
        blank = dict.fromkeys([*names, *(f"{name}_interval" for name in names)])
        return blank | {"lost": None, "gained": None}
    labels = reference.labels
    if not np.array_equal(labels, other.labels):
        raise InputError(
            "Both classifiers must have seen the same labelled images: the labels "
            f"differ. Received: {_told(labels)} and {_told(other.labels)}"
        )
    before, after = reference.predictions == labels, other.predictions == labels
    count = len(labels)
    lost, gained = int((before & ~after).sum()), int((after & ~before).sum())
    low, high = tango_interval(lost, gained, count)
    return {
        "top1": float(after.mean()),
        "top1_interval": wilson_interval(int(after.sum()), count),
        "reference_top1": float(before.mean()),
        "reference_top1_interval": wilson_interval(int(before.sum()), count),
        "drop": 100 * (lost - gained) / count,
        "drop_interval": (100 * low, 100 * high),
        "lost": lost,
        "gained": gained,
    }


def _told(labels: np.ndarray | None) -> str:
    return "no labels" if labels is None else f"{len(labels)} labels"
