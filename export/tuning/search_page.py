"""What a search found, as a table and as one HTML page that holds its own pictures."""

import pathlib

from keras_effnet import files
from keras_effnet.export import sheet_page
from keras_effnet.export.tuning import search_charts
from keras_effnet.report import canvas
from keras_effnet.report import page
from keras_effnet.report.text import cell
from keras_effnet.report.text import cells
from keras_effnet.report.text import format_table
from keras_effnet.report.text import known
from keras_effnet.report.text import plain
from keras_effnet.report.text import signed
from keras_effnet.tflite import layer_name


def rows(candidates, chosen):
    """The cells of the table of candidates, the heading first; drop and agreement
    stand with their 95 % intervals, and `"-"` where nothing is known."""
    columns = {
        "file": lambda c: f"{c['name']}{' (chosen)' * (c['name'] == chosen)}",
        "within": lambda c: "yes" if c["within"] else "no",
        "drop, points": lambda c: _measured(c, "drop", ".2f"),
        "agreement": lambda c: _measured(c, "agreement", ".1%"),
        "MB": lambda c: f"{search_charts.size_of(c):.2f}",
        "ms": lambda c: cell(search_charts.latency_of(c), ".1f", "-"),
        "× int8": lambda c: cell((c.get("latency") or {}).get("relative"), ".2f", "-"),
        "in float": lambda c: cell(c.get("float_share"), ".1%", "-"),
        "top-1": lambda c: _measured(c, "top1", ".1%"),
        "expected": lambda c: cell(c.get("expected_agreement"), ".1%", "-"),
        "divergence": lambda c: cell(c.get("divergence"), ".4f", "-"),
    }
    header, *table = known(cells(candidates, columns))
    named = ([f"{n}: {name}", *row] for n, (name, *row) in enumerate(table, 1))
    return [header, *named]


def _measured(candidate, key, spec):
    found = candidate.get("evaluation") or {}
    text = cell(found.get(key), spec, "-")
    if text == "-" or f"{key}_interval" not in found or key == "top1":
        return text
    low, high = (format(end, spec) for end in found[f"{key}_interval"])
    return f"{text} ({low} to {high})"


def table(candidates, chosen):
    """The candidates, as `Result.candidates`, in columns of text."""
    return format_table(rows(candidates, chosen), left=(0,))


def write(folder, found):
    """Writes `search.html`, and its pictures beside it as .svg files, from what
    `search.json` holds."""
    folder = pathlib.Path(folder)
    candidates, name = found["candidates"], found["chosen"]
    chosen = next(c for c in candidates if c["name"] == name)
    kind = "over" if not found["met"] else "within"
    if found["met"] and _reaches_over(chosen["evaluation"], found["limits"]):
        kind = "open"
    told = verdict(chosen, found["met"], found["limits"], found["file"])
    parts = [
        page.paragraph(told, f"verdict {kind}"),
        *_tradeoff(folder, candidates, name, found["limits"]),
        page.heading("Every file that was tried"),
        page.table(*_split(rows(candidates, name)), "wraps"),
        page.paragraph(_note(chosen)),
        *_sensitivity(folder, found.get("sensitivity")),
        *_searched(found),
    ]
    path = folder / "search.html"
    files.write_text(path, page.render(f"{found['model']}, quantised", parts))
    return path


def verdict(chosen, met, limits, file):
    """The outcome in a sentence or two: whether the limits, a dict with `max_drop`
    and `min_agreement`, were met, and by which file; `file` is the delivered one."""
    stated = []
    if limits["max_drop"] is not None:
        stated.append(f"a drop of at most {limits['max_drop']:g} percentage points")
    if limits["min_agreement"] is not None:
        stated.append(f"agreement of at least {limits['min_agreement']:.4g}")
    limit = " and ".join(stated)
    file = f"{file} ({chosen['name']})"
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
            low, high = map(signed, found["drop_interval"])
            told.append(
                f"a drop of {signed(found['drop'])} percentage points of "
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
        drawn.append(("tradeoff.svg", "accuracy", limits["max_drop"]))
    if not labelled or limits["min_agreement"] is not None:
        name = "tradeoff_agreement.svg" if labelled else "tradeoff.svg"
        drawn.append((name, "agreement", limits["min_agreement"]))
    for name, measure, limit in drawn:
        if not any(search_charts.measured(c, measure) for c in candidates):
            continue
        figure = search_charts.tradeoff(candidates, chosen, measure, limit)
        canvas.save(figure, folder / name)
        text = f"{measure} of each file against its latency, and against its size"
        parts.append(page.image(figure, text.capitalize()))
    return parts


def _sensitivity(folder, rows):
    if not rows:
        return []
    figure = search_charts.sensitivity(rows)
    canvas.save(figure, folder / "sensitivity.svg")
    table = [
        (
            f"{n}: {layer_name(rows[n]['name'])}",
            rows[n]["operator"],
            "\u00a0×\u00a0".join(map(str, rows[n]["shape"])),
            *(cell(rows[n][key], ".3g") for key in ("activation", "kernel")),
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
    facts = page.facts(
        [
            ("judged on", f"{found['judged_on']:,} images"),
            ("calibration", plain(calibration)),
            ("budget", budget is not None and f"{budget:g} s"),
            ("time taken", f"{found['seconds']:.0f} s"),
            ("seed", str(found["seed"])),
        ]
    )
    again = sheet_page.reproduce({"settings": found.get("settings") or {}})
    return [page.heading("The search"), facts, *again]


def _note(chosen):
    text = (
        "Chosen is the fastest file of 8 bits within the limit; one with 8-bit weights "
        "that computes in float, weight-only, where none is. Expected is the agreement "
        "to expect on other photographs, × int8 the ratio of the latency to the plain "
        "int8 file's, in float the "
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


def _split(rows):
    """The heading and the rest, with the signs that a page has."""
    header, *rest = rows
    return header, [[row[0], *map(_typeset, row[1:])] for row in rest]


def _typeset(cell):
    if cell == "-":
        return "–"
    figure, *interval = cell.replace("-", "−").split(" (")
    return " (".join([figure, *(part.replace(" ", "\u00a0") for part in interval)])
