"""One HTML page that holds everything it shows: no server, no network."""

import base64
import html
import io
import re
from collections.abc import Iterable
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from keras_effnet.report import canvas
from keras_effnet.report.text import printable

# A table's first column stays in sight while a wide one is moved sideways, and a shade
# at the right edge says that there is more; facts are two columns that wrap: a checksum
# or a command fits a phone.
_STYLE = """
  body { font: 16px/1.5 system-ui, sans-serif; color: #1b1f24; background: #fff;
    max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
  h1 { font-size: 1.7rem; overflow-wrap: anywhere; }
  h2 { font-size: 1.2rem; margin-top: 2.2rem; }
  h3 { font-size: 1rem; margin: 1.8rem 0 .3rem; }
  p, li { overflow-wrap: anywhere; }
  a { color: #0072b2; }
  nav { font-size: .9rem; background: #f6f8fa; padding: .3rem 1rem; }
  nav p { margin: .5rem 0; }
  .scroll { overflow-x: auto; margin: .8rem 0;
    background: linear-gradient(to left, #fff 50%, #fff0) right / 2rem 100% no-repeat
      local, linear-gradient(to left, #57606aa0, #57606a00) right / 1.2rem 100%
      no-repeat; }
  table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
  th, td { padding: .35rem .5rem; text-align: right; font-size: .92rem; }
  th { border-bottom: 2px solid #57606a; vertical-align: bottom; }
  td { border-bottom: 1px solid #d8dee4; white-space: nowrap; }
  th:first-child, td:first-child, .words :is(th, td):nth-child(2) { text-align: left; }
  .scroll :is(th, td):first-child { position: sticky; left: 0; background: #fff;
    min-width: 7rem; max-width: 17rem; overflow-wrap: break-word; }
  .scroll td:first-child, .wraps td, .facts td { white-space: normal; }
  :is(.wraps, .matrix) td:first-child { overflow-wrap: anywhere; }
  .wraps td + td { min-width: 3.2rem; }
  .matrix td + td, .matrix th + th { text-align: center; min-width: 1.6rem; }
  .matrix th + th { writing-mode: vertical-rl; text-orientation: sideways;
    transform: rotate(180deg); border: 0; padding: .5rem .1rem; text-align: left;
    white-space: nowrap; }
  .matrix td + td { background: rgb(0 114 178 / var(--share)); }
  .matrix td.deep { color: #fff; }
  .facts { width: 100%; }
  .facts :is(th, td) { text-align: left; vertical-align: top; overflow-wrap: anywhere;
    border-bottom: 1px solid #d8dee4; }
  .facts th { font-weight: 600; width: 11rem; padding-left: 0; overflow-wrap: normal; }
  .verdict { border-left: .4rem solid #57606a; padding: .5rem 1rem;
    background: #f6f8fa; }
  .verdict.within { border-color: #1a7f37; } .verdict.over { border-color: #cf222e; }
  .verdict.open { border-color: #bf8700; }
  .note, .key { color: #57606a; font-size: .9rem; }
  .key { columns: 2 16rem; list-style: none; padding: 0; margin: .2rem 0; }
  figure { display: inline-block; vertical-align: top; margin: .5rem 0; }
  img { max-width: 100%; height: auto; display: block; }
  .thumbs { display: grid; gap: .8rem;
    grid-template-columns: repeat(auto-fill, minmax(6.5rem, 1fr)); }
  .thumbs figure { margin: 0; font-size: .8rem; line-height: 1.35;
    overflow-wrap: anywhere; white-space: pre-line; }
  .thumbs img { width: 100%; }
  .thumbs small { color: #57606a; font-size: .7rem; }
  .right { color: #1a7f37; } .wrong { color: #cf222e; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f6f8fa;
    padding: .8rem 1rem; }
  pre span { display: inline-block; max-width: 100%; }
  footer { margin-top: 3rem; color: #57606a; font-size: .85rem; }
  @media (max-width: 30rem) {
    body { margin: 1rem auto; } th, td { padding: .3rem .4rem; font-size: .8rem; }
    .scroll :is(th, td):first-child { min-width: 6rem; max-width: 10.5rem; }
    .facts :is(th, td) { font-size: .9rem; } .facts th { width: 7.5rem; }
  }
"""
# CSS pixels to an inch of a picture where there is room: two stand side by side.
_PIXELS = 92


def render(title: str, parts: Iterable[str], footer: str = "") -> str:
    """A whole page; parts are HTML from the functions below, all else is plain text.

    Where sections have sections, a list of contents leads to them.
    """
    title, body = _escaped(title), "\n".join(parts)
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{_STYLE}</style>
<h1>{title}</h1>
{_with_contents(body)}
<footer>{_escaped(footer)}</footer>
</html>
"""


def _with_contents(body: str) -> str:
    found = re.findall(r"<h([23])>(.*?)</h", body)
    if all(level == "2" for level, _ in found):
        return body
    lines: list[list[str]] = []
    for n, (level, text) in enumerate(found, 1):
        body = body.replace(f"<h{level}>{text}<", f'<h{level} id="s{n}">{text}<', 1)
        if level == "2":
            lines.append([])
        lines[-1].append(f'<a href="#s{n}">{text}</a>')
    contents = "".join(f"<p>{' · '.join(line)}</p>" for line in lines)
    return f"<nav>{contents}</nav>\n{body}"


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


def _breakable(value: object) -> str:
    """A name whose line may end behind a _ or a dot, rather than anywhere."""
    return re.sub(r"[_.](?=[^\W\d])", r"\g<0><wbr>", _escaped(value))


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def code(text: str) -> str:
    """A command or a program from plain text."""
    words = re.sub(r"\S+", r"<span>\g<0></span>", _escaped(text))
    return f"<pre><code>{words}</code></pre>"


def table(header: Iterable, rows: Iterable[Iterable], kind: str = "") -> str:
    """A table from plain text.

    The first column stands to the left; of kind `words` the second one too, of kind
    `wraps` all cells may take several lines.
    """
    body = ("".join(f"<td>{_breakable(cell)}</td>" for cell in row) for row in rows)
    return _table(header, body, kind)


def _table(header: Iterable, rows: Iterable[str], kind: str) -> str:
    head = "".join(f"<th>{_breakable(cell)}</th>" for cell in header)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return (
        f'<div class="{f"scroll {kind}".rstrip()}" tabindex="0"><table><thead>'
        f"<tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def matrix(counts: np.ndarray, names: Sequence[str]) -> str:
    """How often each class was taken for each other, `counts` of `(classes, classes)`,
    the true class down: a table, each cell as dark as its share of the true class."""
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    rows = (
        f"<td>{_escaped(name)}</td>"
        + "".join(
            f"<td{_class('deep' * bool(share > 0.6))} "
            f'style="--share: {share:.2f}">{count or ""}</td>'
            for count, share in zip(*pair, strict=True)
        )
        for name, *pair in zip(names, counts, shares, strict=True)
    )
    heads = (canvas.shortened(name, 20) for name in names)
    return _table(("is ↓ named →", *heads), rows, "matrix")


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
    width = round(_PIXELS * figure.get_figwidth())
    data = canvas.svg(figure).encode()
    return f"<figure>{_image(data, 'svg+xml', description, width)}</figure>"


def thumbnails(images: Iterable[tuple[np.ndarray, str, bool, str]]) -> str:
    """Small pictures side by side, `(pixels, caption, right, name)`: pixels 0-255 of 1
    or 3 channels, a caption of plain text, of which what is wrong is red."""
    body = []
    for pixels, caption, right, name in images:
        picture = Image.fromarray(np.squeeze(np.asarray(pixels).astype("uint8")))
        kind = "png" if picture.mode == "L" else "jpeg"
        file = io.BytesIO()
        picture.save(file, kind)
        shown = _image(file.getvalue(), kind, caption, picture.width)
        body.append(
            f"<figure>{shown}<figcaption{_class('right' if right else 'wrong')}>"
            f"{_escaped(caption)}</figcaption><small>{_escaped(name)}</small></figure>"
        )
    return f'<div class="thumbs">{"".join(body)}</div>'


def _image(data: bytes, kind: str, description: str, width: int) -> str:
    return (
        f'<img alt="{_escaped(description)}" width="{width}" '
        f'src="data:image/{kind};base64,{base64.b64encode(data).decode()}">'
    )
