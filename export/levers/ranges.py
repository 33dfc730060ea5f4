"""The range of each activation that costs least, from samples of its values."""

import dataclasses

import numpy as np

from keras_effnet.export.calibration import Ranges
from keras_effnet.export.calibration import calibrate

_STEPS = 255
# Values kept of each activation in each image.
_SAMPLES = 1000
# Bins of a histogram: finer than a step of the narrowest range that is tried.
_BINS = 1 << 14
# Shares of the whole range at which a limit is tried, twice for either side.
_SHARES = np.geomspace(1, 0.05, 40)


@dataclasses.dataclass(frozen=True)
class Observed:
    """What the activations looked like on the calibration images."""

    ranges: Ranges  # by minimum and maximum
    samples: dict[int, np.ndarray]  # 1-D float32, drawn evenly from every image


def observe(data: bytes, images, seed=0) -> Observed:
    """Runs a float file over images, as `calibrate` takes them, and keeps samples of
    its activations."""
    random, kept = np.random.default_rng(seed), {}

    def keep(index, value):
        flat = value.reshape(-1)
        if flat.size > _SAMPLES:
            flat = flat[random.integers(0, flat.size, _SAMPLES)]
        kept.setdefault(index, []).append(flat.copy())

    ranges = calibrate(data, images, keep)
    return Observed(ranges, {i: np.concatenate(parts) for i, parts in kept.items()})


def least_error(observed: Observed, network, power=2.0):
    """Ranges that make the mean of |rounded - true| ** power least.

    What is cut off costs much for a few values, a wide range a little for all: a power
    of 2 is the mean square error, a higher one takes in more of the tails. Ranges that
    a quantiser does not choose are left alone.
    """
    return {
        index: found
        if index in network.fixed
        else _least(observed.samples[index], found, power)
        for index, found in observed.ranges.by_tensor.items()
    }


def percentile(observed: Observed, network, share):
    """Ranges that take in a share of all values, such as .9999, cutting off as many at
    each end."""
    found = dict(observed.ranges.by_tensor)
    for index in found.keys() - set(network.fixed):
        low, high = np.quantile(observed.samples[index], [1 - share, share])
        found[index] = float(low), float(high)
    return found


def _least(samples, found, power):
    """Descends one limit at a time from the whole range."""
    low, high = min(found[0], 0.0), max(found[1], 0.0)
    if low == high:
        return found
    counts, edges = np.histogram(samples, _BINS, (low, high))
    filled = np.flatnonzero(counts)
    values, weights = (edges[filled] + edges[filled + 1]) / 2, counts[filled]

    def error(limits):
        step = (limits[1] - limits[0]) / _STEPS
        zero = np.round(-limits[0] / step)
        stored = np.clip(np.round(values / step) + zero, 0, _STEPS)
        return weights @ np.abs((stored - zero) * step - values) ** power

    best, least = (low, high), error((low, high))
    for side in (1, 0, 1, 0):
        whole = best[side]
        if not whole:
            continue
        for share in _SHARES[1:]:
            tried = (best[0], whole * share) if side else (whole * share, best[1])
            if (cost := error(tried)) < least:
                best, least = tried, cost
    return float(best[0]), float(best[1])
