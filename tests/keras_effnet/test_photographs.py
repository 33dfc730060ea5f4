"""All commands find, look at and leave out the same photographs of one folder."""

import io
import os
import pathlib
import sys
import types

import pytest

from keras_effnet import cli
from keras_effnet.data import photos
from keras_effnet.data.formats import open_source
from keras_effnet.errors import InputError

GOOD = ["a.jpg", "b.JPG", "c.jfif", "d.jpe", "e.PNG", "f.jpg"]


@pytest.fixture
def folder(photos, tmp_path):
    """Five classes: odd suffixes, links, hidden copies, one broken, one no image."""
    from PIL import Image

    photo = Image.open(photos[0]).resize((40, 30))
    root = tmp_path / "classes"
    beside = tmp_path / "beside"
    beside.mkdir()
    for name, file in zip("vwxyz", GOOD, strict=False):
        (root / name).mkdir(parents=True)
        photo.save(root / name / file, "PNG" if file.endswith("PNG") else "JPEG")
    photo.save(beside / "f.jpg")
    (root / "v" / "linked").symlink_to(beside)
    (root / "v" / "above").symlink_to(root)
    good = (root / "v" / "a.jpg").read_bytes()
    for hidden in (".ipynb_checkpoints", "@eaDir", "__MACOSX", ".Trash-1000"):
        (root / "v" / "deep" / hidden).mkdir(parents=True)
        (root / "v" / "deep" / hidden / "a-copy.jpg").write_bytes(good)
    (root / ".ipynb_checkpoints").mkdir()
    (root / ".ipynb_checkpoints" / "a-copy.jpg").write_bytes(good)
    (root / "w" / "._b.jpg").write_bytes(b"of a file manager")
    (root / "w" / "broken.jpg").write_bytes(good[:-400])
    (root / "x" / "notes.txt").write_text("no photograph")
    return root


@pytest.fixture
def enough(monkeypatch):
    """Ends the commands when they have their photographs, whose names are kept."""
    from keras_effnet.benchmarks import session
    from keras_effnet.export import converting
    from keras_effnet.export import photographs
    from keras_effnet.training import previewing

    names = []
    readable = photos.readable

    def stop(*args, **options):
        raise InputError("Enough. Received: photographs")

    def noted(*args):
        found = readable(*args)
        names.extend(path.name for path in found[0])
        return found

    monkeypatch.setattr(photos, "readable", noted)
    search = types.ModuleType("keras_effnet.export.tuning.search")
    search.search = stop
    monkeypatch.setitem(sys.modules, search.__name__, search)
    monkeypatch.setattr(converting, "trace", stop)
    monkeypatch.setattr(photographs, "in_one_array", stop)
    monkeypatch.setattr(session, "open_target", stop)
    monkeypatch.setattr(previewing.preview, "draw", stop)
    return names


COMMANDS = {
    "evaluate": "evaluate TFLITE FOLDER",
    "export --calibrate": "export KERAS --precision int8 --calibrate FOLDER",
    "export --evaluate": "export KERAS --evaluate FOLDER",
    "quantize": "quantize KERAS --calibrate FOLDER --min-agreement .9 --output OUT",
    "qat": "qat KERAS --train FOLDER --output OUT",
    "qat, labels": "qat KERAS --train FOLDER --distillation .5 --output OUT",
    "benchmark": "benchmark TFLITE --evaluate FOLDER",
    "predict": "predict FOLDER --model TFLITE",
    "preview": "preview FOLDER --recipe flowers --output OUT.png",
}


@pytest.fixture
def words(saved, tiny_files, folder, tmp_path):
    return {
        "KERAS": saved,
        "TFLITE": tiny_files["float32"],
        "FOLDER": folder,
        "OUT": tmp_path / "out",
    }


@pytest.mark.parametrize("line", COMMANDS.values(), ids=COMMANDS)
def test_every_command_takes_the_same_photographs(command, enough, words, line):
    arguments = [words.get(word, word) for word in line.split()]
    _, _, errors = command(*arguments)
    assert sorted(enough) == GOOD
    notes = [line for line in errors if line.startswith("keras-effnet: note: ")]
    assert sum("1 of 7 images can't be decoded" in note for note in notes) == 1
    assert sum("broken.jpg" in note for note in notes) == 1
    assert sum("1 file is left out" in n and "notes.txt" in n for n in notes) == 1
    code, _, errors = command(*arguments, "--on-broken", "fail")
    assert code == 1
    assert "1 of 7 images" in errors[-1]
    assert "broken.jpg (" in errors[-1]


def test_training_takes_them_too(folder, caplog):
    source = open_source(folder)
    assert sorted(key.split("/")[-1] for key in source.keys) == GOOD
    assert source.class_counts.tolist() == [2, 1, 1, 1, 1]
    assert "1 of 7 images can't be decoded" in caplog.text
    assert "notes.txt" in caplog.text


def test_names_that_the_terminal_does_not_know(words, tmp_path, monkeypatch):
    photo = (words["FOLDER"] / "v" / "a.jpg").read_bytes()
    folder = tmp_path / "names"
    folder.mkdir()
    (folder / "Gänseblümchen.jpg").write_bytes(photo)
    pathlib.Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.jpg")).write_bytes(photo)
    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", output)
    assert cli.main(["predict", str(folder), "--model", str(words["TFLITE"])]) == 0
    output.flush()
    text = output.buffer.getvalue()
    assert rb"G\xe4nsebl\xfcmchen.jpg" in text
    assert rb"caf\udce9.jpg" in text
