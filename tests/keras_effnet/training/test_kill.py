"""`kill -9` at random moments: the same command ends as if nothing had happened."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from test_training import _assert_equal_runs

from keras_effnet import cli
from keras_effnet.training import checkpoint

KILLS = 10
EPOCHS, STEPS_PER_EPOCH = 8, 3
STEPS = EPOCHS * STEPS_PER_EPOCH
# Every step is followed by a checkpoint of 35 MB, so that many kills meet one.
COMMAND = (
    *("train", "digits", "--recipe", "digits", "--no-progress"),
    *("--set", "width=1", "--set", "depth=0.5", "--set", f"epochs={EPOCHS}"),
    *("--set", "stages=2", "--set", "image_size=24,32", "--set", "eval_image_size=32"),
    *("--set", "batch_size=359", "--set", "ema=0.9", "--set", "augmentation=crop"),
    *("--set", "dropout_rate=0.1,0.3", "--set", "mixup_alpha=0,0.2"),
    *("--set", "checkpoint_steps=1"),
)


def _start(folder):
    command = [sys.executable, "-m", "keras_effnet", *COMMAND, "--output", str(folder)]
    return subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # Two undisturbed runs differ after some steps without: threads add up a
        # gradient in the order in which they finish.
        env={**os.environ, "TF_DETERMINISTIC_OPS": "1"},
    )


def _finish(folder):
    process = _start(folder)
    _, errors = process.communicate()
    assert process.returncode == 0, errors


def _last_step(checkpoints):
    found = checkpoint.checkpoints(checkpoints)
    return int(found[-1].stem.removeprefix("step-")) if found else 0


def _kill_at(moment, folder, in_a_write):
    """Kills a run when it has come as far, in steps and a fraction, and at least
    one step further than it was; or in the checkpoint write after that."""
    checkpoints = folder / "checkpoints"
    wanted = max(int(moment), _last_step(checkpoints) + 1)
    process = _start(folder)
    while process.poll() is None and _last_step(checkpoints) < wanted:
        time.sleep(0.01)
    if in_a_write:
        while process.poll() is None and not list(checkpoints.glob(".writing-*")):
            time.sleep(0.001)
    else:
        # A step takes about a second.
        time.sleep(moment % 1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "the run was over"


@pytest.mark.slow
def test_ten_kills(tmp_path):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    _finish(tmp_path / "whole")
    folder = tmp_path / "killed"
    checkpoints = folder / "checkpoints"
    inside_an_epoch = inside_a_write = 0
    moments = np.sort(np.random.default_rng(0).uniform(0, STEPS - 1, KILLS))
    for number, moment in enumerate(moments):
        # A write is a tenth of a step: hitting one is not left to chance alone.
        _kill_at(moment, folder, in_a_write=number % 2)
        inside_a_write += bool(list(checkpoints.glob(".writing-*")))
        inside_an_epoch += _last_step(checkpoints) % STEPS_PER_EPOCH > 0
    assert inside_an_epoch
    assert inside_a_write
    _finish(folder)
    _assert_equal_runs(folder, tmp_path / "whole", steps=STEPS)


@pytest.mark.slow
def test_a_terminated_run_goes_on_from_its_last_step(tmp_path):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    process = _start(tmp_path)
    while process.poll() is None and _last_step(tmp_path / "checkpoints") < 4:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    assert process.returncode == cli.RESTART, errors
    assert "Traceback" not in errors
    assert "the same command goes on from there" in errors.splitlines()[-1]
    _finish(tmp_path)
    assert _last_step(tmp_path / "checkpoints") == STEPS
