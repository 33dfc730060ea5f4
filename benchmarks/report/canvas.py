"""What the pictures of the report share: size, style, rows, scales."""

import functools

import matplotlib
from matplotlib import patheffects
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from matplotlib.ticker import NullLocator

# As wide as a phone shows without shrinking the text to nothing.
WIDTH = 5.0
GREY = "#57606a"
# Okabe and Ito's colours, which the colour-blind tell apart, and marks besides.
SERIES = (
    ("#0072b2", "o", "-"),
    ("#d55e00", "s", "--"),
    ("#009e73", "^", "-."),
    ("#cc79a7", "D", ":"),
    ("#8c6d00", "v", (0, (6, 1))),
    (GREY, "P", (0, (1, 1))),
)
_STYLE = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
}
# Costs further apart than this would press the small ones together.
_LOG_FROM = 8
# Names above more bars than this would make a picture of several screens.
NAMED = 12
_BAR = 0.15  # inches


def styled(function):
    """Draws with the report's style, whatever the caller's is."""

    @functools.wraps(function)
    def draw(*arguments):
        with matplotlib.rc_context(_STYLE):
            return function(*arguments)

    return draw


def shortened(text, length=50):
    """A text without its middle where it is too long for a row."""
    half = (length - 1) // 2
    return text if len(text) <= length else f"{text[:half]}…{text[-half:]}"


def rows(names, thick=1, numbers=None):
    """Axes with a row for each name.

    Args:
        names: Plain text. A name stands above its bar; of more than a dozen only the
            numbers stand beside theirs.
        thick: How many bars a row has.
        numbers: Counted from 1 when `None`.

    Returns:
        `(figure, axis, bar)`; the rows are at 0, 1, ... from the top, and a bar is so
        high that its figures fit beside it.
    """
    named = len(names) <= NAMED
    row = _BAR * thick + 0.09 + 0.24 * named
    bar = _BAR / row
    figure = Figure((WIDTH, 0.75 + row * len(names)), layout="constrained")
    axis = figure.subplots()
    axis.grid(alpha=0.3, axis="x")
    if not named:
        numbers = numbers or range(1, len(names) + 1)
        axis.set_yticks(range(len(names)), numbers, fontsize=9)
        axis.set_ylim(len(names) - 0.4, -0.6)
        return figure, axis, bar
    above = thick * bar / 2 + 0.04
    for y, name in enumerate(names):
        axis.annotate(
            shortened(name),
            (0, y - above),
            (2, 1),
            xycoords=axis.get_yaxis_transform(),
            textcoords="offset points",
            va="bottom",
            fontsize=9.5,
            zorder=5,
            parse_math=False,
            path_effects=[patheffects.withStroke(linewidth=2.5, foreground="white")],
        )
    axis.set_ylim(len(names) - 0.6, -0.75)
    axis.set_yticks([])
    return figure, axis, bar


def spread_out(axis, values):
    """A logarithmic scale of costs or ratios, where a linear one would press them.

    Args:
        axis: A `matplotlib.axes.Axes`.
        values: Those on its horizontal axis, above 0.

    Returns:
        Whether it was needed.
    """
    wide = max(values) > _LOG_FROM * min(values)
    if wide:
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_locator(NullLocator())
    return wide


def legend(axis, columns=3):
    """The names of what is drawn, above the axes."""
    axis.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=columns,
        fontsize=9.5,
        frameon=False,
        borderpad=0.2,
    )
