"""The forms of chart that the pages share, from plain values.

Every function returns a `matplotlib.figure.Figure`, without global state; its
`savefig` writes a file. Names are plain text. Where a form has rows, `numbers` are
those of the rows, where they are too many for names.
"""

import dataclasses
import textwrap

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from keras_effnet.report import canvas
from keras_effnet.report import point_labels

# A linear scale would leave all but the first few bars without a height.
_LOG_FROM = 50
_LEVEL = {"color": canvas.GREY, "linestyle": ":", "zorder": 1}
_LIMIT = {"color": canvas.RED, "linestyle": "--", "zorder": 1}
_RING = {"markerfacecolor": "none", "markeredgecolor": canvas.BLACK, "zorder": 5}


@dataclasses.dataclass(frozen=True)
class Point:
    """A mark of a scatter.

    Attributes:
        x: Its cost, or its place in an order.
        y: Its worth.
        series: Whose colour and mark it has.
        text: What is written beside it, a number as a rule.
        interval: The ends of `y`'s interval, or `None`.
        filled: Hollow marks stand for what is not within a limit.
        ringed: Whether it is marked from all others.
    """

    x: float
    y: float
    series: str
    text: str = ""
    interval: tuple | None = None
    filled: bool = True
    ringed: bool = False


@canvas.styled
def scatter(
    panels,
    ylabel,
    series,
    *,
    title="",
    keys=(),
    ringed="",
    hollow="",
    levels=None,
    floor=None,
    fronts=False,
    joined=False,
    ordered=False,
):
    """What things cost, to the right, and are worth, upwards.

    Args:
        panels: A list of `(xlabel, points)`, axes below each other.
        ylabel: What is worth.
        series: Names of the points' series in the order of their colours.
        title: Above the legend.
        keys: `(number, text)` of lines under the axes.
        ringed: The legend's name of ringed points.
        hollow: That of points that are not filled.
        levels: `{name: worth}`: `"limit"` is a dashed line, others are dotted ones.
        floor: The lower edge, for points below it too; `None` makes room for all.
        fronts: Whether a line joins the points of a series that no other beats.
        joined: Whether a line joins the points of a series.
        ordered: Whether `x` counts from 0 and `y` is no share and drawn to a
            logarithmic scale.
    """
    points = [point for _, part in panels for point in part]
    styles = canvas.looks(series)
    handles = {}
    for name, (color, marker, _) in styles.items():
        if any(point.series == name for point in points):
            handles[name] = Line2D([], [], color=color, marker=marker, linestyle="")
    if not all(point.filled for point in points):
        face = {"markerfacecolor": "white", "markeredgecolor": canvas.BLACK}
        handles[hollow] = Line2D([], [], marker="o", linestyle="", **face)
    if any(point.ringed for point in points):
        handles[ringed] = Line2D([], [], marker="o", markersize=12, ls="", **_RING)
    lines = {name: _LIMIT if name == "limit" else _LEVEL for name in levels or {}}
    handles |= {name: Line2D([], [], **style) for name, style in lines.items()}
    handles = handles if len(styles) > 1 or len(handles) > 1 else {}
    figure, axes = canvas.sheet(len(panels), handles, title, keys, height=3)
    for axis, (xlabel, part) in zip(axes, panels, strict=True):
        axis.set(xlabel=xlabel, ylabel=ylabel)
        axis.grid(alpha=0.3)
        steps = _fronts(axis, part, styles) if fronts else []
        for name, (color, *_) in styles.items() if joined else ():
            places = [(point.x, point.y) for point in part if point.series == name]
            axis.plot(*zip(*places, strict=True), color=color, linewidth=1.2)
        _marks(axis, part, styles, floor)
        for name, style in lines.items():
            axis.axhline(levels[name], **style)
        if ordered:
            canvas.logarithmic(axis.yaxis, [point.y for point in part])
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        else:
            axis.yaxis.set_major_formatter(canvas.percent)
            axis.xaxis.set_major_locator(MaxNLocator(6))
            canvas.spread_out(axis, [point.x for point in part])
            axis.margins(x=0.12, y=0.14)
        if floor is not None:
            axis.set_ylim(bottom=floor)
        told = sorted((p for p in part if p.text), key=lambda p: not p.ringed)
        if told:
            places = [(p.x, _raised(p.y, floor)) for p in told]
            reach = 8 if any(p.ringed for p in told) else 5
            point_labels.beside(axis, places, [p.text for p in told], steps, reach)
    return figure


def _marks(axis, points, styles, floor):
    alike = {}
    for point in points:
        color, marker, _ = styles[point.series]
        y = _raised(point.y, floor)
        if point.interval and y == point.y:
            weight = (
                (1, 2) if point.ringed else (0.35 if len(points) > 12 else 0.7, 1.2)
            )
            style = dict(zip(("alpha", "linewidth"), weight, strict=True))
            axis.plot([point.x] * 2, point.interval, color=color, zorder=2, **style)
        mark = "v" if y != point.y else marker
        places = alike.setdefault((point.series, color, mark, point.filled), [])
        places.append((point.x, y))
        if point.ringed:
            size = {"markersize": 14 if point.text else 10, "clip_on": False}
            axis.plot(point.x, y, "o", **_RING, **size)
    size = 6 if len(points) <= 60 else 4.5
    for (name, color, mark, filled), places in alike.items():
        face = {"markerfacecolor": color if filled else "white", "markersize": size}
        style = {"color": color, "zorder": 4, "clip_on": False} | face
        axis.plot(*zip(*places, strict=True), mark, label=name, **style)


def _raised(share, floor):
    return share if floor is None else max(share, floor)


def _fronts(axis, points, styles):
    """Draws a line for each series; returns their points."""
    lines = []
    for name, (color, _, style) in styles.items():
        places = [(point.x, point.y) for point in points if point.series == name]
        if places:
            line = [places[n] for n in pareto(places)]
            x, y = zip(*line, strict=True)
            axis.step(x, y, where="post", color=color, linestyle=style)
            lines.append(line)
    return lines


def pareto(points):
    """Indices of the `(cost, worth)` pairs that no other beats in cost without losing
    in worth, the cheapest first."""
    order = sorted(range(len(points)), key=lambda n: (points[n][0], -points[n][1]))
    line, best = [], None
    for n in order:
        if best is None or points[n][1] > best:
            line.append(n)
            best = points[n][1]
    return line


def accuracy_against_latency(files):
    """Each file as a point: latency to the right, accuracy upwards; a line joins the
    forms of one network.

    Files are dicts with `network`, `precision`, `median_ms`, `accuracy` (0 to 1) and
    `interval` (its 95 % interval, two numbers).
    """
    points = [
        Point(
            file["median_ms"],
            file["accuracy"],
            file["network"],
            interval=file["interval"],
            filled=file["precision"] != "float32",
        )
        for file in files
    ]
    networks = list(dict.fromkeys(file["network"] for file in files))
    panels = [("latency, median of one image on this host (ms)", points)]
    ylabel = "accuracy, with 95 % interval"
    others = dict.fromkeys(f["precision"] for f in files if f["precision"] != "float32")
    filled = ", ".join(others)
    hollow = f"float32; filled: {filled}"
    return scatter(panels, ylabel, networks, hollow=hollow, joined=True)


@canvas.styled
def intervals(rows, xlabel, *, numbers=None, zero=None, limit=None, format=None):
    """Values with their intervals, below each other.

    Rows are `(name, value, interval, color)`; an interval may be `None`, and what is
    grey is drawn hollow. `zero` is the value that stands for no difference, a line;
    where it is 1 the values are ratios, of which wide ones get a logarithmic scale.
    `limit` is a dashed line, `format` what matplotlib's axes take as one.
    """
    figure, axis, _ = canvas.rows([name for name, *_ in rows], numbers=numbers)
    for y, (_, value, interval, color) in enumerate(rows):
        if interval:
            axis.plot(interval, [y, y], color=color, linewidth=2.5)
        face = "white" if color == canvas.GREY else color
        axis.plot(value, y, "o", color=color, markerfacecolor=face, markersize=7)
    axis.xaxis.set_major_locator(MaxNLocator(5))
    if zero is not None:
        axis.axvline(zero, color=canvas.GREY, linewidth=1, zorder=1)
    if zero == 1:
        ends = [end for _, value, ends, _ in rows for end in (value, *(ends or ()))]
        canvas.spread_out(axis, [1, *ends])
    if limit is not None:
        axis.axvline(limit, label=f"limit, {limit:g}", **_LIMIT)
        canvas.legend(figure)
    if format:
        axis.xaxis.set_major_formatter(format)
    axis.margins(x=0.08)
    axis.set_xlabel(xlabel)
    return figure


@canvas.styled
def bars(names, series, xlabel):
    """Bars with their figures, below each other.

    `series` is `{name: [(row, value, range)]}`, a bar each; a range is two numbers or
    `None`.
    """
    figure, axis, height = canvas.rows(names, thick=len(series))
    for n, (name, (color, *_)) in enumerate(canvas.looks(series).items()):
        for row, value, ends in series[name]:
            y = row + (n - (len(series) - 1) / 2) * height
            axis.barh(y, value, height=height, color=color, label=name)
            if ends:
                axis.plot(ends, [y, y], color=canvas.BLACK, linewidth=1.1)
            text = f" {value:.2f}" if value < 100 else f" {value:,.0f}"
            axis.text(
                max(value, *(ends or (0,))), y, text, va="center", fontsize=canvas.SMALL
            )
    axis.set_xlim(0, 1.15 * axis.dataLim.x1)
    axis.set_xlabel(xlabel)
    if len(series) > 1:
        canvas.legend(figure)
    return figure


@canvas.styled
def stacked(names, parts, xlabel, *, numbers=None):
    """Shares of a whole, a bar for each row.

    `parts` is `{name: [share of each row]}`, from left to right; what is left of a
    whole stands at the end as "others".
    """
    figure, axis, height = canvas.rows(names, numbers=numbers)
    left = np.zeros(len(names))
    for name, (color, *_) in canvas.looks(parts).items():
        label = canvas.shortened(name, 30)
        style = {"left": left, "height": height, "color": color, "label": label}
        axis.barh(range(len(names)), parts[name], **style)
        left = left + parts[name]
    if (left < 1 - 1e-6).any():
        style = {"left": left, "height": height, "color": canvas.PALE}
        axis.barh(range(len(names)), 1 - left, label="others", **style)
    axis.set_xlim(0, 1)
    axis.xaxis.set_major_formatter(canvas.percent)
    axis.set_xlabel(xlabel)
    canvas.legend(figure)
    return figure


@canvas.styled
def small_bars(panels, names):
    """Several values of the same things, `{xlabel: values}`, axes beside each other;
    of more things than there are colours `names` are to be numbers."""
    few = len(names) <= len(canvas.SERIES)
    rows = -(-len(panels) // 2)
    height = (0.8 + 0.24 * len(names)) * rows
    figure = Figure((canvas.WIDTH, height), layout="constrained")
    axes = figure.subplots(rows, 2, squeeze=False).ravel()
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    for axis, (xlabel, values) in zip(axes, panels.items(), strict=False):
        for row, (name, value) in enumerate(zip(names, values, strict=True)):
            color = canvas.SERIES[row if few else 0][0]
            style = {"color": color, "label": canvas.shortened(name)}
            axis.barh(row, value, height=0.6, **style)
        canvas.number_rows(axis, [""] * len(names) if few else names)
        axis.set_xlabel(xlabel)
        axis.xaxis.set_major_locator(MaxNLocator(3))
        axis.grid(alpha=0.3, axis="x")
    if few:
        canvas.legend(figure)
    return figure


@canvas.styled
def columns(panels, xlabel, marked, names, *, title=""):
    """Bars side by side in their order, to a logarithmic scale where they need one.

    Args:
        panels: `{ylabel: heights}`, all of the same things and to one scale; a panel
            of nothing is left out. 0 draws no bar.
        xlabel: What the things are.
        marked: Indices of those that matter.
        names: Of those that are marked and of the others, for the legend.
        title: Above the legend.
    """
    positive = sorted(v for heights in panels.values() for v in heights if v) or [1.0]
    middle, high = positive[len(positive) // 2], positive[-1]
    log = high > _LOG_FROM * middle
    # Far below the middle a value is noise, and would stretch the scale.
    low = max(positive[0], middle / 1000) / 2 if log else 0
    count = len(next(iter(panels.values())))
    panels = {y: h for y, h in panels.items() if any(v > low for v in h)} or panels
    colors = [canvas.ORANGE if n in marked else canvas.BLUE for n in range(count)]
    shown = {canvas.ORANGE: names[0], canvas.BLUE: names[1]}
    handles = {
        name: Line2D([], [], color=color, linewidth=6)
        for color, name in shown.items()
        if color == canvas.ORANGE or color in colors
    }
    figure, axes = canvas.sheet(len(panels), handles, title, between=0.15, height=2.4)
    for axis, (ylabel, heights) in zip(axes, panels.items(), strict=True):
        axis.bar(range(count), heights, width=0.85, color=colors)
        axis.set(ylabel=ylabel, ylim=(low, high * 1.3))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        if log:
            canvas.logarithmic(axis.yaxis, (low, high))
        axis.grid(alpha=0.3, axis="y")
        axis.tick_params(labelbottom=axis is axes[-1])
    axes[-1].set_xlabel(xlabel)
    return figure


@canvas.styled
def curves(panels, xlabel, *, faint="", marked=None):
    """Values over the steps 1, 2, ...

    Panels are `(ylabel, scale, {name: values})`, axes below each other; the scale is
    `"log"`, `"percent"`, `"zero"`, which begins there, or `None`. Values of a step that
    is unknown are NaN. The series `faint` stays behind the others; `marked` is a
    step with a line, and its name.
    """
    styles = {}
    names = dict.fromkeys(name for *_, series in panels for name in series)
    for name, look in canvas.looks(names).items():
        style = dict(zip(("color", "marker", "linestyle"), look, strict=True))
        if name == faint:
            style |= {"color": canvas.GREY, "linewidth": 0.7, "linestyle": "-"}
        if max(len(series.get(name, ())) for *_, series in panels) > 100:
            style["marker"] = ""
        styles[name] = style | {"markersize": 4}
    handles = {canvas.shortened(n): Line2D([], [], **s) for n, s in styles.items()}
    if marked:
        handles[marked[1]] = Line2D([], [], **_LEVEL)
    figure, axes = canvas.sheet(len(panels), handles if len(handles) > 1 else {})
    for axis, (ylabel, scale, series) in zip(axes, panels, strict=True):
        for name, values in series.items():
            axis.plot(range(1, len(values) + 1), values, **styles[name])
        axis.set(xlabel=xlabel, ylabel=ylabel)
        if marked:
            axis.axvline(marked[0], **_LEVEL)
        if scale == "log":
            found = [value for values in series.values() for value in values]
            canvas.logarithmic(axis.yaxis, [v for v in found if v > 0] or [1])
        elif scale == "percent":
            axis.yaxis.set_major_formatter(canvas.percent)
        elif scale == "zero":
            axis.set_ylim(0, 1.1 * axis.dataLim.y1)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.3)
    return figure


def training_curves(history, best=None):
    """Loss and accuracy over the epochs, from the `history` of `keras.Model.fit`; the
    epoch `best`, from 1, is marked."""
    panels = []
    for key, scale in (("loss", "log"), ("accuracy", "percent")):
        series = {"training": history.get(key), "validation": history.get(f"val_{key}")}
        panels.append((key, scale, {name: v for name, v in series.items() if v}))
    return curves(panels, "epoch", marked=best and (best, f"best epoch, {best}"))


@canvas.styled
def confusion_matrix(counts):
    """How often each class was taken for each other, of classes too many for names.

    `counts` are `(classes, classes)`, the true class down.
    """
    figure = Figure((canvas.WIDTH, 4.2), layout="constrained")
    axis = figure.subplots()
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, label="share of the true class", shrink=0.8)
    axis.set(xlabel="predicted", ylabel="true")
    return figure


@canvas.styled
def image_grid(blocks, columns):
    """Images side by side, in blocks below each other.

    Blocks are `(title, images)`; images are 0-255 and of 1 or 3 channels.
    """
    side = canvas.WIDTH / columns
    blocks = [(textwrap.wrap(title, 54), images) for title, images in blocks]
    counts = [-(-len(images) // columns) for _, images in blocks]
    heights = [
        count * side + 0.1 + 0.2 * len(title)
        for count, (title, _) in zip(counts, blocks, strict=True)
    ]
    size = canvas.WIDTH, sum(heights)
    figure = Figure(size, layout="constrained", dpi=canvas.DPI)
    parts = figure.subfigures(len(blocks), 1, squeeze=False, height_ratios=heights)
    for part, count, (title, images) in zip(parts[:, 0], counts, blocks, strict=True):
        style = {"fontsize": canvas.SMALL, "x": 0.01, "ha": "left"}
        part.suptitle("\n".join(title), **style)
        axes = part.subplots(count, columns, squeeze=False).ravel()
        for axis in axes:
            axis.axis("off")
        for axis, pixels in zip(axes, images, strict=False):
            axis.imshow(np.squeeze(pixels), cmap="gray", vmin=0, vmax=255)
    return figure


@canvas.styled
def scored_plane(plane, work, scores, lines, title):
    """Scores over a plane, and over the work that they cost.

    The plane is `(xlabel, ylabel, points)`, work is `(title, xlabel, values)`; the best
    is the last one of each: where points touch, it stays visible. Lines, `{name:
    points}`, are behind the plane, named where they begin.
    """
    figure = Figure((canvas.WIDTH, 8), layout="constrained", dpi=canvas.DPI)
    upper, lower = figure.subplots(2, 1)
    for name, points in lines.items():
        upper.plot(*zip(*points, strict=True), color="0.85", linewidth=1, zorder=0)
        style = {"ha": "center", "color": "0.4", "fontsize": canvas.SMALL}
        offset = {"xytext": (0, -18), "textcoords": "offset points"}
        upper.annotate(name, points[0], **offset, **style)
    dots = {"c": scores, "s": 60 if len(scores) < 300 else 15}
    ring = {"s": 260, "facecolors": "none", "edgecolors": canvas.RED, "linewidths": 2.5}
    xlabel, ylabel, places = plane
    drawn = upper.scatter(*zip(*places, strict=True), **dots)
    upper.scatter(*places[-1], **ring)
    upper.set(
        xlabel=xlabel, ylabel=ylabel, ylim=(0.93, None), title=textwrap.fill(title, 42)
    )
    title, xlabel, values = work
    lower.scatter(values, scores, **dots)
    lower.scatter(values[-1], scores[-1], **ring)
    lower.set(xlabel=xlabel, ylabel="score", title=title)
    lower.grid(alpha=0.3)
    figure.colorbar(drawn, ax=upper, label="score")
    return figure
