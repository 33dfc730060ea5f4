"""The commands predict and export, as a user types them, mistakes included."""

import errno
import json
import os
import subprocess
import sys

import pytest
from conftest import one_line

from keras_effnet import cli
from keras_effnet.export import flatbuffer


def test_predict_prints_the_best_classes(command, tiny_files, copies):
    code, output, errors = command("predict", copies, "--model", tiny_files["int8"])
    assert (code, errors) == (0, [])
    lines = output.splitlines()
    assert lines[0] == str(copies / "china.jpg")
    assert lines[6] == str(copies / "flower.jpg")
    shares = [float(line.split("%")[0]) for line in lines[1:6]]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=2)
    assert all("class" in line for line in lines[1:6])


def test_a_guess_is_told(command, tiny_files, copies, tmp_path):
    """Moved without its sheet a file tells how photographs go in; another can't."""
    data = tiny_files["float32"].read_bytes()
    model = flatbuffer.unpack(data)
    model.metadata = []
    moved, stranger = tmp_path / "moved.tflite", tmp_path / "stranger.tflite"
    moved.write_bytes(data)
    stranger.write_bytes(flatbuffer.pack(model))
    code, output, errors = command("predict", copies, "--model", moved)
    assert (code, errors) == (0, [])
    code, found, (note,) = command("predict", copies, "--model", stranger)
    assert "stranger doesn't tell how photographs go in; guessed from its name" in note
    assert code == 0
    assert found.count("class") == output.count("class") == 10


def test_predict_json(command, tiny_files, copies):
    arguments = ("predict", copies, "--model", tiny_files["float32"], "--top", "2")
    code, output, _ = command(*arguments, "--json")
    first, second = json.loads(output)
    assert code == 0
    assert second["photo"] == str(copies / "flower.jpg")
    assert len(first["predictions"]) == 2
    assert set(first["predictions"][0]) == {"id", "name", "probability"}


def test_a_damaged_photograph_does_not_stop_the_others(command, tiny_files, copies):
    (copies / "a.jpg").write_bytes(b"no photograph")
    code, output, errors = command("predict", copies, "--model", tiny_files["int8"])
    assert code == 0
    assert output.count("%") == 10
    (line,) = errors
    assert line.startswith("keras-effnet: note: 1 of 3 images can't be decoded")
    assert "a.jpg" in line


def test_predict_refuses(command, tiny_files, copies, tmp_path):
    model = ("--model", tiny_files["int8"])
    china = copies / "china.jpg"
    for arguments, message in (
        ((tmp_path / "absent.jpg", *model), "no such file or folder"),
        ((china, "--model", "EfficientNetLite0"), "needs --weights"),
        ((china, "--model", "EficientNetLite0"), "Did you mean 'EfficientNetLite0'"),
        ((china, "--model", tmp_path / "no.tflite"), "no such .tflite file"),
        ((china, "--model", tmp_path / "no.keras"), "that exists"),
        ((china, *model, "--weights", "w.h5"), "has its weights"),
        ((china, *model, "--top", "0"), "Received: 0"),
        (
            (china, "--model", "EfficientNetLite0", "--weights", tmp_path / "w.h5"),
            "no such weights file",
        ),
    ):
        assert message in one_line(command("predict", *arguments))


def test_every_command_has_help(capsys):
    for name in cli.COMMANDS:
        with pytest.raises(SystemExit) as stopped:
            cli.main([name, "--help"])
        assert stopped.value.code == 0
        assert f"usage: keras-effnet {name}" in capsys.readouterr().out


def test_options_are_not_abbreviated(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", "photos", "--epoch", "3"])
    assert ended.value.code == 2
    assert "unrecognized arguments: --epoch 3" in capsys.readouterr().err


def test_the_demo_refuses_no_epochs(command, tmp_path):
    line = one_line(command("demo", "--epochs", "0", "--output", tmp_path / "out"))
    assert line.endswith("Received: 0")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- 2>&-"])
def test_streams_may_be_closed(closed, tmp_path):
    for arguments, code in (("models", 0), ("show nothing", 1)):
        command = f"{sys.executable} -m keras_effnet {arguments} {closed}"
        child = subprocess.run(command, shell=True, capture_output=True, text=True)
        assert (child.returncode, child.stderr) == (code, "")


def test_a_full_disk_or_memory_is_one_line(command, monkeypatch):
    def full(error):
        def run(args):
            raise RuntimeError("wrapped") from error

        monkeypatch.setattr("keras_effnet.cli.models.run", run)
        return one_line(command("models"))

    for error in (
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/x"),
        OSError("3456 requested and 0 written"),
        ImportError("_pywrap_tf.so: failed to map segment from shared object"),
        MemoryError(),
    ):
        assert "A disk or the memory is full; TMPDIR names another" in full(error)


def test_nothing_but_the_answer_is_printed(saved, photos):
    """TensorFlow's start-up notes go to the process's own standard error."""
    child = subprocess.run(
        [sys.executable, "-m", "keras_effnet", "predict", photos[0], "--model", saved],
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.stderr == ""
    assert child.returncode == 0
    assert child.stdout.count("%") == 5
