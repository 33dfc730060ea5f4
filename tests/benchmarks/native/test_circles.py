"""The parts of the programs in C include each other in one direction."""

import graphlib
import importlib.resources
import re

import pytest

_FOLDER = importlib.resources.files("keras_effnet.benchmarks.native")
_INCLUDE = re.compile(r'^#include "(\w+)\.h"', re.MULTILINE)
_FUNCTION = re.compile(r"^[\w ]+?\*?(\w+)\([^;{]*\)", re.MULTILINE)


@pytest.fixture
def sources():
    return {
        path.name: path.read_text(encoding="utf-8")
        for path in _FOLDER.iterdir()
        if path.name.endswith((".c", ".h"))
    }


def parts(sources):
    """`{part: parts that it includes}`; NAME.c and NAME.h are one part."""
    found = {}
    for name, text in sources.items():
        part = name.partition(".")[0]
        found.setdefault(part, set()).update(set(_INCLUDE.findall(text)) - {part})
    return found


def test_no_circle(sources):
    order = list(graphlib.TopologicalSorter(parts(sources)).static_order())
    assert order.index("lrbench") > order.index("litert")
    assert parts(sources)["fail"] == set()


@pytest.mark.parametrize(
    ("file", "back"), [("fail.h", "litert"), ("litert.c", "lrbench")]
)
def test_a_back_arrow_is_found(sources, file, back):
    sources[file] += f'\n#include "{back}.h"\n'
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(parts(sources)).prepare()


def test_what_a_part_declares_it_defines(sources):
    """Else an include would not tell which part is used."""
    for header, text in sources.items():
        if header.endswith(".h"):
            text = re.sub(r"typedef struct \{.*?\} \w+;", "", text, flags=re.DOTALL)
            declared = {
                name for name in _FUNCTION.findall(text) if not name.startswith("__")
            }
            defined = set(_FUNCTION.findall(sources[header[:-1] + "c"]))
            assert declared
            assert declared <= defined, header
