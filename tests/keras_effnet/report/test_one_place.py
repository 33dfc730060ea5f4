"""One place draws: nothing else imports matplotlib or writes tags of HTML."""

import ast
import re

from conftest import ROOT

_TAG = re.compile(
    r"</?(!doctype|body|code|div|figure|footer|h[1-6]|html|img|li|meta|ol|p|pre|"
    r"span|style|svg|table|tbody|td|th|thead|tr|ul)\b[^<>]*>",
    re.IGNORECASE,
)


def violations(source):
    """What a module outside of keras_effnet/report must not hold."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [getattr(node, "module", None) or "", *(a.name for a in node.names)]
            yield from (n for n in names if n.partition(".")[0] == "matplotlib")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from (match[0] for match in _TAG.finditer(node.value))


def test_pictures_and_pages_are_drawn_in_one_room():
    found = {}
    for folder in ("keras_effnet", "export", "benchmarks", "docs"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if ROOT / "keras_effnet" / "report" in path.parents:
                continue
            if wrong := list(violations(path.read_text(encoding="utf-8"))):
                found[str(path.relative_to(ROOT))] = wrong
    assert found == {}


def test_what_is_out_of_place_is_found():
    assert list(violations("from matplotlib.figure import Figure")) == [
        "matplotlib.figure"
    ]
    assert list(violations("def f():\n    import matplotlib")) == ["matplotlib"]
    assert list(violations("x = f'<td class=\"a\">{y}</td>'")) == [
        '<td class="a">',
        "</td>",
    ]
    assert list(violations("x = '<name>, a < b, c > d'")) == []
