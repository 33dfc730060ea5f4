"""Lines and bars: where they show, and that the work goes on without them."""

import sys

import pytest

from keras_effnet import progress


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


def test_lines(capsys):
    progress.tell("one step")
    progress.silent("another")
    assert capsys.readouterr() == ("", "one step\n")
