"""The report of benchmarks as one HTML page that holds its own pictures."""

import html

from keras_effnet.benchmarks.report import canvas
from keras_effnet.benchmarks.report import comparing
from keras_effnet.benchmarks.report import cost_charts
from keras_effnet.benchmarks.report import entries
from keras_effnet.benchmarks.report import results_table
from keras_effnet.benchmarks.report import sections
from keras_effnet.report import page

# The file's name stays in sight while a wide table is moved sideways.
_STYLE = """<style>
  h3 { font-size: 1rem; margin: 1.8rem 0 .3rem; }
  img { width: 34rem; }
  .scroll { margin: .8rem 0; }
  .scroll td, .scroll th { padding: .3rem .5rem; font-size: .88rem; }
  .scroll th { white-space: normal; vertical-align: bottom; }
  .scroll th:first-child, .scroll td:first-child { position: sticky; left: 0;
    background: #fff; border-right: 1px solid #d8dee4; white-space: normal;
    min-width: 13rem; max-width: 17rem; overflow-wrap: anywhere; }
  .facts, .key, .note { color: #57606a; font-size: .9rem; overflow-wrap: anywhere; }
  .key { columns: 2 16rem; list-style: none; padding: 0; margin: .2rem 0; }
  .operators td:nth-child(2), .operators th:nth-child(2) { text-align: left; }
  .warnings li { overflow-wrap: anywhere; }
  @media (max-width: 30rem) {
    body { margin: 1rem auto; }
    .scroll td, .scroll th { padding: .3rem .45rem; font-size: .8rem; }
    .scroll th:first-child, .scroll td:first-child { min-width: 8.5rem;
      max-width: 9rem; }
  }
</style>"""


def build(results, others=None):
    """The page.

    Args:
        results: Dicts, as `results_file.read_all` returns them.
        others: Those of another set to hold them against, or `None`.

    Returns:
        HTML.
    """
    groups = entries.grouped(results)
    parts = [_STYLE, page.paragraph(_summary(results, groups))]
    for group in groups:
        parts += _group(group, None if others is None else entries.grouped(others))
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


def _group(group, others):
    parts = [page.heading(group.title), sections.note(_facts(group), "facts")]
    header, *rows = results_table.rows(group)
    measure = entries.measure_of_accuracy(
        [r for r in group.results if group.cost(r) is not None]
    )
    if measure:
        word = "Instructions" if group.emulated else "Latency"
        figure = cost_charts.accuracy_against_cost(group, measure)
        text = f"Accuracy against {word.lower()} on {group.title}"
        parts += [
            sections.subheading(f"Accuracy against {word.lower()}"),
            page.image(figure, text),
            _key(group),
            sections.note(
                "The line joins the files that no other beats: nothing cheaper is as "
                "right. Pale bars: 95 % intervals of the shares (Wilson 1927)."
            ),
        ]
    if any(group.cost(r) is not None for r in group.results):
        word = "Instructions of" if group.emulated else "Latency of"
        parts += [
            sections.subheading(f"{word} each file"),
            page.image(cost_charts.costs(group), f"{word} each file on {group.title}"),
        ]
        text = "Bars: medians. Black lines: 5th to 95th percentile of the runs."
        notes = [] if group.emulated else [text]
        if len(group.names()) > canvas.NAMED:
            notes.append("Numbers: those of the table below.")
        parts += [sections.note(" ".join(notes))] if notes else []
    parts += [sections.subheading("All figures"), page.table(header, rows)]
    if figure := cost_charts.demands(group):
        text = "Size, memory, initialisation and first inference"
        text = "Size and memory" if group.emulated else text
        named = f"{text} of each file on {group.title}"
        setting = group.settings()[0]
        parts += [sections.subheading(text), page.image(figure, named)]
        note = "Numbers: those of the table above."
        if len(group.settings()) > 1:
            note += f" Measured with {setting}."
        parts.append(sections.note(note))
    parts += sections.operators(group) + sections.sustained(group)
    for compared in comparing.within(group):
        parts += sections.comparison(group, compared)
    if others is not None:
        parts += sections.against(group, others)
    return parts


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


def _warnings(groups):
    found = [
        f"{group.title}: {group.label(r)}: {text}"
        for group in groups
        for r in group.results
        for text in r["warnings"]
    ]
    if not found:
        return []
    items = "".join(f"<li>{html.escape(text)}.</li>" for text in found)
    return [page.heading("Warnings"), f'<ul class="warnings">{items}</ul>']


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
    yield sections.METHOD


def _key(group):
    names = group.names()
    items = "".join(
        f"<li>{number}: {html.escape(names[key])}</li>"
        for key, number in group.numbers().items()
    )
    return f'<ol class="key">{items}</ol>'
