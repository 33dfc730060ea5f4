"""`kill -9` at random moments: the same command ends as if nothing had happened."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from test_training import _assert_equal_runs

from keras_effnet.training import checkpoint

KILLS = 10
# Every step is followed by a checkpoint of 60 MB, so that many kills meet one.
COMMAND = (
    *("train", "digits", "--recipe", "digits", "--no-progress"),
    *("--set", "width=1", "--set", "depth=0.5", "--set", "epochs=4"),
    *("--set", "stages=2", "--set", "image_size=24,32", "--set", "eval_image_size=32"),
    *("--set", "batch_size=359", "--set", "ema=0.9", "--set", "augmentation=crop"),
    *("--set", "dropout_rate=0.1,0.3", "--set", "mixup_alpha=0,0.2"),
    *("--set", "checkpoint_steps=1"),
)


def _start(folder):
    command = [sys.executable, "-m", "keras_effnet", *COMMAND, "--output", str(folder)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _finish(folder):
    started = time.monotonic()
    process = _start(folder)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return time.monotonic() - started


@pytest.mark.slow
def test_ten_kills(tmp_path):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    duration = _finish(tmp_path / "whole")
    folder = tmp_path / "killed"
    inside_an_epoch = inside_a_write = 0
    for moment in np.random.default_rng(0).uniform(0, duration, KILLS):
        process = _start(folder)
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        checkpoints = folder / "checkpoints"
        inside_a_write += bool(list(checkpoints.glob(".writing-*")))
        found = checkpoint.checkpoints(checkpoints)
        if found and process.returncode == -signal.SIGKILL:
            inside_an_epoch += bool(checkpoint.load_last(checkpoints)[1]["step"])
    assert inside_an_epoch
    assert inside_a_write
    _finish(folder)
    _assert_equal_runs(folder, tmp_path / "whole", steps=16)
