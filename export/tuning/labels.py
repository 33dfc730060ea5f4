"""Numbers beside the points of a picture, none upon another."""

import math
import pathlib
import re

from matplotlib import patheffects

_SIZE = 9.5
_RADII = (14, 20, 26, 36, 48, 62, 78)
_ANGLES = 16


def numbers(candidates):
    """A short label for each candidate.

    Args:
        candidates: As `Result.candidates`.

    Returns:
        Strings: the number that each file's name begins with, where all have one of
        their own, else 1 and up.
    """
    found = [re.match("[0-9]+", pathlib.Path(c["file"]).name) for c in candidates]
    if all(found):
        stated = [str(int(match[0])) for match in found]
        if len(set(stated)) == len(stated):
            return stated
    return [str(number) for number in range(1, len(candidates) + 1)]


def place(axis, places, texts):
    """Writes a text beside each point, in reach and free of the others.

    Args:
        axis: A `matplotlib.axes.Axes` in its final place, all else plotted.
        places: `(x, y)` of the points, in data coordinates.
        texts: One for each.
    """
    axis.autoscale_view()  # else it comes when the figure is drawn
    unit = axis.figure.dpi / 72
    points = [tuple(axis.transData.transform(place) / unit) for place in places]
    frame = axis.get_window_extent()
    bounds = [edge / unit for edge in frame.extents]
    # The ring of the chosen one, the largest mark, reaches 8 points each way.
    taken = [(x - 8, y - 8, x + 8, y + 8) for x, y in points]
    for (x, y), at, text in zip(points, places, texts, strict=True):
        width, height = 0.64 * _SIZE * len(text) + 2, _SIZE + 1
        dx, dy, box = _free(x, y, width, height, taken, bounds)
        taken.append(box)
        far = math.hypot(dx, dy) > _RADII[1]
        line = {"arrowstyle": "-", "color": "#57606a", "linewidth": 0.6}
        axis.annotate(
            text,
            at,
            (dx, dy),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=_SIZE,
            zorder=6,
            arrowprops=line | {"shrinkA": 4, "shrinkB": 3} if far else None,
            annotation_clip=False,
            parse_math=False,
            path_effects=[patheffects.withStroke(linewidth=2, foreground="white")],
        )


def _free(x, y, width, height, taken, bounds):
    """The nearest place whose box touches no other, else the least crowded one."""
    tried = []
    for radius in _RADII:
        for step in range(_ANGLES):
            angle = math.pi / 4 + 2 * math.pi * step / _ANGLES
            dx = (radius + width / 2 - 4) * math.cos(angle)
            dy = radius * math.sin(angle)
            box = (
                x + dx - width / 2,
                y + dy - height / 2,
                x + dx + width / 2,
                y + dy + height / 2,
            )
            inside = (
                box[0] >= bounds[0]
                and box[1] >= bounds[1]
                and box[2] <= bounds[2]
                and box[3] <= bounds[3]
            )
            crowd = sum(_overlap(box, other) for other in taken)
            if inside and not crowd:
                return dx, dy, box
            tried.append((crowd + 1e4 * (not inside), len(tried), dx, dy, box))
    return min(tried)[2:]


def _overlap(box, other):
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    return max(0.0, width) * max(0.0, height)
