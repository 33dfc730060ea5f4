"""Whether two latencies differ, told from the medians of their rounds.

Runs of one process are not independent: they share its memory layout, its core, the
heat of that minute. So a round, a process of its own, is one observation: the logarithm
of its median. Rounds that were measured in turn are pairs; the machine's drift falls on
both sides of a pair and leaves its ratio alone.

Pairs are judged by the signed-rank test (Wilcoxon 1945, "Individual comparisons by
ranking methods", Biometrics Bulletin 1:80-83), rounds of two separate commands by the
rank-sum test (Mann and Whitney 1947, "On a test of whether one of two random variables
is stochastically larger than the other", Annals of Mathematical Statistics 18:50-60),
with exact distributions, so that neither asks for normal noise nor is ruled by one
disturbed round. The ratio and its interval are those that belong to these tests (Hodges
and Lehmann 1963, "Estimates of location based on rank tests", Annals of Mathematical
Statistics 34:598-611): the interval leaves 1 out exactly where the test finds a
difference.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_effnet.errors import InputError

ALPHA = 0.01
FASTER, SLOWER = "faster", "slower"
SAME, UNKNOWN = "no difference seen", "too few rounds to tell"


@dataclasses.dataclass(frozen=True)
class Difference:
    """One latency against another: `ratio`, of the first to the second, below 1 where
    the first is faster, and its interval of `1 - alpha`; `p_value` is two-sided. Both
    are `None` where there are too few rounds. `rounds` are those of the first and of
    the second, `paired` where they were measured in turn. The verdict is on the
    first."""

    ratio: float
    interval: tuple | None
    p_value: float | None
    rounds: tuple
    paired: bool
    verdict: str


def round_medians(result: dict[str, Any]) -> np.ndarray:
    """The independent observations of a result, as `BenchmarkResult.to_dict` makes it:
    `(rounds,)`, nanoseconds."""
    return np.array([np.median(part["latency_ns"]) for part in result["rounds"]])


def rounds_needed(alpha: float = ALPHA, paired: bool = True) -> int:
    """The fewest rounds of each side with which any difference can be found: 8 pairs
    for 1 %, or 5 rounds each of separate commands."""
    rounds = 1
    while not _rank(rounds, rounds, alpha, paired):
        rounds += 1
    return rounds


def compare(
    times: Sequence[float] | np.ndarray,
    reference: Sequence[float] | np.ndarray,
    *,
    paired: bool = True,
    alpha: float = ALPHA,
) -> Difference:
    """Tells whether one latency differs from another.

    Args:
        times: One for each round, such as `round_medians`; above 0, any unit.
        reference: Likewise, in the same unit. For pairs as many, in the same order.
        paired: Whether the rounds of both were measured in turn, in one command.
        alpha: How often two equal files may be told apart.

    Raises:
        InputError: A time isn't above 0, there are none, pairs don't match, or
            `alpha` is no probability.
    """
    times, reference = np.asarray(times, float), np.asarray(reference, float)
    _check(times, reference, paired, alpha)
    first, second = np.log(times), np.log(reference)
    if paired:
        steps = first - second
        rows, columns = np.triu_indices(len(steps))
        shifts = np.sort((steps[rows] + steps[columns]) / 2)
    else:
        shifts = np.sort((first[:, None] - second[None]).ravel())
    ratio = float(np.exp(np.median(shifts)))
    counts = (len(times), len(reference))
    rank = _rank(*counts, alpha, paired)
    if not rank:
        return Difference(ratio, None, None, counts, paired, UNKNOWN)
    low, high = shifts[rank - 1], shifts[-rank]
    verdict = FASTER if high < 0 else SLOWER if low > 0 else SAME
    extreme = min((shifts <= 0).sum(), (shifts >= 0).sum())
    p_value = min(1.0, 2 * float(_cumulative(*counts, paired)[extreme]))
    interval = (float(np.exp(low)), float(np.exp(high)))
    return Difference(ratio, interval, p_value, counts, paired, verdict)


def _check(
    times: np.ndarray, reference: np.ndarray, paired: bool, alpha: float
) -> None:
    if not 0 < alpha < 1:
        raise InputError(f"`alpha` must lie between 0 and 1. Received: alpha={alpha!r}")
    for name, values in (("times", times), ("reference", reference)):
        finite = np.isfinite(values).all() and (values > 0).all()
        if values.ndim != 1 or not values.size or not finite:
            raise InputError(
                f"`{name}` must be a list of finite numbers above 0, one for each "
                f"round. Received: {name}={values.tolist()!r}"
            )
    if paired and len(times) != len(reference):
        raise InputError(
            "Pairs need as many rounds on both sides; `paired=False` compares rounds "
            f"of separate commands. Received: {len(times)} and {len(reference)} rounds"
        )


def _rank(first: int, second: int, alpha: float, paired: bool) -> int:
    """Which of the sorted shifts, from either end, bounds the interval; 0: none."""
    return int((_cumulative(first, second, paired) <= alpha / 2).sum())


@functools.cache
def _cumulative(first: int, second: int, paired: bool) -> np.ndarray:
    """P(statistic <= n) for n = 0, 1, ... where both sides are the same."""
    return np.cumsum(_signed_rank(first) if paired else _rank_sum(first, second))


def _signed_rank(pairs: int) -> np.ndarray:
    """Each rank counts or not, as a coin falls."""
    chances = np.ones(1)
    for rank in range(1, pairs + 1):
        chances = np.pad(chances / 2, (0, rank)) + np.pad(chances / 2, (rank, 0))
    return chances


def _rank_sum(first: int, second: int) -> np.ndarray:
    """The largest of all is of the first side, and above all of the second, or not."""
    row = [np.ones(1)] * (second + 1)
    for n in range(1, first + 1):
        above, row = row, [np.ones(1)]
        for m in range(1, second + 1):
            ours = np.pad(above[m] * (n / (n + m)), (m, 0))
            theirs = np.pad(row[m - 1] * (m / (n + m)), (0, n))
            row.append(ours + theirs)
    return row[second]
