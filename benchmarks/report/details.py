"""The pictures of what is behind the figures: ratios, operators, and the long run."""

import re

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from keras_effnet.benchmarks import significance
from keras_effnet.benchmarks.report import canvas
from keras_effnet.benchmarks.report import entries

_GREEN, _RED = "#1a7f37", "#cf222e"
_COLORS = {
    significance.FASTER: _GREEN,
    significance.SLOWER: _RED,
    "fewer": _GREEN,
    "more": _RED,
}
_OPERATORS = 6


@canvas.styled
def ratios(compared):
    """Each comparison as a ratio with its interval.

    Args:
        compared: `comparing.Compared`s, at least one.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    figure, axis, _ = canvas.rows(
        [c.label for c in compared],
        numbers=[c.number for c in compared],
    )
    axis.axvline(1, color=canvas.GREY, linewidth=1)
    for y, found in enumerate(c.difference for c in compared):
        color = _COLORS.get(found.verdict, canvas.GREY)
        if found.interval:
            axis.plot(found.interval, [y, y], color=color, linewidth=2)
        face = color if found.verdict in _COLORS else "white"
        axis.plot(found.ratio, y, "o", color=color, markerfacecolor=face)
    ends = [(c.difference.interval or ()) + (c.difference.ratio,) for c in compared]
    canvas.spread_out(axis, [1, *(end for each in ends for end in each)])
    axis.margins(x=0.08)
    within = any(c.difference.interval for c in compared)
    axis.set_xlabel("ratio to the reference" + ", with 99 % interval" * within)
    return figure


@canvas.styled
def operators(group, results):
    """Which operators the time goes to, a bar for each file.

    Args:
        group: An `entries.Group`.
        results: Those of its results that have a `profile`.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    totals = {}
    for result in results:
        for name, part in shares(result).items():
            totals[name] = totals.get(name, 0) + part
    known = sorted(totals, key=totals.get, reverse=True)[:_OPERATORS]
    figure, axis, height = canvas.rows(
        [group.label(r) for r in results],
        numbers=[group.numbers()[entries.file_key(r)] for r in results],
    )
    for y, result in enumerate(results):
        parts, left = shares(result), 0.0
        whole = sum(parts.values())
        bars = {name: parts.get(name, 0) / whole for name in known}
        for n, (name, part) in enumerate(bars.items()):
            color, *_ = canvas.SERIES[n]
            label = canvas.shortened(name, 30) if y == 0 else None
            axis.barh(y, part, left=left, height=height, color=color, label=label)
            left += part
        if len(totals) > len(known):
            label = "others" if y == 0 else None
            axis.barh(
                y, 1 - left, left=left, height=height, color="#d8dee4", label=label
            )
    axis.set_xlim(0, 1)
    axis.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f}%")
    axis.set_xlabel("share of the time of all operators")
    extra = 0.2 * len(axis.get_legend_handles_labels()[0])
    figure.set_figheight(figure.get_figheight() + extra)
    figure.legend(loc="outside lower left", fontsize=9.5, frameon=False, borderpad=0.2)
    return figure


def kind(row):
    """An operator's name without layout and types, to compare across precisions."""
    return re.sub(r" \([^)]*\)", "", row["operator"])


def shares(result):
    """Each kind of operator's time; those of one kind are added up.

    Args:
        result: A dict with a `profile`.

    Returns:
        `{kind: share}`, the largest first.
    """
    found = {}
    for row in result["profile"]:
        part = row.get("share", row.get("ms", 0))
        found[kind(row)] = found.get(kind(row), 0) + part
    return dict(sorted(found.items(), key=lambda item: -item[1]))


@canvas.styled
def sustained(group, results):
    """The median of each minute.

    Args:
        group: An `entries.Group`.
        results: Those of its results that have a `sustained` series.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    figure = Figure((canvas.WIDTH, 2.8 + 0.2 * len(results)), layout="constrained")
    axis = figure.subplots()
    for n, result in enumerate(results):
        color, marker, style = canvas.SERIES[n % len(canvas.SERIES)]
        series = medians(result)
        axis.plot(
            range(1, len(series) + 1),
            series,
            color=color,
            linestyle=style,
            marker=marker,
            markersize=4,
            label=canvas.shortened(group.label(result)),
        )
    axis.set(xlabel="minute", ylabel="median of the minute (ms)")
    axis.set_ylim(0, 1.1 * max(max(medians(r)) for r in results))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(alpha=0.3)
    canvas.legend(axis, columns=1)
    return figure


def medians(result):
    """The median of each minute of a result with a `sustained` series, ms."""
    return [
        minute["median_ms"] if isinstance(minute, dict) else minute
        for minute in result["sustained"]
    ]
