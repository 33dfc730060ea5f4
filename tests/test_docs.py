"""The pages: their tables, their links, their Python."""

import importlib
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").glob("*.md"))]
pages = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)


@pages
def test_tables_are_up_to_date(path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    text = path.read_text(encoding="utf-8")
    tables = importlib.import_module("tables")
    assert tables.filled(text) == text, "run `make docs`"


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
    from keras_effnet.weights.table import find
    from keras_effnet.weights.table import published

    assert len(SOURCES) == 7
    for page in ("README.md", "CHANGELOG.md"):
        text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
        assert f"{len(published())} files of seven projects" in text
    # What the README says of the default and of the best.
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    (default,), (best,) = find("B0", "imagenet"), find("B0", "ra4")
    assert (
        f"B0 has {default.top1} % by default and {best.top1:.1f} % with "
        f'`weights="{best.name}"` at {best.image_size} pixels'
    ) in text
    of_imagenet = (row for row in published() if row.model == best.model)
    sets = {row.name: row.top1 for row in of_imagenet if row.top1}
    assert max(sets, key=sets.get) == best.name


def test_the_walks_meet_files_that_exist():
    """A name without a folder stands in one that its walk has met."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    walks = text.split("## Four walks")[1].split("\n## ")[0].split("\n\n")[-1]
    walks = re.split(r"^\d\. ", walks, flags=re.MULTILINE)[1:]
    assert len(walks) == 4
    for walk in walks:
        met = {ROOT}
        for name in re.findall(r"`([\w/]+\.(?:py|c))`", walk):
            found = {(folder / name).resolve() for folder in met}
            (path,) = (path for path in found if path.is_file())
            met |= {path.parent, ROOT / path.relative_to(ROOT).parts[0]}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "docs").glob("*.svg")), ids=lambda p: p.name
)
def test_pictures_fit_a_phone(path):
    text = path.read_text(encoding="utf-8")
    width = float(re.search(r'viewBox="0 0 ([\d.]+)', text)[1])
    sizes = re.findall(r'font(?:-size)?[:=][ "]*([\d.]+)', text)
    assert width <= 358
    assert sizes
    assert min(map(float, sizes)) >= 11
