"""A model is judged by photographs that it wasn't made with, in every command."""

import json
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from keras_effnet import made_with
from keras_effnet import saving
from keras_effnet import sheet
from keras_effnet.data import photos
from keras_effnet.errors import InputError
from keras_effnet.evaluation import evaluate_photos
from keras_effnet.evaluation import load_classifier
from keras_effnet.export import export

NAMES = ("a", "b", "c", "d", "e")


@pytest.fixture
def folder(tmp_path):
    """Five classes of four photographs, no two alike."""
    random = np.random.default_rng(0)
    for name in NAMES:
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(4):
            pixels = random.integers(0, 256, (40, 30, 3), dtype=np.uint8)
            path = tmp_path / "photos" / name / f"{number}.jpg"
            Image.fromarray(pixels).save(path)
    return tmp_path / "photos"


@pytest.fixture
def held_out(folder):
    """Of each class the last photograph."""
    return sorted(folder.glob("*/3.jpg"))


@pytest.fixture
def model(tiny_model, folder, held_out, tmp_path):
    """The path of a model that learned from all others."""
    tiny_model.save(tmp_path / "tiny.keras")
    found = saving.load_model(tmp_path / "tiny.keras")
    learned = sorted({*folder.glob("*/*.jpg")} - {*held_out})
    digests = made_with.united(photos.digests(learned))
    saving.attach(found, saving.attached(found), NAMES, digests)
    (tmp_path / "run").mkdir()
    found.save(tmp_path / "run" / "model.keras")
    about = json.dumps({"photographs": str(folder)})
    (tmp_path / "run" / "environment.json").write_text(about)
    return tmp_path / "run" / "model.keras"


def test_digests_travel_as_bytes_and_as_text():
    digests = made_with.united(np.array([7, 0, 2**64 - 1, 7], np.uint64), None)
    assert digests.tolist() == [7, 2**64 - 1]
    assert made_with.unpacked(made_with.packed(digests)).tolist() == digests.tolist()
    assert made_with.from_text(made_with.as_text(digests)).tolist() == digests.tolist()
    assert made_with.united(None, np.zeros(3, np.uint64)) is None
    assert made_with.as_text(None) is None
    for damaged in (None, 5, "?", "AAAA", ["AAAA"]):
        assert made_with.from_text(damaged) is None


def test_a_damaged_entry_is_said(model, tmp_path):
    path = tmp_path / "damaged.keras"
    saving.load_model(model).save(path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    entries[saving.MADE_WITH_ENTRY] += b"x"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    with pytest.raises(InputError, match=r"archive's made_with\.bin can't be read"):
        saving.load_model(path)


def test_evaluate_takes_the_held_out_part(command, model, folder, tmp_path):
    code, out, errors = command("evaluate", model, folder)
    assert (code, len(errors)) == (0, 1), errors
    assert "of 5 held-out images (95 %" in out
    assert "was made with 15 of the 20 photographs of" in errors[0]
    assert "judged by the other 5; --all-images takes" in errors[0]

    code, run, errors = command("evaluate", model, model.parent)
    assert (code, run, errors) == (0, out, [])

    copy = shutil.copytree(folder, tmp_path / "copy")
    for number, path in enumerate(sorted(copy.glob("*/*.jpg"))):
        path.rename(path.with_name(f"x{number}.jpg"))
    assert command("evaluate", model, copy)[1] == out

    code, out, errors = command("evaluate", model, folder, "--all-images", "--strict")
    assert (code, len(errors)) == (0, 1)
    assert "of 20 images, 15 of them learned from, (95 %" in out
    assert "learned from 15 of these 20 photographs" in errors[0]
    code, _, errors = command("evaluate", model, folder, "--strict")
    assert code == 1
    assert "was made with 15" in errors[0]


def test_the_figure_is_that_of_the_held_out_part_alone(model, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "part", ignore=shutil.ignore_patterns("[012]*"))
    stranger = saving.load_model(model)
    del stranger._keras_effnet_made_with
    expected = evaluate_photos(stranger, tmp_path / "part")
    found = evaluate_photos(model, folder)
    assert found.probabilities.tolist() == expected.probabilities.tolist()
    assert found.labels.tolist() == expected.labels.tolist()
    assert (found.learned_from, expected.learned_from) == (0, None)


def test_of_strangers_nothing_is_claimed(command, model, folder):
    """They may be new, or copies that were saved anew."""
    for path in sorted(folder.glob("*/*.jpg")):
        Image.open(path).resize((20, 15)).save(path)
    code, out, errors = command("evaluate", model, folder)
    assert (code, errors) == (0, [])
    assert " of 20 images (95 %" in out
    assert evaluate_photos(model, folder).learned_from is None


def test_nothing_is_left(command, model, folder, held_out):
    for path in held_out:
        path.unlink()
    code, out, errors = command("evaluate", model, folder)
    assert (code, out, len(errors)) == (1, "", 1)
    assert "never judged by photographs that it was made with" in errors[0]
    assert "all 15 are such: give others, or insist by --all-images" in errors[0]
    code, out, _ = command("evaluate", model, folder, "--all-images")
    assert code == 0
    assert "of 15 images, 15 of them learned from" in out


def test_files_know_it_too(command, model, folder, held_out, tmp_path, caplog):
    """Calibrated by what was learned from, judged by what was held out."""
    (file,) = export(
        saving.load_model(model),
        tmp_path / "out",
        "int8",
        folder,
        evaluation=folder,
        calibration_images=10,
    )
    assert file.sheet.calibration.images == 10
    assert file.sheet.evaluation.images == 5
    assert file.sheet.evaluation.learned_from == 0
    assert "files are made with these too: the other 5 can judge them" in caplog.text
    known = made_with.from_text(sheet.read(file.path).made_with)
    assert known.tolist() == saving.read_made_with(model).tolist()
    assert load_classifier(file.path).made_with.tolist() == known.tolist()
    assert "of 5 held-out images" in command("evaluate", file.path, folder)[1]
    options = ("--runs", "1", "--seconds", "0", "--rounds", "1", "--json")
    code, out, errors = command("benchmark", file.path, "--evaluate", folder, *options)
    assert code == 0, errors
    assert json.loads(out)[0]["accuracy"]["images"] == 5


def test_one_folder_calibrates_and_judges_a_model_that_knows_nothing(
    tiny_model, folder, tmp_path
):
    (file,) = export(
        tiny_model, tmp_path, "int8", folder, evaluation=folder, calibration_images=8
    )
    assert (file.sheet.calibration.images, file.sheet.evaluation.images) == (8, 12)
    assert file.sheet.evaluation.learned_from == 0
    assert len(made_with.from_text(file.sheet.made_with)) == 8
    with pytest.raises(InputError, match="all 20 are such"):
        export(tiny_model, tmp_path / "all", "int8", folder, evaluation=folder)
    assert not (tmp_path / "all").exists()


def test_a_saved_model_knows_it(model, folder, tmp_path):
    from keras_effnet.export import write_saved_model

    path = write_saved_model(saving.load_model(model), tmp_path / "saved")
    assert evaluate_photos(path, folder).learned_from == 0


def test_it_is_kept_through_weights_and_conversion(model, folder, tmp_path):
    from keras_effnet.export.compression.compressing import _with_weights

    loaded = saving.load_model(model)
    expected = saving.read_made_with(model).tolist()
    assert saving.made_with(_with_weights(loaded, {})).tolist() == expected
    loaded.save(tmp_path / "again.keras")
    assert saving.read_made_with(tmp_path / "again.keras").tolist() == expected


@pytest.mark.parametrize(
    ("about", "match"),
    [
        ("{}", "not where they were: give a folder or a list"),
        ('{"photographs": "/no/such"}', "trained on '/no/such'"),
        ("[", "not where they were: give a folder or a list"),
        (None, "The run holds no model.keras"),
    ],
)
def test_runs_that_cannot_be_judged_by(command, model, tmp_path, about, match):
    if about is None:
        copy = model.rename(tmp_path / "other.keras")
        code, _, errors = command("evaluate", copy, tmp_path / "run")
    else:
        (tmp_path / "run" / "environment.json").write_text(about)
        code, _, errors = command("evaluate", model, tmp_path / "run")
    assert (code, len(errors)) == (1, 1)
    assert match in errors[0]
