"""The report of benchmarks as one HTML page that holds its own pictures."""

from keras_effnet.benchmarks import significance
from keras_effnet.benchmarks.report import comparing
from keras_effnet.benchmarks.report import entries
from keras_effnet.benchmarks.report import result_charts
from keras_effnet.benchmarks.report import results_table
from keras_effnet.benchmarks.schema import layer_times
from keras_effnet.report import canvas
from keras_effnet.report import page
from keras_effnet.report.text import cell
from keras_effnet.report.text import significant

_OPERATORS, _LAYERS = 6, 10
_METHOD = (
    "Compared are the medians of rounds, each a process of its own, with exact tests "
    f"at α = {100 * significance.ALPHA:g} %: rounds that one command measured in turn "
    "by Wilcoxon's signed ranks, those of separate commands by Mann and Whitney's rank "
    "sum; ratio and interval after Hodges and Lehmann. Of a hundred comparisons of "
    "equal files one is expected to show a difference. At least "
    f"{significance.rounds_needed()} rounds in turn are needed, or "
    f"{significance.rounds_needed(paired=False)} on each side of separate commands."
)


def build(results, others=None):
    """The page of results, as `results_file.read_all` returns them, held against
    those of another set where there is one."""
    groups = entries.grouped(results)
    parts = [page.paragraph(_summary(results, groups))]
    for group in groups:
        parts += [
            page.heading(group.title),
            page.paragraph(_facts(group), "note"),
            *_accuracy(group),
            *_costs(group),
            *_table(group),
            *_demands(group),
            *_operators(group),
            *_sustained(group),
        ]
        for compared in comparing.within(group):
            reference = compared[0].reference
            parts += [
                page.heading(f"Against {reference}", 3),
                *_ratios(compared, f"Ratios to {reference}", group, judged=False),
            ]
        if others is not None:
            parts += _against(group, entries.grouped(others))
    parts += _warnings(groups)
    parts += [page.heading("How to read this"), *map(page.paragraph, _reading(groups))]
    dates = sorted(r["date"][:10] for r in results)
    span = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    harnesses = ", ".join(dict.fromkeys(group.harness for group in groups))
    return page.render(
        "How fast, how large, how right", parts, f"Measured {span} by {harnesses}."
    )


def _summary(results, groups):
    files = len({entries.file_key(r) for r in results})
    targets = ", ".join(group.title for group in groups)
    return (
        f"{_count(len(results), 'measurement')} of {_count(files, 'file')} on "
        f"{targets}."
    )


def _count(number, noun):
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _facts(group):
    device = group.results[0]["device"]
    governor, cores = device.get("governor"), device.get("cores")
    known = [
        cores and _count(cores, "core"),
        device.get("os"),
        governor and f"governor {governor}",
        group.runtime,
        f"measured by {group.harness}",
    ]
    text = ", ".join(filter(None, known)) + "."
    if group.emulated:
        text += (
            " An emulated core: its times mean nothing, so instructions of one "
            "inference stand in place of latency."
        )
    return text


def _accuracy(group):
    costed = [r for r in group.results if group.cost(r) is not None]
    measure = entries.measure_of_accuracy(costed)
    if not measure:
        return []
    text = f"Accuracy against {'instructions' if group.emulated else 'latency'}"
    figure = result_charts.accuracy_against_cost(group, measure)
    drawn = (r for r in costed if entries.accuracy(r, measure) is not None)
    names = {group.number(r): group.names()[entries.file_key(r)] for r in drawn}
    parts = _picture(text, figure, group)
    note = "Pale bars: 95 % intervals of the shares (Wilson 1927)."
    if not group.few:
        parts.append(page.items([f"{n}: {name}" for n, name in names.items()], "key"))
        note = (
            "The line joins the files that no other beats: nothing cheaper is as "
            f"right. {note}"
        )
    return [*parts, page.paragraph(note, "note")]


def _costs(group):
    if all(group.cost(r) is None for r in group.results):
        return []
    text = f"{'Instructions' if group.emulated else 'Latency'} of each file"
    notes = []
    if not group.emulated:
        notes.append("Bars: medians. Black lines: 5th to 95th percentile of the runs.")
    if len(group.names()) > canvas.NAMED:
        notes.append("Numbers: those of the table below.")
    parts = _picture(text, result_charts.costs(group), group)
    return [*parts, page.paragraph(" ".join(notes), "note")] if notes else parts


def _table(group):
    header, *rows = results_table.rows(group)
    return [page.heading("All figures", 3), page.table(header, rows)]


def _demands(group):
    figure = result_charts.demands(group)
    if not figure:
        return []
    text = "Size, memory, initialisation and first inference"
    text = "Size and memory" if group.emulated else text
    notes = [] if group.few else ["Numbers: those of the table above."]
    if len(group.settings()) > 1:
        notes.append(f"Measured with {group.settings()[0]}.")
    parts = _picture(text, figure, group, f"{text} of each file")
    return [*parts, page.paragraph(" ".join(notes), "note")] if notes else parts


def _operators(group):
    results = [r for r in group.results if result_charts.shares(r)]
    if not results:
        return []
    rows = []
    for result in results:
        for name, share in list(result_charts.shares(result).items())[:_OPERATORS]:
            alike = [r for r in result["profile"] if result_charts.kind(r) == name]
            cells = (_total(alike, "ms", 4), _total(alike, "count", 1))
            rows.append((group.label(result), name, f"{share:.1%}", *cells))
    figure = result_charts.operators(group, results)
    described = "Operators' shares of the time"
    parts = [
        *_picture("Where the time goes", figure, group, described),
        page.table(("file", "operator", "share", "ms", "count"), rows, "words"),
    ]
    rows = [
        (group.label(result), layer, significant(ms, 4))
        for result in results
        for layer, ms in list(layer_times(result["profile"]).items())[:_LAYERS]
    ]
    if rows:
        parts.append(page.paragraph("The layers, by their names in Keras:"))
        parts.append(page.table(("file", "layer", "ms"), rows, "words"))
    return parts


def _total(rows, key, digits):
    values = [row[key] for row in rows if row.get(key) is not None]
    return significant(sum(values) if values else None, digits)


def _sustained(group):
    results = [r for r in group.results if r.get("sustained")]
    if not results or group.emulated:
        return []
    figure = result_charts.sustained(group, results)
    return _picture("Under sustained load", figure, group, "Median of each minute")


def _against(group, others):
    compared, missing = comparing.between(group, others)
    parts = [page.heading("Against the other results", 3)]
    if compared:
        text = "Ratios to the other results"
        parts += _ratios(compared, text, group, judged=True)
        if not group.emulated:
            text = (
                "Separate commands: what the machine did differently between them, "
                "heat or other work, stands in the ratio and not in its interval."
            )
            parts.append(page.paragraph(text, "note"))
    if missing:
        text = f"Not among the other results: {'; '.join(missing)}."
        parts.append(page.paragraph(text, "note"))
    return parts


def _ratios(compared, text, group, judged):
    rows = []
    for one in compared:
        found = one.difference
        verdict = f"{found.verdict} ({one.remark})" if one.remark else found.verdict
        ratio = f"{found.ratio:.4f}" if group.emulated else f"{found.ratio:.3f}"
        name = one.label if group.few else f"{one.number}: {one.label}"
        rows.append([name, verdict, ratio])
        if not group.emulated:
            low, high = found.interval or (None, None)
            counts = [found.rounds[0]] if found.paired else found.rounds
            rows[-1] += [
                f"{low:.3f} to {high:.3f}" if found.interval else "–",
                cell(found.p_value, ".3g"),
                " and ".join(map(str, counts)),
            ]
    header = ("file", "verdict", "ratio", "99 % interval", "p", "rounds")
    return [
        page.image(result_charts.ratios(compared, judged), f"{text} on {group.title}"),
        page.table(header[: len(rows[0])], rows),
    ]


def _picture(heading, figure, group, described=None):
    description = f"{described or heading} on {group.title}"
    return [page.heading(heading, 3), page.image(figure, description)]


def _warnings(groups):
    found = [
        f"{group.title}: {group.label(r)}: {text}."
        for group in groups
        for r in group.results
        for text in r["warnings"]
    ]
    return [page.heading("Warnings"), page.items(found)] if found else []


def _reading(groups):
    if len(groups) > 1:
        yield (
            "Each target, processor and harness has pictures of its own: figures of "
            "one do not compare with those of another."
        )
    if any(not group.emulated for group in groups):
        yield (
            "Latency is that of one inference, without reading the image and what is "
            "done with the answer. First is the first inference of a process, init "
            "what comes before it; peak memory is what the file added to its process. "
            "Partitions: groups of operators that the delegate took over, one at best."
        )
    if any(r["agreement"] for group in groups for r in group.results):
        yield (
            "Off from host: the largest difference of the outputs from this machine's "
            "on the same input, in steps of the scale for whole numbers, relative to "
            "the largest for floats."
        )
    if any(r.get("accuracy") for group in groups for r in group.results):
        yield (
            "As float: the share of the images to which the file gives the answer of "
            "the float model; as host: that to which the target gives this machine's."
        )
    yield _METHOD
