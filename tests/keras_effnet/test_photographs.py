"""All commands find, look at and leave out the same photographs of one folder."""

import io
import os
import pathlib
import shutil
import sys
import types

import keras
import pytest
import tensorflow as tf

import keras_effnet
from keras_effnet import cli
from keras_effnet import saving
from keras_effnet.data import photos
from keras_effnet.data.formats import open_source
from keras_effnet.errors import InputError
from keras_effnet.export import export

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


def stop(*args, **options):
    raise InputError("Enough. Received: photographs")


@pytest.fixture
def enough(monkeypatch):
    """Ends the commands when they have their photographs, whose names are kept."""
    from keras_effnet.benchmarks import session
    from keras_effnet.export import converting
    from keras_effnet.export import photographs
    from keras_effnet.training import previewing

    names = []
    readable = photos.readable

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


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory):
    """Files that don't say how photographs go in: a published network's, by Keras
    alone, and its .tflite file without the sheet. And two with two outputs."""
    folder = tmp_path_factory.mktemp("forgetful")
    options = {"classes": 5, "input_shape": (32, 32, 3)}
    model = keras_effnet.EfficientNetLite0(**options, include_preprocessing=False)
    (file,) = export(model, folder / "out")
    keras.models.clone_model(model).save(folder / "lost.keras")
    shutil.copy(file.path, folder / "alone.tflite")
    image = keras.Input((32, 32, 3))
    x = keras.layers.GlobalAveragePooling2D()(image)
    double = keras.Model(image, [keras.layers.Dense(5)(x), keras.layers.Dense(5)(x)])
    double.save(folder / "double.keras")
    exported = tf.lite.TFLiteConverter.from_keras_model(double).convert()
    (folder / "double.tflite").write_bytes(exported)
    return folder, saving.attached(model)


@pytest.fixture
def sound(folder):
    """Its folder of five classes, without what can't be read."""
    (folder / "w" / "broken.jpg").unlink()
    (folder / "x" / "notes.txt").unlink()
    return folder


@pytest.fixture
def rules(monkeypatch):
    """How the commands had photographs read, `(input_shape, rule)` each; those that
    make files end when they have read them."""
    from keras_effnet.export import photographs
    from keras_effnet.export.compression import techniques

    found = []
    batches, opened = photos.batches, photographs.opened

    def noted(paths, input_shape, rule, *args):
        found.append((tuple(input_shape), rule))
        return batches(paths, input_shape, rule, *args)

    def read(*args):
        calibration, evaluation, _ = opened(*args)
        for each in (calibration, evaluation and evaluation.batches):
            list(each() if each else ())
        stop()

    monkeypatch.setattr(photos, "batches", noted)
    monkeypatch.setattr(photographs, "opened", read)
    monkeypatch.setattr(techniques, "qat", stop)
    return found


MODELS = {
    **COMMANDS,
    "evaluate, Keras": "evaluate KERAS FOLDER",
    "predict, Keras": "predict FOLDER --model KERAS",
    "benchmark": "benchmark TFLITE --evaluate FOLDER --runs 1 --seconds 0 --rounds 1",
}
del MODELS["preview"]  # of a recipe, not of a model


@pytest.mark.parametrize("line", MODELS.values(), ids=MODELS)
def test_every_command_prepares_them_in_the_same_way(
    command, forgetful, sound, rules, tmp_path, line
):
    folder, rule = forgetful
    words = {"KERAS": folder / "lost.keras", "TFLITE": folder / "alone.tflite"}
    words |= {"FOLDER": sound, "OUT": tmp_path / "out"}
    _, _, errors = command(*(words.get(word, word) for word in line.split()))
    assert set(rules) == {((32, 32, 3), rule)}
    told = [text for text in errors if "that of its ImageNet weights" in text]
    assert len(told) == ("KERAS" in line)


@pytest.mark.parametrize("line", MODELS.values(), ids=MODELS)
def test_every_command_refuses_the_same_models(
    command, forgetful, sound, tmp_path, line
):
    folder, _ = forgetful
    words = {"KERAS": folder / "double.keras", "TFLITE": folder / "double.tflite"}
    words |= {"FOLDER": sound, "OUT": tmp_path / "out"}
    code, _, errors = command(*(words.get(word, word) for word in line.split()))
    assert code == 1
    assert "no image classifier" in errors[-1]


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
