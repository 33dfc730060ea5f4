"""Sections of the page that not every result has: operators, long runs, comparisons."""

import html

from keras_effnet.benchmarks import significance
from keras_effnet.benchmarks.report import comparing
from keras_effnet.benchmarks.report import details
from keras_effnet.benchmarks.report import results_table
from keras_effnet.report import page

_OPERATORS = 6
METHOD = (
    "Compared are the medians of rounds, each a process of its own, with exact tests "
    f"at α = {100 * significance.ALPHA:g} %: rounds that one command measured in turn "
    "by Wilcoxon's signed ranks, those of separate commands by Mann and Whitney's rank "
    "sum; ratio and interval after Hodges and Lehmann. Of a hundred comparisons of "
    "equal files one is expected to show a difference. At least "
    f"{significance.rounds_needed()} rounds in turn are needed, or "
    f"{significance.rounds_needed(paired=False)} on each side of separate commands."
)
_SEPARATE = (
    "Separate commands: what the machine did differently between them, heat or other "
    "work, stands in the ratio and not in its interval."
)


def operators(group):
    """Which operators the time goes to; empty without a profile."""
    results = [r for r in group.results if r.get("profile")]
    results = [r for r in results if sum(details.shares(r).values()) > 0]
    if not results:
        return []
    rows = []
    for result in results:
        whole = sum(details.shares(result).values())
        for name, part in list(details.shares(result).items())[:_OPERATORS]:
            kind = [row for row in result["profile"] if details.kind(row) == name]
            rows.append(
                (
                    group.label(result),
                    name,
                    f"{part / whole:.1%}",
                    *(_total(kind, key) for key in ("ms", "count")),
                )
            )
    figure = details.operators(group, results)
    return [
        subheading("Where the time goes"),
        page.image(figure, f"Operators' shares of the time on {group.title}"),
        '<div class="operators">',
        page.table(("file", "operator", "share", "ms", "count"), rows),
        "</div>",
    ]


def _total(rows, key):
    values = [row[key] for row in rows if row.get(key) is not None]
    return (
        results_table.significant(sum(values), 4 if key == "ms" else 1)
        if values
        else "–"
    )


def sustained(group):
    """The medians of the minutes; empty without such a series."""
    results = [r for r in group.results if r.get("sustained")]
    if not results or group.emulated:
        return []
    text = "Under sustained load"
    figure = details.sustained(group, results)
    named = f"Median of each minute on {group.title}"
    return [subheading(text), page.image(figure, named)]


def comparison(group, compared):
    """Some results against the first of their kind, as `comparing.within` has them."""
    reference = compared[0].reference
    return [
        subheading(f"Against {reference}"),
        *_ratios(compared, f"Ratios to {reference}", group),
    ]


def against(group, others):
    """A group's results against another set, `entries.Group`s."""
    compared, missing = comparing.between(group, others)
    parts = [subheading("Against the other results")]
    if compared:
        parts += _ratios(compared, "Ratios to the other results", group)
        if not group.emulated:
            parts.append(note(_SEPARATE))
    if missing:
        text = f"Not among the other results: {'; '.join(missing)}."
        parts.append(note(text))
    return parts


def _ratios(compared, text, group):
    rows = [["file", "verdict", "ratio", "99 % interval", "p", "rounds"]]
    for one in compared:
        found = one.difference
        low, high = found.interval or (None, None)
        counts = [found.rounds[0]] if found.paired else found.rounds
        verdict = f"{found.verdict} ({one.remark})" if one.remark else found.verdict
        rows.append(
            [
                f"{one.number}: {one.label}",
                verdict,
                f"{found.ratio:.4f}" if group.emulated else f"{found.ratio:.3f}",
                f"{low:.3f} to {high:.3f}" if found.interval else "–",
                "–" if found.p_value is None else f"{found.p_value:.3g}",
                " and ".join(map(str, counts)),
            ]
        )
    if group.emulated:
        rows = [row[:3] for row in rows]
    header, *rows = rows
    return [
        page.image(details.ratios(compared), f"{text} on {group.title}"),
        page.table(header, rows),
    ]


def subheading(text):
    """A heading below a target's from plain text."""
    return f"<h3>{html.escape(text)}</h3>"


def note(text, kind="note"):
    """A paragraph in small print from plain text; `kind` is its class."""
    return f'<p class="{kind}">{html.escape(text)}</p>'
