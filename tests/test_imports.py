"""Rooms import one another in the order that docs/architecture.md writes down."""

import ast
import functools
import graphlib
import pathlib
import re

import pytest

import keras_effnet

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = "keras_effnet"
FOLDERS = {"keras_effnet": "", "export": f"{PACKAGE}.", "benchmarks": f"{PACKAGE}."}


def modules():
    """`{"keras_effnet.export.sheet": source}` of every file that is not a test."""
    found = {}
    for folder, prefix in FOLDERS.items():
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            linked = folder == PACKAGE and parts[1] in FOLDERS
            if not linked and "templates" not in parts:
                name = prefix + ".".join(parts).removesuffix(".__init__")
                found[name] = path.read_text(encoding="utf-8")
    return found


def order():
    """The rooms of the page, from the left: `["errors", ..., "benchmarks.studies"]`."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"reads it here\): (.+?)\.\s", page, re.DOTALL)
    rooms = re.split(r"\s*(?:◄|,)\s*", " ".join(line.split()))
    assert len(set(rooms)) == len(rooms)
    return rooms


@functools.cache
def imports(name, source, known):
    """The modules of the package that a module imports, wherever in it."""
    found = set()

    def add(module, attribute=None):
        if f"{module}.{attribute}" in known:
            found.add(f"{module}.{attribute}")
        elif module == PACKAGE and attribute in keras_effnet._HOME:
            found.add(f"{PACKAGE}.{keras_effnet._HOME[attribute]}")
        elif module == PACKAGE and attribute is None:  # all of its names at hand
            found.update(f"{PACKAGE}.{room}" for room in keras_effnet._ROOMS)
        elif module in known and module != PACKAGE:
            found.add(module)

    tree = ast.parse(source)
    if name == PACKAGE:  # what only type checkers read
        tree.body = [node for node in tree.body if not isinstance(node, ast.If)]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}: a relative import"
            for alias in node.names:
                add(node.module, alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                add(alias.name)
        elif isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func):
            text = ast.unparse(node.args[0])
            prefix = re.match(rf"f?['\"]({PACKAGE}\.[\w.]*)", text)
            if prefix and name != PACKAGE:  # whose names are imported on first use
                found.update(m for m in known if m.startswith(prefix[1]))
    return found - {name}


def room_of(module, rooms):
    """The room of a module, the longest name that fits.

    The package itself has the names of its networks from specs, and imports all else on
    first use; a `__main__` is the command line.
    """
    if module == PACKAGE:
        return "specs"
    if module.endswith(".__main__"):
        return "cli"
    inside = module.removeprefix(f"{PACKAGE}.")
    fitting = [room for room in rooms if f"{inside}.".startswith(f"{room}.")]
    return max(fitting, key=len, default=None)


def problems(sources, rooms):
    """What stands against the order, a list of lines."""
    known = frozenset(sources)
    graph = {name: imports(name, text, known) for name, text in sources.items()}
    found = []
    for name, targets in graph.items():
        room = room_of(name, rooms)
        if room is None:
            found.append(f"{name} has no room in docs/architecture.md")
            continue
        for target in targets:
            other = room_of(target, rooms)
            if other is not None and rooms.index(other) > rooms.index(room):
                found.append(f"{name} ({room}) imports {target} ({other})")
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        found.append(" imports ".join(reversed(error.args[1])))
    return sorted(found)


def test_no_back_arrow_and_no_circle():
    sources = modules()
    assert {f"{PACKAGE}.export", f"{PACKAGE}.benchmarks.studies"} <= set(sources)
    assert len(sources) > 200
    rooms = order()
    assert not problems(sources, rooms)
    used = {room_of(name, rooms) for name in sources}
    assert [room for room in rooms if room not in used] == []


@pytest.mark.parametrize(
    ("module", "planted", "message"),
    [
        ("specs", "from keras_effnet import models", r"specs\) imports .*\(models\)"),
        ("specs", "from keras_effnet import build_model", r"imports .*\.models"),
        ("saving", "import keras_effnet", r"\(saving\) imports .*\(models\)"),
        (
            "rule",
            "def later():\n    import keras_effnet.weights.table",
            r"\(rule\) imports keras_effnet\.weights\.table",
        ),
        (
            "benchmarks.measuring",
            "from keras_effnet.export.flatbuffer import read",
            r"\(benchmarks\) imports .*\(export\)",
        ),
        (
            "cli.models",
            "import keras_effnet.benchmarks.studies.flowers",
            r"\(cli\) imports .*\(benchmarks.studies\)",
        ),
        (
            "errors",
            'importlib.import_module(f"keras_effnet.weights.{name}")',
            r"\(errors\) imports keras_effnet\.weights\.table",
        ),
        (
            "data.source",
            "from keras_effnet.data import formats",
            r"(keras_effnet\.data\.\w+ imports ){2,}",
        ),
        ("new_room", "", "new_room has no room"),
    ],
)
def test_a_planted_arrow_is_found(module, planted, message):
    sources, name = modules(), f"{PACKAGE}.{module}"
    sources[name] = f"{sources.get(name, '')}\n{planted}\n"
    assert re.search(message, "\n".join(problems(sources, order())))


def test_type_checkers_see_the_public_names():
    tree = ast.parse((ROOT / PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if ast.unparse(node).startswith("if TYPE"))
    seen = {(node.module, node.names[0].name) for node in block.body}
    lent = {(f"{PACKAGE}.{home}", name) for name, home in keras_effnet._HOME.items()}
    assert seen == lent | {(PACKAGE, room) for room in keras_effnet._ROOMS}
