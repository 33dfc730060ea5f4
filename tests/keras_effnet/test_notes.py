"""What is assumed is told, in one form, or refused."""

import logging

import pytest

from keras_effnet import cli
from keras_effnet import notes
from keras_effnet.errors import InputError


def test_a_note_is_logged(caplog):
    with caplog.at_level(logging.WARNING, "keras_effnet"):
        notes.note("a thing was assumed")
    assert caplog.messages == ["a thing was assumed"]


def test_strict_refuses_it_and_ends_with_the_block():
    refused = pytest.raises(InputError, match=r"Received: a thing was assumed")
    with refused, notes.strict():
        notes.note("a thing was assumed")
    notes.note("allowed again")


def test_strict_lets_warnings_pass(caplog):
    with notes.strict():
        notes.warn("a thing happened")
        notes.damaged("cache.json")
    assert caplog.messages == [
        "a thing happened",
        "damaged, and made again: cache.json",
    ]


@pytest.mark.parametrize("strict", [False, True])
def test_a_damaged_cache_ends_no_command(strict, monkeypatch, capsys, tmp_path):
    from keras_effnet.data import cached

    cache = tmp_path / "cache.json"
    cache.write_text("[" * 500)
    monkeypatch.setattr(
        "keras_effnet.cli.models.run", lambda args: cached.read(cache, dict)
    )
    code = cli.main(["models", *(["--strict"] if strict else [])])
    (line,) = capsys.readouterr().err.splitlines()
    assert code == 0
    assert line == f"keras-effnet: warning: damaged, and made again: {cache}"


@pytest.mark.parametrize("strict", [False, True])
def test_the_command_line_shows_or_refuses(monkeypatch, capsys, strict):
    def run(args):
        notes.note("a thing was assumed")

    monkeypatch.setattr("keras_effnet.cli.models.run", run)
    code = cli.main(["models", *(["--strict"] if strict else [])])
    (line,) = capsys.readouterr().err.splitlines()
    assert code == strict
    start = "keras-effnet: error: Nothing" if strict else "keras-effnet: note: a thing"
    assert line.startswith(start)
    assert logging.getLogger("keras_effnet").handlers == []


def test_a_note_is_shown_once(capsys, caplog):
    """Though a library has given the root logger a handler."""
    with cli._notes_shown():
        notes.note("a thing was assumed")
    assert capsys.readouterr().err == "keras-effnet: note: a thing was assumed\n"
    assert caplog.messages == []
