"""What all pictures share: width, colours, style, the figure itself, scales."""

import functools
import io
import textwrap
import warnings

import matplotlib
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogLocator
from matplotlib.ticker import NullLocator

from keras_effnet import files
from keras_effnet.report.text import printable

# Inches: as wide as a phone shows a page, where a point is one of its pixels.
WIDTH = 4.95
# Of files of pixels.
DPI = 250
BLUE, ORANGE, GREEN, RED = "#0072b2", "#d55e00", "#1a7f37", "#cf222e"
GREY, PALE, BLACK = "#57606a", "#d8dee4", "#1b1f24"
# Okabe and Ito's colours, which the colour-blind tell apart, and marks besides.
SERIES = (
    (BLUE, "o", "-"),
    (ORANGE, "s", "--"),
    ("#009e73", "^", "-."),
    ("#cc79a7", "D", ":"),
    ("#8c6d00", "v", (0, (6, 1))),
    (GREY, "P", (0, (1, 1))),
)
# Points; no text is smaller.
SMALL = 11
# Names above more rows than this would make a picture of several screens.
NAMED = 12
_STYLE = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.parse_math": False,
}
# Text stays text, for which a browser has more glyphs than matplotlib; a file is the
# same each time.
_SVG = {"svg.fonttype": "none", "svg.hashsalt": "keras_effnet"}
# A pale ground for a text, so that it can be read upon lines. (An outline would make
# the text a path.)
BACKED = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.5}
_LEGEND = {"fontsize": SMALL, "frameon": False, "borderpad": 0, "handletextpad": 0.5}
# Inches.
_LEFT, _RIGHT, _LINE, _SMALL_LINE, _BAR = 0.95, 0.25, 0.23, 0.21, 0.17
_CHARACTERS = 48
# Costs further apart than this would press the small ones together.
_LOG_FROM = 8


def styled(function):
    """Draws with the report's style, whatever the caller's is, a figure whose texts are
    data: no markup, nothing that has no glyph."""

    @functools.wraps(function)
    def draw(*arguments, **options):
        with matplotlib.rc_context(_STYLE):
            figure = function(*arguments, **options)
        for text in figure.findobj(Text):
            text.set_text(printable(text.get_text()))
        return figure

    return draw


def svg(figure):
    """A figure as the text of an .svg file."""
    text = io.StringIO()
    with matplotlib.rc_context(_SVG), warnings.catch_warnings():
        # Measured for the layout alone: the browser has the glyph.
        warnings.filterwarnings("ignore", r"Glyph \d+ ")
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def save(figure, path):
    """Writes a figure as an .svg file, whole or not at all."""
    files.write_text(path, svg(figure))


def shortened(text: str, length: int = 50) -> str:
    """A text without its middle where it is too long for a row."""
    half = (length - 1) // 2
    return text if len(text) <= length else f"{text[:half]}…{text[-half:]}"


def looks(names):
    """Each name's colour, mark and line; colours come again with other marks."""
    kinds = len(SERIES)
    found = {}
    for n, name in enumerate(names):
        color, *_ = SERIES[n % kinds]
        found[name] = color, *SERIES[(n + n // kinds) % kinds][1:]
    return found


def sheet(panels=1, handles=None, title="", keys=(), height=2.6, between=0.65):
    """A figure with its title, legend, axes and key below each other; `(figure, axes)`.

    Placed in inches: matplotlib's own layout puts a title, and legends outside of
    the axes, upon each other.

    Args:
        panels: How many axes, below each other.
        handles: The legend, `{name: handle}`.
        title: Plain text, wrapped.
        keys: `(number, text)` of lines under the last of the axes, wrapped.
        height: Of each of the axes, inches.
        between: Inches from one of the axes to the next, for its labels.
    """
    handles = handles or {}
    title = textwrap.wrap(title, _CHARACTERS)
    keys = [(number, textwrap.wrap(key, _CHARACTERS)) for number, key in keys]
    columns = _legend_columns(handles)
    rows = -(-len(handles) // columns)
    top = 0.25 + _LINE * len(title) + 0.22 * rows
    bottom = 0.6 + _SMALL_LINE * sum(len(lines) for _, lines in keys)
    whole = top + panels * height + (panels - 1) * between + bottom
    figure = Figure((WIDTH, whole))
    share, width = height / whole, (WIDTH - _LEFT - _RIGHT) / WIDTH
    axes = []
    for n in range(panels):
        low = 1 - (top + height + (height + between) * n) / whole
        axes.append(figure.add_axes((_LEFT / WIDTH, low, width, share)))

    def write(x, y, text, **style):
        figure.text(x / WIDTH, y / whole, text, va="top", **style)

    for n, line in enumerate(title):
        write(0.1, whole - 0.08 - _LINE * n, line, fontsize=12)
    if handles:
        figure.legend(
            handles.values(),
            handles.keys(),
            loc="upper left",
            bbox_to_anchor=(0.1 / WIDTH, 1 - (0.12 + _LINE * len(title)) / whole),
            ncols=columns,
            borderaxespad=0,
            **_LEGEND,
        )
    y = bottom - 0.55
    for number, lines in keys:
        write(0.35, y, number, fontsize=SMALL, ha="right")
        for line in lines:
            write(0.45, y, line, fontsize=SMALL)
            y -= _SMALL_LINE
    return figure, axes


def rows(names, thick=1, numbers=None):
    """Axes with a row for each name; `(figure, axis, bar)`.

    A name stands above its bar; of more than a dozen only the numbers, from 1 by
    default, stand beside theirs. The rows are at 0, 1, ... from the top and hold
    `thick` bars each; a bar is so high that its figures fit beside it.
    """
    named = len(names) <= NAMED
    row = _BAR * thick + 0.09 + 0.26 * named
    bar = _BAR / row
    figure = Figure((WIDTH, 0.75 + row * len(names)), layout="constrained")
    axis = figure.subplots()
    axis.grid(alpha=0.3, axis="x")
    if not named:
        number_rows(axis, numbers or range(1, len(names) + 1))
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
            fontsize=SMALL,
            zorder=5,
            bbox=BACKED,
        )
    axis.set_ylim(len(names) - 0.6, -0.75)
    axis.set_yticks([])
    return figure, axis, bar


def number_rows(axis, numbers):
    """Rows at 0, 1, ... from the top, each with its number beside it."""
    axis.set_yticks(range(len(numbers)), numbers, fontsize=SMALL)
    axis.set_ylim(len(numbers) - 0.4, -0.6)


def legend(figure):
    """The names of what was drawn, above the rows of a figure."""
    handles, names = figure.axes[0].get_legend_handles_labels()
    handles = dict(zip(names, handles, strict=True))
    columns = _legend_columns(handles)
    extra = 0.1 + 0.2 * -(-len(handles) // columns)
    figure.set_figheight(figure.get_figheight() + extra)
    place = {"loc": "outside upper left", "ncols": columns}
    figure.legend(handles.values(), handles.keys(), **place, **_LEGEND)


def _legend_columns(handles):
    longest = max(map(len, handles), default=0)
    return max(1, min(3, 52 // (longest + 6)))


def spread_out(axis, values):
    """A logarithmic scale of costs or ratios, values above 0 on the horizontal axis,
    where a linear one would press them."""
    if max(values) > _LOG_FROM * min(values):
        logarithmic(axis.xaxis, values)


def logarithmic(axis, values):
    """A logarithmic scale of values above 0 on one `matplotlib.axis.Axis`, without
    exponents, which would be too small to read."""
    getattr(axis.axes, f"set_{axis.axis_name}scale")("log")
    few = max(values) < 1000 * min(values)
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def percent(share: float, _: object = None) -> str:
    """A tick of a scale of shares."""
    return f"{100 * share:.4g}%"
