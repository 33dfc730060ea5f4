"""A figure with its title, legend, axes and key below each other.

Placed in inches: matplotlib's own layout puts a title, and legends outside of the
axes, upon each other.
"""

import textwrap

from matplotlib.figure import Figure

# As wide as a phone shows without shrinking the text to nothing.
_WIDTH, _DPI = 5.0, 150
_LEFT, _RIGHT = 0.95, 0.15
_COLUMNS, _LEGEND_COLUMNS = 52, 3
_LINE, _SMALL_LINE = 0.23, 0.2
_SMALL = 9.5


def sheet(title, handles, panels, keys=(), between=0.65, height=2.6):
    """Makes the figure.

    Args:
        title: Plain text, wrapped.
        handles: The legend, `{name: handle}`.
        panels: How many axes, below each other.
        keys: `(number, text)` of lines under the last of them, plain text, wrapped.
        between: Inches from one of the axes to the next, for its labels.
        height: Of each of the axes, inches.

    Returns:
        `(figure, axes)`.
    """
    title = textwrap.wrap(title, _COLUMNS)
    keys = [(number, textwrap.wrap(key, _COLUMNS)) for number, key in keys]
    rows = -(-len(handles) // _LEGEND_COLUMNS)
    top = 0.25 + _LINE * len(title) + 0.22 * rows
    bottom = 0.6 + _SMALL_LINE * sum(len(lines) for _, lines in keys)
    whole = top + panels * height + (panels - 1) * between + bottom
    figure = Figure((_WIDTH, whole), dpi=_DPI)
    share, width = height / whole, (_WIDTH - _LEFT - _RIGHT) / _WIDTH
    axes = []
    for n in range(panels):
        low = 1 - (top + height + (height + between) * n) / whole
        axes.append(figure.add_axes((_LEFT / _WIDTH, low, width, share)))

    def write(x, y, text, **style):
        style |= {"va": "top", "parse_math": False}
        figure.text(x / _WIDTH, y / whole, text, **style)

    for n, line in enumerate(title):
        write(0.1, whole - 0.08 - _LINE * n, line, fontsize=12)
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="upper left",
        bbox_to_anchor=(0.1 / _WIDTH, 1 - (0.12 + _LINE * len(title)) / whole),
        ncols=_LEGEND_COLUMNS,
        fontsize=_SMALL,
        frameon=False,
        borderpad=0,
        borderaxespad=0,
        handletextpad=0.5,
    )
    y = bottom - 0.55
    for number, lines in keys:
        write(0.35, y, number, fontsize=_SMALL, ha="right")
        for line in lines:
            write(0.45, y, line, fontsize=_SMALL)
            y -= _SMALL_LINE
    return figure, axes
