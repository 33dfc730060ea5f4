"""The pictures of a search, as matplotlib figures: what each file costs and loses,
and which operators the precision matters to."""

import math

import matplotlib
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from keras_effnet.export.tuning import canvas
from keras_effnet.export.tuning import labels

_STYLE = {"font.size": 11, "axes.spines.top": False, "axes.spines.right": False}
_BLUE, _ORANGE, _GREY, _RED = "#0072b2", "#d55e00", "#57606a", "#cf222e"
_BLACK = "#1b1f24"
# Okabe and Ito's colours, which the colour-blind tell apart, and marks besides.
_PRECISIONS = {
    "int8": (_BLUE, "o"),
    "weight-only": ("#009e73", "^"),
    "float16": ("#cc79a7", "D"),
    "float32": (_ORANGE, "s"),
}
# A linear scale would leave all but the first few bars without a height.
_LOG_FROM = 50
_WORST = 10
_PARTS = ("activation", "kernel")


def measured(candidate, measure):
    """A candidate's share on the vertical axis.

    Args:
        candidate: A dict of `Result.candidates`.
        measure: `"accuracy"` or `"agreement"`.

    Returns:
        `(share, (low, high))`, fractions, or `None` where it was not measured. The
        interval of an accuracy is the float model's less the paired interval of
        the drop: it stands to the limit as the drop's does.
    """
    found = candidate.get("evaluation")
    if not found:
        return None
    if measure == "agreement":
        return found["agreement"], tuple(found["agreement_interval"])
    if found.get("top1") is None:
        return None
    low, high = (
        found["reference_top1"] - p / 100 for p in found["drop_interval"][::-1]
    )
    return found["top1"], (low, high)


def latency_of(candidate):
    """A candidate's median in ms, `None` where it was not measured."""
    return (candidate.get("latency") or {}).get("median_ms")


def size_of(candidate):
    """A candidate's size in MB of 10⁶ bytes."""
    return candidate["bytes"] / 1e6


def tradeoff(candidates, chosen, measure, limit=None):
    """Accuracy or agreement against latency, and against size.

    Args:
        candidates: As `Result.candidates`, one of them measured at least.
        chosen: The name of the chosen one.
        measure: `"accuracy"` or `"agreement"`.
        limit: The largest drop in percentage points for `"accuracy"`, the least
            fraction for `"agreement"`; `None` where there is none.

    Returns:
        A `matplotlib.figure.Figure`; a share that lies far below the limit is
        drawn on the lower edge, and the key says what it is.
    """
    numbers = labels.numbers(candidates)
    points = [
        (number, candidate, *measured(candidate, measure))
        for number, candidate in zip(numbers, candidates, strict=True)
        if measured(candidate, measure)
    ]
    reference = None
    if measure == "accuracy":
        reference = points[0][1]["evaluation"]["reference_top1"]
        limit = None if limit is None else reference - limit / 100
    floor = _floor(points, limit)
    keys = [
        f"{candidate['name']}: {share:.1%}, below the scale"
        if floor is not None and share < floor
        else candidate["name"]
        for _, candidate, share, _ in points
    ]
    panels = {
        "latency, median of one image on this host (ms)": latency_of,
        "size of the file (MB)": size_of,
    }
    panels = {
        label: of
        for label, of in panels.items()
        if any(of(candidate) is not None for _, candidate, *_ in points)
    }
    with matplotlib.rc_context(_STYLE):
        figure, axes = canvas.sheet(
            _finding(candidates, chosen),
            _handles(points, reference, limit),
            len(panels),
            [(n, key) for (n, *_), key in zip(points, keys, strict=True)],
        )
        for axis, (label, of) in zip(axes, panels.items(), strict=True):
            _panel(axis, of, points, chosen, floor)
            if reference is not None:
                axis.axhline(reference, color=_GREY, linestyle=":", zorder=1)
            if limit is not None:
                axis.axhline(limit, color=_RED, linestyle="--", zorder=1)
            axis.set(xlabel=label, ylabel=_AXIS[measure])
            axis.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.4g}%")
            axis.grid(alpha=0.3)
            axis.margins(x=0.12)
            if floor is not None:
                axis.set_ylim(bottom=floor)
            drawn = [point for point in points if of(point[1]) is not None]
            # Who comes first has its number nearest.
            drawn.sort(key=lambda point: point[1]["name"] != chosen)
            places = [(of(c), _raised(share, floor)) for _, c, share, _ in drawn]
            labels.place(axis, places, [number for number, *_ in drawn])
    return figure


_AXIS = {"accuracy": "top-1 accuracy", "agreement": "agreement with float"}


def _panel(axis, of, points, chosen, floor):
    for _, candidate, share, (low, high) in points:
        if (x := of(candidate)) is None:
            continue
        color, marker = _PRECISIONS[candidate["precision"]]
        picked = candidate["name"] == chosen
        y = _raised(share, floor)
        if y == share:
            strong = {"color": color, "linewidth": 2, "zorder": 3}
            weak = {"color": "#b6bec7", "linewidth": 1, "zorder": 2}
            axis.plot([x, x], [low, high], **(strong if picked else weak))
        face = color if candidate["within"] else "white"
        style = {"markeredgecolor": color, "markerfacecolor": face, "zorder": 4}
        axis.plot(x, y, marker if y == share else "v", clip_on=False, **style)
        if picked:
            ring = {"markerfacecolor": "none", "markeredgecolor": _BLACK, "zorder": 5}
            axis.plot(x, y, "o", markersize=14, clip_on=False, **ring)


def _raised(share, floor):
    return share if floor is None else max(share, floor)


def _floor(points, limit):
    """The lower edge where a collapsed file would press the others into a line."""
    share, (low, _) = max((p[2:] for p in points), key=lambda found: found[0])
    target = share if limit is None else limit
    room = 2.5 * max(abs(share - target), share - low, 0.02)
    floor = min(share, target) - room
    return floor if min(p[2] for p in points) < floor else None


def _handles(points, reference, limit):
    """The legend: `{name: handle}`."""
    handles = {}
    for _, candidate, *_ in points:
        color, marker = _PRECISIONS[candidate["precision"]]
        handles[candidate["precision"]] = _mark(marker, color, color)
    if any(not candidate["within"] for _, candidate, *_ in points):
        handles["not within"] = _mark("o", _BLACK, "white")
    handles["chosen"] = _mark("o", _BLACK, "none", markersize=12)
    if reference is not None:
        handles["float model"] = Line2D([], [], color=_GREY, linestyle=":")
    if limit is not None:
        handles["limit"] = Line2D([], [], color=_RED, linestyle="--")
    return handles


def _mark(marker, edge, face, **style):
    style |= {"markeredgecolor": edge, "markerfacecolor": face, "linestyle": "none"}
    return Line2D([], [], marker=marker, **style)


def _finding(candidates, chosen):
    within = [candidate for candidate in candidates if candidate["within"]]
    count = len(candidates)
    if not within:
        if count == 1:
            return f"The only file does not keep within the limit: {chosen}"
        return f"None of {count} files keeps within the limit; best: {chosen}"
    times = {latency_of(c): c["name"] for c in within if latency_of(c) is not None}
    fastest = times and times[min(times)] == chosen
    keep = "file keeps" if count == 1 else "files keep"
    what = "the fastest" if fastest and len(within) > 1 else "chosen"
    return f"{len(within)} of {count} {keep} within the limit; {what}: {chosen}"


def worst(rows):
    """The operators that matter most.

    Args:
        rows: As `search.json` has them under `sensitivity`.

    Returns:
        Indices of up to ten rows, the most sensitive first.
    """
    order = sorted(range(len(rows)), key=lambda n: -total(rows[n]))
    return [n for n in order[:_WORST] if total(rows[n]) > 0]


def total(row):
    """An operator's activation and kernel together, nats."""
    return part(row, "activation") + part(row, "kernel")


def part(row, key):
    """One of the two; 0 where there is none or it is no finite number."""
    value = row.get(key)
    return value if value is not None and math.isfinite(value) and value > 0 else 0.0


def sensitivity(rows):
    """What rounding each operator alone does to the answers, in graph order.

    Args:
        rows: As `search.json` has them under `sensitivity`.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    marked = set(worst(rows))
    values = [part(row, key) for row in rows for key in _PARTS]
    positive = sorted(value for value in values if value) or [1.0]
    middle, high = positive[len(positive) // 2], positive[-1]
    log = high > _LOG_FROM * middle
    # Far below the middle a value is noise, and would stretch the scale.
    low = max(positive[0], middle / 1000) / 2 if log else 0
    keys = [k for k in _PARTS if any(part(row, k) > low for row in rows)] or _PARTS
    handles = {
        f"the {len(marked)} most sensitive": Line2D([], [], color=_ORANGE, linewidth=6),
    }
    if len(marked) < len(rows):
        handles["others"] = Line2D([], [], color=_BLUE, linewidth=6)
    with matplotlib.rc_context(_STYLE):
        figure, axes = canvas.sheet(
            _concentration(rows), handles, len(keys), between=0.15, height=2.4
        )
        for axis, key in zip(axes, keys, strict=True):
            heights = [part(row, key) for row in rows]
            colors = [_ORANGE if n in marked else _BLUE for n in range(len(rows))]
            axis.bar(range(len(rows)), heights, width=0.85, color=colors)
            axis.set(ylabel=f"{key}: divergence (nats)", ylim=(low, high * 1.3))
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
            if log:
                axis.set_yscale("log")
            axis.grid(alpha=0.3, axis="y")
            axis.set_axisbelow(True)
        for axis in axes[:-1]:
            axis.tick_params(labelbottom=False)
        axes[-1].set_xlabel("operator, in the order of the graph")
    return figure


def _concentration(rows):
    totals = sorted(map(total, rows), reverse=True)
    whole, gathered, count = sum(totals), 0.0, 0
    if not whole:
        return "No operator is sensitive to 8 bits"
    while gathered < whole / 2:
        gathered += totals[count]
        count += 1
    make = "makes" if count == 1 else "make"
    return f"{count} of {len(rows)} operators {make} up half of the sensitivity"
