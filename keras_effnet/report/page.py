"""One HTML page that holds everything it shows: no server, no network."""

import base64
import html
import io
from collections.abc import Iterable

from matplotlib.figure import Figure

from keras_effnet.report import canvas
from keras_effnet.report.text import printable

# A table's first column stays in sight while a wide one is moved sideways; facts are
# two columns that wrap: a checksum or a command fits a phone.
_STYLE = """
  body { font: 16px/1.5 system-ui, sans-serif; color: #1b1f24; background: #fff;
    max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
  h1 { font-size: 1.7rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
  h3 { font-size: 1rem; margin: 1.8rem 0 .3rem; }
  p, li { overflow-wrap: anywhere; }
  .scroll { overflow-x: auto; margin: .8rem 0; }
  table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
  th, td { padding: .35rem .5rem; text-align: right; font-size: .92rem; }
  th { border-bottom: 2px solid #57606a; vertical-align: bottom; }
  td { border-bottom: 1px solid #d8dee4; white-space: nowrap; }
  th:first-child, td:first-child, .words :is(th, td):nth-child(2) { text-align: left; }
  .scroll :is(th, td):first-child { position: sticky; left: 0; background: #fff;
    min-width: 7rem; max-width: 17rem; overflow-wrap: break-word; }
  .scroll td:first-child, .wraps td, .facts td { white-space: normal; }
  .facts { width: 100%; }
  .facts :is(th, td) { text-align: left; vertical-align: top; overflow-wrap: anywhere;
    border-bottom: 1px solid #d8dee4; }
  .facts th { font-weight: 600; width: 11rem; padding-left: 0; overflow-wrap: normal; }
  .verdict { border-left: .4rem solid #57606a; padding: .5rem 1rem;
    background: #f6f8fa; }
  .verdict.within { border-color: #1a7f37; } .verdict.over { border-color: #cf222e; }
  .note, .key { color: #57606a; font-size: .9rem; }
  .key { columns: 2 16rem; list-style: none; padding: 0; margin: .2rem 0; }
  img { max-width: 100%; height: auto; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f6f8fa;
    padding: .8rem 1rem; }
  footer { margin-top: 3rem; color: #57606a; font-size: .85rem; }
  @media (max-width: 30rem) {
    body { margin: 1rem auto; } th, td { padding: .3rem .4rem; font-size: .8rem; }
    .scroll :is(th, td):first-child { max-width: 9rem; }
    .facts :is(th, td) { font-size: .9rem; } .facts th { width: 7.5rem; }
  }
"""
# CSS pixels to an inch of a picture, whose text is then as large as the page's.
_PIXELS = 109


def render(title: str, parts: Iterable[str], footer: str = "") -> str:
    """A whole page; parts are HTML from the functions below, all else is plain text."""
    title, body = _escaped(title), "\n".join(parts)
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{_STYLE}</style>
<h1>{title}</h1>
{body}
<footer>{_escaped(footer)}</footer>
</html>
"""


def heading(text: str, level: int = 2) -> str:
    """A section's heading from plain text; 3 is the level below a section's."""
    return f"<h{level}>{_escaped(text)}</h{level}>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph from plain text; kinds are `note`, small print, and `verdict`."""
    return f"<p{_class(kind)}>{_escaped(text)}</p>"


def items(texts: Iterable[str], kind: str = "") -> str:
    """A list from plain text; of kind `key` in columns and without marks."""
    body = "".join(f"<li>{_escaped(text)}</li>" for text in texts)
    return f"<ul{_class(kind)}>{body}</ul>"


def _escaped(value: object) -> str:
    return html.escape(printable(str(value)))


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def code(text: str) -> str:
    """A command or a program from plain text."""
    return f"<pre><code>{_escaped(text)}</code></pre>"


def table(header: Iterable, rows: Iterable[Iterable], kind: str = "") -> str:
    """A table from plain text.

    The first column stands to the left; of kind `words` the second one too, of kind
    `wraps` all cells may take several lines.
    """
    head = "".join(f"<th>{_escaped(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{_escaped(cell)}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return (
        f"<div{_class(f'scroll {kind}'.rstrip())}><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def facts(rows: Iterable[tuple[str, object]]) -> str:
    """A table of names and values, without those that have none; may be empty."""
    body = "".join(
        f"<tr><th>{_escaped(name)}</th><td>{_escaped(value)}</td></tr>"
        for name, value in rows
        if value not in (None, False, "")
    )
    return body and f'<table class="facts">{body}</table>'


def image(figure: Figure, description: str) -> str:
    """A picture, inside the page; the description is for those who can't see it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=canvas.DPI)
    data = base64.b64encode(buffer.getvalue()).decode()
    width = round(_PIXELS * figure.get_figwidth())
    return (
        f'<p><img alt="{_escaped(description)}" width="{width}" '
        f'src="data:image/png;base64,{data}"></p>'
    )
