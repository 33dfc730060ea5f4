"""Lines and bars: where they show, and that the work goes on without them."""

import sys

import pytest

from keras_effnet import progress
from keras_effnet import quiet


class Terminal:
    """Standard error that says it is a terminal, or not."""

    def __init__(self, is_one):
        self.isatty = lambda: is_one
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass


@pytest.mark.parametrize("is_one", [True, False])
@pytest.mark.parametrize("shown", [None, False, True, "always", print])
def test_a_bar_shows_on_a_terminal_if_it_shall(monkeypatch, is_one, shown):
    terminal = Terminal(is_one)
    monkeypatch.setattr(sys, "stderr", terminal)
    assert list(progress.bar(range(3), "reading", "image", shown=shown)) == [0, 1, 2]
    assert ("reading" in terminal.text) == bool(shown and (is_one or shown == "always"))


def test_a_bar_counts(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal(True))
    with progress.bar(name="reading", total=5) as bar:
        bar.update(2)
        assert (bar.n, bar.total) == (2, 5)


def test_where_nobody_watches_a_line_comes_at_times(monkeypatch, capfd):
    monkeypatch.setattr(progress, "_SECONDS", 0.01)
    expected = "keras-effnet: converting, reading: 2 of 5 images, 00:"
    found = ""
    with progress.pulse(), quiet.native_stderr_held_back():
        progress.step("note: few")
        progress.step("converting")
        with progress.bar(name="reading", unit="image", total=5) as bar:
            bar.update(2)
            while expected not in found:
                found += capfd.readouterr().err
    lines = found.splitlines()
    assert lines[0] == "keras-effnet: note: few"
    assert "converting" not in lines
    assert progress.bar(range(3)).disable


def test_on_a_terminal_each_step_is_a_line(monkeypatch):
    terminal = Terminal(True)
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress.pulse():
        progress.step("converting")
    assert terminal.text == "keras-effnet: converting\n"


def test_lines(capsys):
    progress.tell("one step")
    progress.silent("another")
    assert capsys.readouterr() == ("", "one step\n")
