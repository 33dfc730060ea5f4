"""The commands predict and export, as a user types them, mistakes included."""

import json
import subprocess
import sys

import pytest

from keras_effnet import cli


def one_line(result):
    """The only line of a refusal: exit code 1, nothing printed, no traceback."""
    code, output, errors = result
    assert code == 1
    assert output == ""
    (line,) = errors
    assert line.startswith("keras-effnet: error: ")
    return line


@pytest.fixture
def copies(photos, tmp_path):
    """A folder with the two photographs."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for photo in photos:
        (folder / photo.name).write_bytes(photo.read_bytes())
    return folder


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
    assert code == 1
    assert output.count("%") == 10
    (line,) = errors
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


@pytest.fixture
def saved(tiny_model, tmp_path):
    path = tmp_path / "tiny.keras"
    tiny_model.save(path)
    return path


def test_export_writes_files_and_numbers(command, saved, copies, tmp_path):
    code, output, errors = command(
        "export", saved, "--precision", "float32,int8", "--calibrate", copies,
        "--output", tmp_path / "out",
    )  # fmt: skip
    assert (code, errors) == (0, [])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "tiny_float32.json",
        "tiny_float32.tflite",
        "tiny_int8.json",
        "tiny_int8.tflite",
    ]
    first, second = output.splitlines()
    assert "tiny_float32.tflite" in first
    assert "0 in float" in second


def test_export_refuses(command, saved, copies, tmp_path):
    (copies / "z.jpg").write_bytes(b"no photograph")
    (tmp_path / "file").write_text("kept")
    int8 = ("--precision", "int8")
    for arguments, message in (
        ((saved, *int8), "without --calibrate"),
        ((saved, *int8, "--calibrate", tmp_path / "no"), "no such file or folder"),
        ((saved, *int8, "--calibrate", copies), "z.jpg"),
        (
            (saved, *int8, "--calibrate", copies, "--calibration-images", "0"),
            "--calibration-images must be at least 1",
        ),
        ((saved, "--precision", "int9"), "Did you mean 'int8'"),
        ((tmp_path / "no.keras",), "no .keras file"),
        ((tmp_path / "no.tflite",), "starts from a .keras file"),
        ((saved, "--weights", "w.h5"), "has its weights"),
        ((saved, "--output", tmp_path / "file"), "can't be written"),
        (("EfficientNetB9",), "Did you mean"),
    ):
        out = () if "--output" in arguments else ("--output", tmp_path / "out")
        line = one_line(command("export", *arguments, *out))
        assert message in line
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "file").read_text() == "kept"


def test_every_command_has_help(capsys):
    for name in cli.COMMANDS:
        with pytest.raises(SystemExit) as stopped:
            cli.main([name, "--help"])
        assert stopped.value.code == 0
        assert f"usage: keras-effnet {name}" in capsys.readouterr().out


def test_the_demo_refuses_no_epochs(command, tmp_path):
    line = one_line(command("demo", "--epochs", "0", "--output", tmp_path / "out"))
    assert line.endswith("Received: 0")
    assert not (tmp_path / "out").exists()


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
