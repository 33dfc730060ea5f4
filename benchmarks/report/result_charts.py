"""The pictures of a benchmark's report, from an `entries.Group` of results each."""

import re

from keras_effnet.benchmarks import significance
from keras_effnet.benchmarks.report import entries
from keras_effnet.paired import wilson_interval
from keras_effnet.report import canvas
from keras_effnet.report import charts

# More points than this in one picture would hide each other's numbers.
_POINTS = 24
_OPERATORS = 6
_COLORS = {
    significance.FASTER: canvas.GREEN,
    significance.SLOWER: canvas.RED,
    "fewer": canvas.GREEN,
    "more": canvas.RED,
}


def accuracy_against_cost(group, measure):
    """Each result as a point, of its own colour where they are few; else with its
    file's number, and the line of those that none other beats. Many points have axes
    for each number of threads and delegate."""
    points = []
    settings = group.settings()
    series = list(map(group.label, group.results)) if group.few else settings
    for result in group.results:
        cost, share = group.cost(result), entries.accuracy(result, measure)
        if None in (cost, share):
            continue
        images = result["accuracy"].get("images")
        interval = images and wilson_interval(round(share * images), images)
        number = "" if group.few else str(group.number(result))
        own = group.label(result) if group.few else entries.setting(result)
        points.append(charts.Point(cost, share, own, number, interval))
    panels = [points]
    if len(points) > _POINTS:
        panels = [[p for p in points if p.series == s] for s in settings]
    name = {"top1": "top-1 accuracy"}.get(measure, "agreement with float")
    panels = [(group.cost_label, panel) for panel in panels if panel]
    return charts.scatter(panels, name, series, fronts=not group.few)


def costs(group):
    """Each file's latency as a bar with its 5th to 95th percentile, or its count."""
    series = {setting: [] for setting in group.settings()}
    for result in group.results:
        if (cost := group.cost(result)) is not None:
            times = result["latency_metrics"]
            ends = times["p5_ms"], times["p95_ms"]
            known = not group.emulated and None not in ends
            bar = group.number(result) - 1, cost, ends if known else None
            series[entries.setting(result)].append(bar)
    return charts.bars(list(group.names().values()), series, group.cost_label)


def demands(group):
    """Size, memory, initialisation and first inference of each file; `None` for a
    target that tells none of them but the size."""
    wanted = {
        "file (MB)": lambda r: r["model"]["bytes"] / 1e6,
        "peak memory (MiB)": entries.peak_mebibytes,
        "initialisation (ms)": lambda r: r["latency_metrics"]["init_ms"],
        "first inference (ms)": lambda r: r["latency_metrics"]["first_inference_ms"],
    }
    # One setting: another number of threads changes little of these.
    results = [r for r in group.results if entries.setting(r) == group.settings()[0]]
    panels = {}
    for name in list(wanted)[: 2 if group.emulated else 4]:
        values = [wanted[name](result) for result in results]
        if any(value is not None for value in values):
            panels[name] = [value or 0 for value in values]
    if len(panels) < 2:
        return None
    names = [
        group.names()[entries.file_key(r)] if group.few else str(group.number(r))
        for r in results
    ]
    return charts.small_bars(panels, names)


def ratios(compared, judged):
    """Each of `comparing.Compared` as a ratio with its interval; in green and red where
    it is `judged`: a larger network is slower, and nothing is wrong with that."""
    colors = _COLORS if judged else dict.fromkeys(_COLORS, canvas.BLUE)
    rows = [
        (
            one.label,
            one.difference.ratio,
            one.difference.interval,
            colors.get(one.difference.verdict, canvas.GREY),
        )
        for one in compared
    ]
    within = any(one.difference.interval for one in compared)
    xlabel = "ratio to the reference" + ", with 99 % interval" * within
    return charts.intervals(rows, xlabel, zero=1, numbers=[c.number for c in compared])


def operators(group, results):
    """Which operators the time goes to, a bar for each of a group's results that
    have a `profile`."""
    shared = [shares(result) for result in results]
    totals = {}
    for parts in shared:
        for name, part in parts.items():
            totals[name] = totals.get(name, 0) + part
    known = sorted(totals, key=totals.get, reverse=True)[:_OPERATORS]
    return charts.stacked(
        [group.label(result) for result in results],
        {name: [parts.get(name, 0) for parts in shared] for name in known},
        "share of the time of all operators",
        numbers=[group.number(result) for result in results],
    )


def kind(row):
    """An operator's name without layout and types, to compare across precisions."""
    return re.sub(r" \([^)]*\)", "", row["operator"])


def shares(result):
    """`{kind: share}` of a profile's time, the largest first; empty without times."""
    found = {}
    for row in result.get("profile") or ():
        part = row.get("share", row.get("ms", 0))
        found[kind(row)] = found.get(kind(row), 0) + part
    whole = sum(found.values())
    order = sorted(found, key=found.get, reverse=True) if whole > 0 else ()
    return {name: found[name] / whole for name in order}


def sustained(group, results):
    """The median of each minute, of a group's results that have such a series."""
    series = {
        group.label(result): [
            minute["median_ms"] if isinstance(minute, dict) else minute
            for minute in result["sustained"]
        ]
        for result in results
    }
    return charts.curves([("median of the minute (ms)", "zero", series)], "minute")
