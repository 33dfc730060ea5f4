"""Signals end a command by unwinding, whatever swallows them on the way."""

import contextlib
import importlib
import os
import signal

import pytest

from keras_effnet import cli
from keras_effnet import ending
from keras_effnet import progress
from keras_effnet.errors import InputError
from keras_effnet.errors import Preempted
from keras_effnet.training import running

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def ended(*steps):
    """The signal by which steps in a command's block ended."""

    def run():
        with ending.by_signals():
            for step in steps:
                step()

    with pytest.raises(ending.Ended) as caught:
        run()
    return caught.value.number


def swallowed():
    with contextlib.suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_unwinds(number, tmp_path):
    def work():
        with contextlib.ExitStack() as stack:
            stack.callback((tmp_path / "closed").touch)
            signal.raise_signal(number)

    before = signal.getsignal(number)
    assert ended(work) == number
    assert (tmp_path / "closed").exists()
    assert signal.getsignal(number) is before


def test_what_a_library_swallows_is_raised_again():
    def wrapped():
        raise InputError("what a library made of it")

    told = []
    assert ended(swallowed) == signal.SIGINT
    assert ended(swallowed, lambda: progress.tell("next"), lambda: told.append(1))
    assert told == []
    assert ended(swallowed, wrapped)
    ending.check()  # what follows knows nothing of it


def test_a_second_signal_does_not_disturb_the_end():
    done = []

    def work():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGHUP)
            done.append("closed")

    assert ended(work)
    assert done == ["closed"]


def test_nohup_is_heeded():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ending.by_signals():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("name", "number", "code"),
    [
        ("models", signal.SIGINT, 130),
        ("models", signal.SIGTERM, 143),
        ("train", signal.SIGHUP, cli.RESTART),
        ("train", signal.SIGTERM, cli.RESTART),
        ("train", signal.SIGINT, 130),
    ],
)
def test_exit_codes(command, monkeypatch, name, number, code):
    module = importlib.import_module(f"keras_effnet.cli.{name}")
    monkeypatch.setattr(module, "run", lambda args: signal.raise_signal(number))
    arguments = (name, "x", "--recipe", "x") if name == "train" else (name,)
    found = command(*arguments)
    assert found == (code, "", ["keras-effnet: stopped"])


def test_a_training_that_ends_is_stopped_in_its_evaluation(monkeypatch, tmp_path):
    class Training:
        devices = type("Devices", (), {"part": (0, 1), "chief": True})
        folder = type("Folder", (), {"path": tmp_path / "run"})
        stopped = False

        def __init__(self, *arguments):
            pass

        def run(self):
            return "model"

        def evaluation_batches(self, source):
            yield "images", "labels"

        def stop(self):
            self.stopped = True

        def stop_if_asked(self):
            if self.stopped:
                raise Preempted("stopped")

    def evaluate(model, batches, labels):
        os.kill(os.getpid(), signal.SIGHUP)
        return list(batches)

    monkeypatch.setattr(running.loop, "Training", Training)
    monkeypatch.setattr(running, "evaluate", evaluate)
    validation = type("Source", (), {"labels": ()})
    with pytest.raises(Preempted):
        running.train(None, None, validation, tmp_path)
    with (
        running.files.locked(tmp_path / "run"),
        pytest.raises(InputError, match="Another process trains in that folder"),
    ):
        running.train(None, None, validation, tmp_path)
