"""The pages: their tables, their links, their Python."""

import importlib.util
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").glob("*.md"))]
pages = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)


def tables():
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs/tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pages
def test_tables_are_up_to_date(path):
    text = path.read_text(encoding="utf-8")
    assert tables().filled(text) == text, "run `make docs`"


@pages
def test_links_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)", text):
        if not link.startswith("https://"):
            assert (path.parent / link).exists(), link


@pages
def test_python_compiles(path):
    text = path.read_text(encoding="utf-8")
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        compile(code, path.name, "exec")


@pages
def test_commands_exist(path):
    from keras_effnet.cli import COMMANDS

    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"^keras-effnet ([\w-]+)", text, re.MULTILINE):
        assert name in COMMANDS


def test_the_number_of_weight_files():
    from keras_effnet.weights.table import SOURCES
    from keras_effnet.weights.table import published

    assert len(SOURCES) == 6
    for page in ("README.md", "CHANGELOG.md"):
        text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
        assert f"{len(published())} files of six projects" in text
