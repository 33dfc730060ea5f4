"""One HTML page that holds everything it shows."""

import base64
import html
import io

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
  body {{ font: 16px/1.5 system-ui, sans-serif; color: #1b1f24; background: #fff;
         max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
  h1 {{ font-size: 1.7rem; }} h2 {{ font-size: 1.2rem; margin-top: 2.2rem; }}
  .scroll {{ overflow-x: auto; }}
  table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
  th, td {{ padding: .35rem .8rem; text-align: right; white-space: nowrap; }}
  th {{ border-bottom: 2px solid #57606a; }} td {{ border-bottom: 1px solid #d8dee4; }}
  th:first-child, td:first-child {{ text-align: left; }}
  img {{ max-width: 100%; height: auto; }}
  footer {{ margin-top: 3rem; color: #57606a; font-size: .85rem; }}
</style>
<h1>{title}</h1>
{body}
<footer>{footer}</footer>
</html>
"""


def render(title, parts, footer=""):
    """A whole page.

    Args:
        title: Plain text.
        parts: HTML from the functions below, in order.
        footer: Plain text.

    Returns:
        The HTML as text.
    """
    return _PAGE.format(
        title=html.escape(title), body="\n".join(parts), footer=html.escape(footer)
    )


def heading(text):
    """A section's heading from plain text."""
    return f"<h2>{html.escape(text)}</h2>"


def paragraph(text):
    """A paragraph from plain text."""
    return f"<p>{html.escape(text)}</p>"


def table(header, rows):
    """A table from plain text; the first column is aligned to the left."""
    head = "".join(f"<th>{html.escape(str(cell))}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def image(figure, description):
    """A matplotlib figure, inside the page.

    Args:
        figure: A `matplotlib.figure.Figure`.
        description: What it shows, for those who can't see it.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    data = base64.b64encode(buffer.getvalue()).decode()
    return (
        f'<p><img alt="{html.escape(description, quote=True)}" '
        f'src="data:image/png;base64,{data}"></p>'
    )
