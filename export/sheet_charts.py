"""The pictures of an exported file's page, as matplotlib figures."""

import collections

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.ticker import PercentFormatter

# As wide as a phone shows without shrinking the text to nothing.
_WIDTH = 5.0
_STYLE = {"font.size": 11, "axes.spines.top": False, "axes.spines.right": False}
_BLUE, _GREY, _RED = "#0969da", "#57606a", "#cf222e"
# Okabe and Ito's colours, which the colour-blind tell apart, and marks besides.
_SERIES = (
    ("#0072b2", "o"),
    ("#d55e00", "s"),
    ("#009e73", "^"),
    ("#cc79a7", "D"),
    ("#8c6d00", "v"),
    (_GREY, "x"),
)


def shares(rows):
    """Fractions with their 95 % intervals, below each other.

    Args:
        rows: A list of `(name, share, (low, high))`, fractions.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    with matplotlib.rc_context(_STYLE):
        figure, axis = _rows(rows, _BLUE)
        axis.xaxis.set_major_formatter(PercentFormatter(1.0))
        axis.set_xlabel("of the images, with 95 % interval")
    return figure


def losses(history):
    """The loss of each step, and its mean over a twentieth of them.

    Args:
        history: Numbers.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    steps = np.arange(1, len(history) + 1)
    window = max(1, len(history) // 20)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, 2.6), layout="constrained")
        axis = figure.subplots()
        axis.plot(steps, history, color=_GREY, linewidth=0.7, alpha=0.6)
        if window > 1:
            smooth = np.convolve(history, np.ones(window) / window, "valid")
            axis.plot(steps[window - 1 :], smooth, color=_BLUE, linewidth=1.8)
        axis.set_xlabel("step")
        axis.set_ylabel("loss")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def drop(points, interval, limit=None):
    """A drop of the accuracy with its 95 % interval, and the limit.

    Args:
        points: Percentage points.
        interval: Two numbers, percentage points.
        limit: Percentage points, `None` where there is none.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    over = limit is not None and points > limit
    with matplotlib.rc_context(_STYLE):
        figure, axis = _rows([("drop", points, interval)], _RED if over else _BLUE)
        axis.axvline(0, color=_GREY, linewidth=1)
        if limit is not None:
            axis.axvline(limit, color=_RED, linestyle="--", label=f"limit, {limit:g}")
            axis.legend(
                loc="lower right", bbox_to_anchor=(1, 1), frameon=False, borderpad=0
            )
        axis.set_xlabel("percentage points of top-1, with 95 % interval")
    return figure


def layers(rows, marked=()):
    """Each layer's relative error, in the order of the graph.

    Args:
        rows: As `keras_effnet.export.layer_errors.layer_errors` returns them.
            Those whose `error` is `None` or 0 are not drawn.
        marked: Indices of rows to be ringed.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    drawn = [(n, r) for n, r in enumerate(rows) if r["error"]]
    common = collections.Counter(r["operator"] for _, r in drawn).most_common()
    named = [name for name, _ in common[: len(_SERIES) - (len(common) > len(_SERIES))]]
    others = [name for name, _ in common if name not in named]
    series = [(name, [name]) for name in named]
    series += [("others", others)] if others else []
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, 4.6), layout="constrained")
        axis = figure.subplots()
        axis.set_yscale("log")
        for (label, operators), (color, marker) in zip(series, _SERIES, strict=False):
            points = [(n, r["error"]) for n, r in drawn if r["operator"] in operators]
            x, y = zip(*points, strict=True)
            axis.plot(x, y, marker, color=color, markersize=4.5, label=label)
        ringed = [(n, r["error"]) for n, r in drawn if n in set(marked)]
        if ringed:
            x, y = zip(*ringed, strict=True)
            style = {"markerfacecolor": "none", "markeredgecolor": "#1b1f24"}
            axis.plot(x, y, "o", markersize=10, label="worst", **style)
        axis.set(xlabel="layer, in the order of the graph", ylabel="relative error")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.3)
        figure.legend(
            loc="outside upper left",
            ncols=2,
            frameon=False,
            fontsize=9.5,
            handletextpad=0.3,
        )
    return figure


def _rows(rows, color):
    """Points with intervals on one scale, the first on top."""
    figure = Figure(figsize=(_WIDTH, 1.1 + 0.36 * len(rows)), layout="constrained")
    axis = figure.subplots()
    for height, (_, value, (low, high)) in enumerate(rows):
        axis.plot([low, high], [height, height], color=color, linewidth=2.5)
        axis.plot(value, height, "o", color=color, markersize=8)
    axis.set_yticks(range(len(rows)), [name for name, *_ in rows])
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.grid(alpha=0.3, axis="x")
    return figure, axis
