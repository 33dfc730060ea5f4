"""SECURITY.md's lists of who starts children and who listens, against the code."""

import ast
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]
_CHILDREN = re.compile(
    r"^(subprocess\.(run|Popen|call|check_\w+|getoutput)"
    r"|os\.(exec\w+|spawn\w+|system|popen|fork\w*|posix_spawn\w*)"
    r"|multiprocessing\.\w+|children\.(ask|finished)|webbrowser\.open\w*)$"
)
_PORTS = re.compile(
    r"(\.bind|\.listen|create_server|HTTPServer|DispatchServer|WorkerServer"
    r"|distributed\.initialize)$"
)


def _sources():
    for room in ("keras_effnet", "export", "benchmarks"):
        for path in (ROOT / room).rglob("*.py"):
            name = path.relative_to(ROOT)
            aside = "studies" in name.parts or "templates" in name.parts
            linked = room == "keras_effnet" and name.parts[1] in (
                "export",
                "benchmarks",
            )
            if not aside and not linked:
                yield str(name), ast.parse(path.read_text(encoding="utf-8"))


def _named(pattern):
    """The modules in whose code a dotted name is of that pattern."""
    return {
        name
        for name, tree in _sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and pattern.search(ast.unparse(node))
    }


def _told(word):
    page = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    (paragraph,) = re.findall(rf"^{word}: (.+?)\n\n", page + "\n", re.DOTALL | re.M)
    return set(re.findall(r"`(\w+/[\w/.]+\.py)`", paragraph))


def test_children():
    assert _named(_CHILDREN) == _told("Children")


def test_ports():
    page_address = "benchmarks/targets/_page_address.py"  # looks which is free, and how
    assert _named(_PORTS) - {page_address} == _told("Ports")


def test_every_python_of_ours_is_isolated_from_the_current_folder():
    """`-P`, or `-I` with it, in each list that begins with `sys.executable`."""
    found = 0
    for name, tree in _sources():
        for node in ast.walk(tree):
            if isinstance(node, (ast.List, ast.Tuple)) and node.elts:
                first, *more = map(ast.unparse, node.elts)
                if first == "sys.executable":
                    found += 1
                    text = " ".join(more)
                    given = re.match(r"'-(P|ISc)'|\*command", text)
                    assert given, f"{name}: {text}"
    assert found >= 3


def test_every_command_is_told():
    from keras_effnet.cli import COMMANDS

    page = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    rows = "\n".join(line for line in page.splitlines() if line.startswith("| "))
    for command in COMMANDS:
        assert f"`{command}`" in rows
