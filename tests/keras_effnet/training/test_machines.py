"""Two processes on this machine train one network; one of them dies."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import peer
import pytest
from test_kill import _last_step
from test_training import _assert_equal_runs

from keras_effnet import cli
from keras_effnet import saving
from keras_effnet.export import export
from keras_effnet.tflite import TFLiteModel

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts/tiny_command.py"
EPOCHS, STEPS_PER_EPOCH = 3, 14
STEPS = EPOCHS * STEPS_PER_EPOCH
COMMAND = (
    *("train", "digits", "--recipe", "digits", "--no-progress"),
    *("--set", "width=0.25", "--set", "depth=0.25", "--set", f"epochs={EPOCHS}"),
    *("--set", "stages=1", "--set", "image_size=24,24", "--set", "eval_image_size=24"),
    *("--set", "batch_size=96", "--set", "ema=0.9", "--set", "augmentation=crop"),
    *("--set", "dropout_rate=0.2,0.2", "--set", "mixup_alpha=0.2,0.2"),
    *("--set", "drop_connect_rate=0.2,0.2", "--set", "optimizer=sgd"),
    *("--set", "learning_rate=0.0005", "--set", "warmup_epochs=1"),
    *("--set", "head_epochs=1"),
    *("--set", "checkpoint_steps=1"),
)
SECONDS = 60  # until a process must have noticed that the other is gone


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Starts a process; what is compiled once serves all that come after it."""
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    pytest.importorskip("jax", reason="JAX is not installed")
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("compiled")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    started = []

    def start(folder, *arguments):
        process = subprocess.Popen(
            [sys.executable, SCRIPT, *COMMAND, "--output", folder, *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
            process.communicate()


def _pair(start, folder, *arguments):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    cluster = "--cluster", address, "--processes", "2", "--process-id"
    return [
        start(folder, *cluster, number, *more)
        for number, more in zip("01", arguments or [(), ()], strict=True)
    ]


def _reach(step, folder, *processes):
    while _last_step(folder / "checkpoints") < step:
        assert all(p.poll() is None for p in processes), _errors(*processes)
        time.sleep(0.01)


def _errors(*processes):
    return [p.communicate()[1] for p in processes if p.poll() is not None]


def _finish(*processes):
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors


def _assert_told(process):
    """It ends soon, with the one line that says what to do."""
    _, errors = process.communicate(timeout=SECONDS)
    # 75 where Python hears of it; JAX may end the process first.
    assert process.returncode in (cli.RESTART, -signal.SIGABRT), errors
    assert "the same command goes on from the last checkpoint" in errors
    assert "Traceback" not in errors


@pytest.fixture(scope="module")
def alone(start, tmp_path_factory):
    """The folder of a run of one process that nothing disturbed."""
    folder = tmp_path_factory.mktemp("alone")
    _finish(start(folder))
    return folder


@pytest.mark.slow
def test_a_worker_dies_and_one_process_goes_on(start, alone, tmp_path):
    chief, worker = _pair(start, tmp_path)
    _reach(STEPS_PER_EPOCH + 3, tmp_path, chief, worker)
    worker.kill()
    _assert_told(chief)
    before = _last_step(tmp_path / "checkpoints")
    assert before < STEPS
    again = start(tmp_path)
    _, errors = again.communicate()
    assert again.returncode == 0, errors
    assert f"Going on after 1 epochs and {before - STEPS_PER_EPOCH} batches" in errors
    _assert_equal_runs(tmp_path, alone, STEPS)


@pytest.mark.slow
def test_what_jax_has_trained_is_exported(alone, tmp_path):
    model = saving.load_model(alone / "model.keras")
    (file,) = export(model, tmp_path, ("float32",))
    pixels = peer.images(24, 24, batch=4)[..., :1]
    found = TFLiteModel(file.path).predict(pixels)
    np.testing.assert_allclose(found, model.predict(pixels, verbose=0), atol=1e-5)


@pytest.mark.slow
def test_the_chief_dies_both_are_preempted_and_two_go_on(start, alone, tmp_path):
    chief, worker = _pair(start, tmp_path)
    _reach(5, tmp_path, chief, worker)
    chief.kill()
    _assert_told(worker)
    reached = _last_step(tmp_path / "checkpoints")
    pair = _pair(start, tmp_path)
    _reach(reached + 3, tmp_path, *pair)
    for process in pair:
        process.terminate()
    for process in pair:
        _, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == cli.RESTART, errors
        assert "the same command goes on from there" in errors
    _finish(*_pair(start, tmp_path))
    _assert_equal_runs(tmp_path, alone, STEPS)


@pytest.mark.slow
def test_processes_that_differ_are_refused(start, tmp_path):
    pair = _pair(start, tmp_path, ["--set", "seed=0"], ["--set", "seed=1"])
    for process in pair:
        _, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == 1, errors
        assert errors.splitlines()[-1].endswith(
            "must have the same recipe, data and versions. Received: another one in "
            "process 1 than in 0"
        )


@pytest.mark.slow
def test_folders_of_their_own_are_refused(start, tmp_path):
    # The last --output counts.
    folders = [("--output", tmp_path / number) for number in "01"]
    for process in _pair(start, tmp_path, *folders):
        _, errors = process.communicate(timeout=3 * SECONDS)
        assert process.returncode == 1, errors
        assert "must have the same output folder, one that all see" in errors


def test_what_nobody_foresaw_ends_the_process(monkeypatch, capsys):
    """Python's own way out would wait for the others, which wait for this one."""

    def run(args):
        raise TypeError("unforeseen")

    codes = []
    monkeypatch.setattr("keras_effnet.cli.train.run", run)
    monkeypatch.setattr(os, "_exit", codes.append)
    arguments = "--cluster", "a:1", "--processes", "2", "--process-id", "0"
    cli.main(["train", "digits", *arguments])
    assert codes == [1]
    assert "TypeError: unforeseen" in capsys.readouterr().err
    with pytest.raises(TypeError):
        cli.main(["train", "digits"])


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--cluster", "here"], "HOST:PORT of the first process.*Received: 'here'"),
        (["--cluster", "here:99999"], "HOST:PORT"),
        (["--cluster", "here:1234"], "needs the number of processes"),
        (
            ["--cluster", "a:1", "--processes", "2", "--process-id", "2"],
            "0 to `processes` - 1. Received: processes=2, process_id=2",
        ),
        (["--cluster", "auto", "--processes", "2"], "takes no numbers"),
        (["--cluster", "a:1", "--devices", "2"], "is for one process"),
        (["--processes", "2"], "belong to `cluster`"),
        (["--devices", "0"], "at least 1. Received: 0"),
    ],
)
def test_arguments(command, monkeypatch, arguments, match, tmp_path):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setattr(os, "_exit", lambda code: None)
    output = tmp_path / "run"
    code, _, errors = command("train", tmp_path, "--output", output, *arguments)
    assert code == 1
    assert re.search(match, errors[-1])
    assert not output.exists()


def test_a_cluster_needs_jax(command, monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setattr(os, "_exit", lambda code: None)
    arguments = "--cluster", "a:1", "--processes", "2", "--process-id", "0"
    code, _, errors = command("train", tmp_path, *arguments)
    assert code == 1
    assert errors[-1].endswith("set it to jax. Received: 'tensorflow'")
