"""The commands stand beside each other: none imports another, or what computes."""

import ast
import pathlib

import pytest

from keras_effnet import cli

FOLDER = pathlib.Path(cli.__file__).parent
COMMANDS = {name.replace("-", "_") for name in cli.COMMANDS}
COMPUTING = {"keras", "numpy", "tensorflow", "tqdm", "matplotlib"}


def imported(source):
    """The names of all modules that a source imports, wherever it does."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def commands_of(source):
    package = "keras_effnet.cli."
    names = (n.removeprefix(package) for n in imported(source) if n.startswith(package))
    return {name.partition(".")[0] for name in names} & COMMANDS


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda p: p.stem)
def test_no_command_is_imported(path):
    source = path.read_text(encoding="utf-8")
    assert not commands_of(source)
    assert not {name.partition(".")[0] for name in imported(source)} & COMPUTING


@pytest.mark.parametrize(
    "source",
    [
        "from keras_effnet.cli import export",
        "from keras_effnet.cli import export as _export",
        "from keras_effnet.cli.export import run",
        "import keras_effnet.cli.export",
        "def run(args):\n    from keras_effnet.cli import export",
    ],
)
def test_an_import_is_found(source):
    assert commands_of(source) == {"export"}


def test_every_command_has_a_module():
    assert {path.stem for path in FOLDER.glob("*.py")} >= COMMANDS
