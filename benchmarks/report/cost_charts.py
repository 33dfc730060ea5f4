"""The pictures of a benchmark's report: what each file costs and is worth."""

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from keras_effnet.benchmarks.report import canvas
from keras_effnet.benchmarks.report import entries
from keras_effnet.benchmarks.report import placing
from keras_effnet.paired import wilson_interval

# More points than this in one picture would hide each other's numbers.
_POINTS = 24


@canvas.styled
def accuracy_against_cost(group, measure):
    """Each result as a point, and the line of those that none other beats.

    Args:
        group: An `entries.Group` with accuracies.
        measure: `"top1"` or `"agreement_with_float"`.

    Returns:
        A `matplotlib.figure.Figure`; points carry the numbers of their files. Many
        points have axes for each number of threads and delegate.
    """
    series = {}
    for result in group.results:
        known = group.cost(result), entries.accuracy(result, measure)
        if None not in known:
            series.setdefault(entries.setting(result), []).append((result, *known))
    whole = sum(map(len, series.values())) <= _POINTS
    panels = [list(series)] if whole else [[setting] for setting in series]
    figure = Figure((canvas.WIDTH, 0.5 + 3.4 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), sharex=True, squeeze=False).ravel()
    settings = group.settings()
    drawn = [
        _panel(axis, {s: series[s] for s in panel}, settings)
        for axis, panel in zip(axes, panels, strict=True)
    ]
    name = {"top1": "top-1 accuracy"}.get(measure, "agreement with float")
    costs = [cost for points in series.values() for _, cost, _ in points]
    for axis in axes:
        axis.set_ylabel(name)
        if not canvas.spread_out(axis, costs):
            axis.set_xlim(0, 1.1 * max(costs))
        axis.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.4g}%")
        axis.margins(y=0.14)
        axis.grid(alpha=0.3)
        if len(settings) > 1:
            canvas.legend(axis)
    axes[-1].set_xlabel(group.cost_label)
    numbers = group.numbers()
    for axis, panel, lines in zip(axes, panels, drawn, strict=True):
        points = [point for setting in panel for point in series[setting]]
        texts = [str(numbers[entries.file_key(result)]) for result, *_ in points]
        placing.beside(axis, [place for _, *place in points], texts, lines)
    return figure


def _panel(axis, series, settings):
    """Draws some settings; returns their lines."""
    lines = []
    for setting, points in series.items():
        color, marker, style = canvas.SERIES[
            settings.index(setting) % len(canvas.SERIES)
        ]
        for result, x, y in points:
            if images := result["accuracy"].get("images"):
                ends = wilson_interval(round(y * images), images)
                axis.plot([x, x], ends, color=color, alpha=0.25, linewidth=1.2)
        places = [place for _, *place in points]
        line = [places[n] for n in entries.pareto(places)]
        axis.step(*zip(*line, strict=True), where="post", color=color, linestyle=style)
        axis.plot(*zip(*places, strict=True), marker, color=color, label=setting)
        lines.append(line)
    return lines


@canvas.styled
def costs(group):
    """Each file's latency as a bar with its 5th to 95th percentile, or its count.

    Args:
        group: An `entries.Group`.

    Returns:
        A `matplotlib.figure.Figure`; one bar for each number of threads and delegate.
    """
    names, numbers, settings = group.names(), group.numbers(), group.settings()
    figure, axis, height = canvas.rows(list(names.values()), thick=len(settings))
    for n, setting in enumerate(settings):
        color, *_ = canvas.SERIES[n % len(canvas.SERIES)]
        label = setting
        for result in group.results:
            cost = group.cost(result)
            if entries.setting(result) != setting or cost is None:
                continue
            y = numbers[entries.file_key(result)] - 1
            y += (n - (len(settings) - 1) / 2) * height
            axis.barh(y, cost, height=height, color=color, label=label)
            label, end = None, cost
            latency = result["latency_metrics"]
            low, high = latency["p5_ms"], latency["p95_ms"]
            if not group.emulated and None not in (low, high):
                axis.plot([low, high], [y, y], color="#1b1f24", linewidth=1.1)
                end = max(high, cost)
            text = f" {cost:.2f}" if cost < 100 else f" {cost:,.0f}"
            axis.text(end, y, text, va="center", fontsize=9)
    axis.set_xlim(0, 1.15 * axis.dataLim.x1)
    axis.set_xlabel(group.cost_label)
    if len(settings) > 1:
        canvas.legend(axis)
    return figure


@canvas.styled
def demands(group):
    """Size, memory, initialisation and first inference of each file.

    Args:
        group: An `entries.Group`.

    Returns:
        A `matplotlib.figure.Figure` whose bars carry the files' numbers; `None` for
        a target that tells none of them but the size.
    """
    wanted = {
        "file (MB)": lambda r: r["model"]["bytes"] / 1e6,
        "peak memory (MiB)": _peak,
        "initialisation (ms)": lambda r: r["latency_metrics"]["init_ms"],
        "first inference (ms)": lambda r: r["latency_metrics"]["first_inference_ms"],
    }
    panels = list(wanted)[: 2 if group.emulated else 4]
    # One setting: another number of threads changes little of these.
    results = [r for r in group.results if entries.setting(r) == group.settings()[0]]
    panels = [p for p in panels if any(wanted[p](r) is not None for r in results)]
    if len(panels) < 2:
        return None
    height = 0.75 + 0.24 * len(results)
    figure = Figure((canvas.WIDTH, height * -(-len(panels) // 2)), layout="constrained")
    axes = figure.subplots(-(-len(panels) // 2), 2, squeeze=False).ravel()
    labels = [str(group.numbers()[entries.file_key(r)]) for r in results]
    for axis, panel in zip(axes, panels, strict=False):
        values = [wanted[panel](r) or 0 for r in results]
        axis.barh(range(len(values)), values, height=0.6, color=canvas.SERIES[0][0])
        axis.set_yticks(range(len(values)), labels, fontsize=9)
        axis.set_ylim(len(values) - 0.4, -0.6)
        axis.set_xlabel(panel)
        axis.xaxis.set_major_locator(MaxNLocator(4))
        axis.grid(alpha=0.3, axis="x")
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    return figure


def _peak(result):
    kilobytes = result["memory_metrics"]["peak_footprint_kb"]
    return None if kilobytes is None else kilobytes / 1024
