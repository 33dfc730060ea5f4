"""The limits that a user sets, and the fastest candidate within them."""

import dataclasses
import math

from keras_effnet.errors import InputError
from keras_effnet.errors import check_number

# What may be chosen, the faster on phones first.
PRECISIONS = ("int8", "weight-only")
# Medians of two runs of one file differ so much: within it files are equally fast.
_NOISE = 1.03


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a file may lose."""

    max_drop: float | None = None  # percentage points of accuracy
    min_agreement: float | None = None  # with the float model's class, 0 to 1

    def __post_init__(self):
        if self.max_drop is None and self.min_agreement is None:
            raise InputError(
                "There must be a limit, `max_drop` in percentage points or "
                "`min_agreement` from 0 to 1. Received: neither"
            )
        for name, most in (("max_drop", 100), ("min_agreement", 1)):
            if (value := getattr(self, name)) is not None:
                valid = f"a number from 0 to {most}"
                check_number(name, value, valid, lambda v, most=most: 0 <= v <= most)

    def keep(self, figures):
        """Whether a candidate is within them, a dict with what `Judge.figures` says."""
        return _excess(figures, self) == 0


def choose(candidates, limits):
    """The fastest candidate within the limits, else the one that misses them least.

    Where no int8 file is within them, a file with 8-bit weights is taken that computes
    in float. Files whose latencies differ by less than 3 %, which is noise, count as
    equally fast: the one that computes least in float is taken, since phones are faster
    in 8 bits than the machine that measured, then the one with the least divergence.
    Where nothing is within the limits, one that computes in float is kept only if it
    answers closer to the float model than every int8 file: images counted against a
    limit are few, and it is slow.
    """
    for group in (
        [c for c in candidates if c["precision"] == precision and c["within"]]
        for precision in PRECISIONS
    ):
        if group:
            fastest = min(c["latency"]["relative"] for c in group)
            fast = [c for c in group if c["latency"]["relative"] <= fastest * _NOISE]
            return min(fast, key=lambda c: (c["float_share"], c["divergence"]))
    tried = [c for c in candidates if c["precision"] in PRECISIONS]
    int8 = [c["divergence"] for c in tried if c["precision"] == "int8"]
    closest = min(int8, default=math.inf)
    return min(
        (c for c in tried if c["precision"] == "int8" or c["divergence"] < closest),
        key=lambda c: (_excess(c, limits), c["divergence"]),
    )


def _excess(figures, limits):
    """By how many percentage points a candidate misses the limits.

    Agreement is the one that was counted or the expected one, whichever is less:
    among many candidates there is always one that was lucky on a few images.
    """
    excess = 0.0
    if limits.max_drop is not None:
        excess += max(0.0, figures["evaluation"]["drop"] - limits.max_drop)
    if limits.min_agreement is not None:
        agreement = min(
            figures["evaluation"]["agreement"], figures["expected_agreement"]
        )
        excess += 100 * max(0.0, limits.min_agreement - agreement)
    return excess
