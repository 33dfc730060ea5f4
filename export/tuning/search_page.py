"""What a search found, as a table and as one HTML page that holds its own pictures."""

import pathlib

from keras_effnet import files
from keras_effnet.export import sheet_page
from keras_effnet.export.tuning import labels
from keras_effnet.export.tuning import search_charts
from keras_effnet.report import page
from keras_effnet.report.text import format_table

_HEADER = (
    "file",
    "MB",
    "ms",
    "× int8",
    "in float",
    "top-1",
    "drop, points",
    "agreement",
    "expected",
    "divergence",
    "within",
)
# Names wrap, and intervals go below their figures, so that the page holds the table.
_STYLE = """<style>
  .scroll th, .scroll td { white-space: normal; padding: .35rem .5rem; }
  .scroll td:first-child { min-width: 7rem; }
</style>"""


def rows(candidates, chosen):
    """The cells of the table of candidates.

    Args:
        candidates: As `Result.candidates`.
        chosen: The name of the chosen one, which is marked.

    Returns:
        Lists of strings, the heading first; a column in which no candidate has a
        value is left out, and a cell without one is `"-"`. Drop and agreement
        stand with their 95 % intervals.
    """
    table = [list(_HEADER)]
    numbers = labels.numbers(candidates)
    for number, candidate in zip(numbers, candidates, strict=True):
        mark = " (chosen)" if candidate["name"] == chosen else ""
        found = candidate.get("evaluation") or {}
        relative = (candidate.get("latency") or {}).get("relative")
        table.append(
            [
                f"{number}: {candidate['name']}{mark}",
                f"{search_charts.size_of(candidate):.2f}",
                _cell(search_charts.latency_of(candidate), "{:.1f}"),
                _cell(relative, "{:.2f}"),
                _cell(candidate.get("float_share"), "{:.1%}"),
                _cell(found.get("top1"), "{:.1%}"),
                _cell(found.get("drop"), "{:.2f}", found.get("drop_interval")),
                _cell(
                    found.get("agreement"), "{:.1%}", found.get("agreement_interval")
                ),
                _cell(candidate.get("expected_agreement"), "{:.1%}"),
                _cell(candidate.get("divergence"), "{:.4f}"),
                "yes" if candidate["within"] else "no",
            ]
        )
    columns = [
        column
        for column in zip(*table, strict=True)
        if any(cell != "-" for cell in column[1:])
    ]
    return [list(row) for row in zip(*columns, strict=True)]


def table(candidates, chosen):
    """The candidates in columns of text.

    Args:
        candidates: As `Result.candidates`.
        chosen: The name of the chosen one.

    Returns:
        The lines, as one string.
    """
    return format_table(rows(candidates, chosen), left=(0,))


def write(folder, found):
    """Writes `search.html`, and its pictures beside it as .png files.

    Args:
        folder: That of the search.
        found: A dict, as in its `search.json`.

    Returns:
        The page's path.

    Raises:
        InputError: A file can't be written.
    """
    folder = pathlib.Path(folder)
    candidates, name = found["candidates"], found["chosen"]
    chosen = next(c for c in candidates if c["name"] == name)
    parts = [
        sheet_page.STYLE,
        _STYLE,
        sheet_page.boxed(
            verdict(chosen, found["met"], found["limits"]),
            "within" if found["met"] else "over",
        ),
        *_tradeoff(folder, candidates, name, found["limits"]),
        page.heading("Every file that was tried"),
        page.table(*_split(rows(candidates, name))),
        page.paragraph(_note(chosen)),
        *_sensitivity(folder, found.get("sensitivity")),
        *_searched(found),
    ]
    path = folder / "search.html"
    files.write_text(path, page.render(f"{found['model']}, quantised", parts))
    return path


def verdict(chosen, met, limits):
    """The outcome in a sentence or two.

    Args:
        chosen: The chosen candidate.
        met: Whether it is within the limits.
        limits: A dict with `max_drop` and `min_agreement`, one of them may be
            `None`.

    Returns:
        Plain text that begins with whether the limit was met, and by which file.
    """
    stated = []
    if limits["max_drop"] is not None:
        stated.append(f"a drop of at most {limits['max_drop']:g} percentage points")
    if limits["min_agreement"] is not None:
        stated.append(f"agreement of at least {limits['min_agreement']:.4g}")
    limit = " and ".join(stated)
    file = f"{chosen['file']} ({chosen['name']})"
    figures = figures_of(chosen)
    if not met:
        return f"No file keeps the limit, {limit}. The best is {file}: {figures}."
    text = f"Within the limit, {limit}: {file}. Measured: {figures}."
    if _reaches_over(chosen["evaluation"], limits):
        text += " Its interval reaches over the limit: more images would tell."
    return text


def figures_of(candidate):
    """What a candidate loses and costs, in a line of plain text."""
    told = []
    if found := candidate.get("evaluation"):
        if found.get("drop") is not None:
            low, high = map(sheet_page.signed, found["drop_interval"])
            told.append(
                f"a drop of {sheet_page.signed(found['drop'])} percentage points of "
                f"top-1 (95 % interval {low} to {high})"
            )
        low, high = found["agreement_interval"]
        told.append(
            f"agreement {found['agreement']:.4f} (95 % interval {low:.4f} to "
            f"{high:.4f}) on {found['images']:,} images"
        )
    told.append(f"{search_charts.size_of(candidate):.2f} MB")
    if (time := search_charts.latency_of(candidate)) is not None:
        told.append(f"{time:.1f} ms on this host")
    return ", ".join(told)


def _reaches_over(found, limits):
    drop, agreement = limits["max_drop"], limits["min_agreement"]
    return (drop is not None and found["drop_interval"][1] > drop) or (
        agreement is not None and found["agreement_interval"][0] < agreement
    )


def _tradeoff(folder, candidates, chosen, limits):
    parts = [page.heading("What each file loses, and what it costs")]
    labelled = any(search_charts.measured(c, "accuracy") for c in candidates)
    drawn = []
    if labelled:
        drawn.append(("tradeoff.png", "accuracy", limits["max_drop"]))
    if not labelled or limits["min_agreement"] is not None:
        name = "tradeoff_agreement.png" if labelled else "tradeoff.png"
        drawn.append((name, "agreement", limits["min_agreement"]))
    for name, measure, limit in drawn:
        if not any(search_charts.measured(c, measure) for c in candidates):
            continue
        figure = search_charts.tradeoff(candidates, chosen, measure, limit)
        _save(figure, folder / name)
        text = f"{measure} of each file against its latency, and against its size"
        parts.append(page.image(figure, text.capitalize()))
    return parts


def _sensitivity(folder, rows):
    if not rows:
        return []
    figure = search_charts.sensitivity(rows)
    _save(figure, folder / "sensitivity.png")
    table = [
        (
            f"{n}: {sheet_page.short(rows[n]['name'])}",
            rows[n]["operator"],
            "\u00a0×\u00a0".join(map(str, rows[n]["shape"])),
            f"{rows[n]['activation']:.3g}",
            "–" if rows[n]["kernel"] is None else f"{rows[n]['kernel']:.3g}",
        )
        for n in search_charts.worst(rows)
    ]
    text = (
        "What rounding the output (activation) or the weights (kernel) of one operator "
        "alone to 8 bits does to the answers: the Kullback-Leibler divergence from the "
        "float model's probabilities, estimated to second order from gradients. "
        "Operators are numbered from 0; the most sensitive are listed, both parts "
        "together."
    )
    parts = [
        page.heading("Which operators are sensitive"),
        page.paragraph(text),
        page.image(figure, "Sensitivity of each operator in the order of the graph"),
    ]
    header = ("operator", "kind", "shape", "activation, nats", "kernel, nats")
    return [*parts, page.table(header, table)] if table else parts


def _searched(found):
    calibration, budget = found["calibration"], found.get("budget")
    facts = sheet_page.fact_table(
        [
            ("judged on", f"{found['judged_on']:,} images"),
            ("calibration", sheet_page.plain(calibration)),
            ("budget", budget is not None and f"{budget:g} s"),
            ("time taken", f"{found['seconds']:.0f} s"),
            ("seed", str(found["seed"])),
        ]
    )
    again = sheet_page.reproduce({"settings": found.get("settings") or {}})
    return [page.heading("The search"), facts, *again]


def _note(chosen):
    text = (
        "× int8 is the ratio of the latency to the plain int8 file's, in float the "
        "share of the multiply-adds that are computed in float, divergence the mean "
        "Kullback-Leibler divergence from the float model's probabilities, in nats. "
        "In parentheses: 95 % intervals, for shares by Wilson 1927"
    )
    if (chosen.get("evaluation") or {}).get("drop") is not None:
        text += (
            ", for the paired difference by Tango 1998; the bars of the accuracies "
            "in the picture are those of the drop"
        )
    return (
        f"{text}. The file was chosen by these very images: on others it is likely to "
        "do a little worse."
    )


def _save(figure, path):
    with files.replacing(path) as temporary:
        figure.savefig(temporary)


def _split(rows):
    """The heading and the rest, with the signs that a page has."""
    header, *rest = rows
    return header, [[row[0], *map(_typeset, row[1:])] for row in rest]


def _typeset(cell):
    if cell == "-":
        return "–"
    figure, *interval = cell.replace("-", "−").split(" (")
    return " (".join([figure, *(part.replace(" ", "\u00a0") for part in interval)])


def _cell(value, pattern, interval=None):
    if value is None:
        return "-"
    text = pattern.format(value)
    if interval is None:
        return text
    low, high = (pattern.format(end) for end in interval)
    return f"{text} ({low} to {high})"
