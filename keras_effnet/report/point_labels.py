"""Short texts beside the points of a picture, none upon another."""

import itertools
import math

import numpy as np

from keras_effnet.report import canvas

_SIZE = canvas.SMALL
# Points (1/72 inch): beyond a mark's edge, of the frame, and from one mark to another
# that hides it.
_RADII, _MARGIN, _HIDDEN = (6, 11, 17, 25, 35, 47, 61), 4, 3
_ANGLES = math.pi / 4 + np.arange(16) * math.pi / 8
_LEADER = {
    "arrowstyle": "-",
    "color": canvas.GREY,
    "linewidth": 0.6,
    "shrinkA": 4,
    "shrinkB": 3,
}


def beside(axis, places, texts, lines=(), reach=5):
    """Writes a text beside each point, as near as it finds room; where marks hide each
    other, one text with those of all of them.

    All else must be drawn already, with the axis in its final place. Who comes first of
    `places`, in data coordinates, has its text nearest. Texts keep off step lines,
    given by their points, where they can; `reach` is how far the largest mark reaches
    from its middle, points.
    """
    axis.autoscale_view()  # else it comes when the figure is drawn
    unit = axis.figure.dpi / 72
    points = axis.transData.transform(places) / unit
    steps = [axis.transData.transform(line) / unit for line in lines]
    steps = np.array([box for line in steps for box in _steps(line)]).reshape(-1, 4)
    frame = np.array(axis.get_window_extent().extents) / unit
    taken = _boxes(points, (2 * reach, 2 * reach))
    for group in list(_together(points)):
        point, place = points[group[0]], places[group[0]]
        text = _listed([texts[n] for n in group])
        size = 0.64 * _SIZE * len(text) + 2, _SIZE + 1
        offsets = np.array(
            [
                (
                    (reach + radius + size[0] / 2 - 4) * math.cos(angle),
                    (reach + radius) * math.sin(angle),
                )
                for radius in _RADII
                for angle in _ANGLES
            ]
        )
        boxes = _boxes(point + offsets, size)
        distance = np.hypot(*offsets.T)
        middles = (point + offsets)[:, None] - points[None]
        low = boxes[:, :2] < frame[:2] + _MARGIN
        high = boxes[:, 2:] > frame[2:] - _MARGIN
        outside = (low | high).any(1)
        # Nearer to another point a text would be taken for that one's.
        apart = np.hypot(*middles.T)
        strange = apart[group].min(0) > apart.min(0)
        away = distance + _overlaps(boxes, steps) / 2
        # The last key is the first that decides.
        best = np.lexsort((away, strange, _overlaps(boxes, taken), outside))[0]
        taken = np.vstack([taken, boxes[best]])
        led = strange[best] or distance[best] > reach + _RADII[1] + size[0] / 2
        axis.annotate(
            text,
            place,
            offsets[best],
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=_SIZE,
            zorder=6,
            annotation_clip=False,
            arrowprops=_LEADER if led else None,
            bbox=canvas.BACKED,
        )


def _together(points):
    """Indices of the points that stand in one place, the first of `points` first."""
    rest = list(range(len(points)))
    while rest:
        first = rest[0]
        near = [n for n in rest if math.dist(points[n], points[first]) < _HIDDEN]
        rest = [n for n in rest if n not in near]
        yield near


def _listed(texts):
    """Whole numbers in order, with a dash where three and more follow each other."""
    if not all(text.isdecimal() for text in texts):
        return ", ".join(texts)
    numbers, told = sorted(set(map(int, texts))), []
    for _, run in itertools.groupby(enumerate(numbers), lambda one: one[1] - one[0]):
        run = [str(number) for _, number in run]
        told += [f"{run[0]}–{run[-1]}"] if len(run) > 2 else run
    return ", ".join(told)


def _steps(points):
    """Thin boxes along a line that goes to the right and then up."""
    for (x, y), (right, up) in itertools.pairwise(points):
        yield x, y - 1, right, y + 1
        yield right - 1, y, right + 1, up


def _boxes(middles, size):
    half = np.array(size) / 2
    return np.hstack([middles - half, middles + half])


def _overlaps(boxes, others):
    """The area that each box has in common with all the others together."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.clip(high - low, 0, None).prod(2).sum(1).round(6)
