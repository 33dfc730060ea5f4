"""The command export, as a user types it, mistakes included."""

import json

import keras
import numpy as np
import pytest
from conftest import one_line
from PIL import Image

from keras_effnet.data.photos import batches
from keras_effnet.evaluation import load_classifier


def test_export_writes_files_and_numbers(command, saved, copies, tmp_path):
    code, output, errors = command(
        "export", saved, "--precision", "float32,int8", "--calibrate", copies,
        "--output", tmp_path / "out",
    )  # fmt: skip
    assert code == 0
    (note,) = errors
    assert note.startswith("keras-effnet: note: few photographs (2)")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"tiny_{precision}.{suffix}"
        for precision in ("float32", "int8")
        for suffix in ("html", "json", "tflite")
    ]
    heading, first, second, refused = output.splitlines()
    assert refused.startswith("tiny_int8.tflite: int8 input, which MediaPipe")
    assert heading.split() == ["file", "MB", "operators", "in", "float", "ms"]
    assert "tiny_float32.tflite" in first
    assert "tiny_int8.tflite" in second
    sheet = json.loads((tmp_path / "out" / "tiny_int8.json").read_text())
    assert sheet["latency"]["median_ms"] > 0
    assert sheet["settings"]["command"].startswith("keras-effnet ")


@pytest.fixture
def judged(tiny_model, tmp_path):
    """Pictures with the classes that the Keras model gives them, and calibration
    photographs so dark that int8 must lose some."""
    random = np.random.default_rng(0)
    pictures, dark = tmp_path / "pictures", tmp_path / "dark"
    for folder, brightest in ((pictures, 256), (dark, 3)):
        folder.mkdir()
        for number in range(20):
            image = random.integers(0, brightest, (36, 36, 3), "uint8")
            Image.fromarray(image).save(folder / f"{number:02}.png")
    paths = sorted(pictures.iterdir())
    classifier = load_classifier(tiny_model)
    (images,) = batches(paths, classifier.input_shape, classifier.preprocessing)
    rows = [
        f"{path.name},{label}"
        for path, label in zip(paths, classifier.predict(images).argmax(1), strict=True)
    ]
    labels = pictures / "labels.csv"
    labels.write_text("\n".join(["file,class_index", *rows]))
    return labels, dark


def test_a_file_that_loses_too_much_is_kept_under_another_name(
    command, saved, judged, tmp_path
):
    labels, dark = judged
    options = (
        "--precision", "float32,int8", "--calibrate", dark, "--evaluate", labels,
        "--no-latency",
    )  # fmt: skip
    out = tmp_path / "strict"
    code, output, errors = command(
        "export", saved, *options, "--max-drop", "0.5", "--output", out
    )
    assert code == 1
    assert "More than --max-drop 0.5" in errors[-1]
    assert "tiny_int8-over-limit.tflite" in errors[-1]
    assert "tiny_float32" not in errors[-1]
    assert "100.0%" in output
    sheets = {path.stem: json.loads(path.read_text()) for path in out.glob("*.json")}
    assert sorted(sheets) == ["tiny_float32", "tiny_int8-over-limit"]
    assert sheets["tiny_float32"]["evaluation"]["drop"] == 0
    lost = sheets["tiny_int8-over-limit"]["evaluation"]
    assert lost["drop"] > 0.5
    assert lost["reference_top1"] == 1
    assert (out / "tiny_int8-over-limit.tflite").exists()
    code, _, _ = command(
        "export", saved, *options, "--max-drop", "100", "--output", tmp_path / "mild"
    )
    assert code == 0
    assert (tmp_path / "mild" / "tiny_int8.tflite").exists()


def test_export_judges_without_labels(command, saved, copies, photos, tmp_path):
    code, output, _ = command(
        "export", saved, "--precision", "float16", "--evaluate", copies,
        "--output", tmp_path / "out", "--no-latency",
    )  # fmt: skip
    assert code == 0
    assert "agrees" in output
    assert "100.0%" in output
    assert "drop" not in output


def test_calibration_and_evaluation_are_kept_apart(command, saved, copies, tmp_path):
    code, _, errors = command(
        "export", saved, "--precision", "int8", "--calibrate", copies,
        "--evaluate", copies, "--output", tmp_path / "out",
    )  # fmt: skip
    assert code == 1
    assert "never judged by photographs that it was made with" in errors[-1]
    assert "all 2 are such" in errors[-1]
    assert not (tmp_path / "out").exists()


def test_a_model_of_others_gets_pixels_and_the_user_is_told(command, copies, tmp_path):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    keras.Model(inputs, keras.layers.Dense(3)(x)).save(tmp_path / "other.keras")
    code, _, errors = command(
        "export", tmp_path / "other.keras", "--evaluate", copies, "--no-latency",
        "--output", tmp_path / "out",
    )  # fmt: skip
    assert code == 0
    guess, logits = errors
    assert "doesn't tell how photographs go in" in guess
    assert "answers with logits" in logits
    sheet = json.loads((tmp_path / "out" / "other_float32.json").read_text())
    assert sheet["evaluation"]["largest_difference"] < 1e-5


def test_one_models_file_does_not_replace_anothers(command, tiny_model, tmp_path):
    """Networks share a name: the file's is taken; where that is one too, refused."""

    def export(path, *arguments):
        path.parent.mkdir(exist_ok=True)
        tiny_model.save(path)
        out = ("--no-latency", "--output", tmp_path / "out")
        return command("export", path, *out, *arguments)

    for name in ("a", "b"):
        assert export(tmp_path / f"{name}.keras")[0] == 0
    found = {path.name for path in (tmp_path / "out").glob("*.tflite")}
    assert found == {"a_float32.tflite", "b_float32.tflite"}
    assert export(tmp_path / "a.keras")[0] == 0
    before = (tmp_path / "out" / "a_float32.json").read_bytes()
    line = one_line(export(tmp_path / "other" / "a.keras"))
    assert "there already, of another model" in line
    assert (tmp_path / "out" / "a_float32.json").read_bytes() == before
    assert export(tmp_path / "other" / "a.keras", "--name", "c")[0] == 0


@pytest.mark.slow  # each format has tests of its own
def test_export_writes_every_format(command, saved, tmp_path):
    pytest.importorskip("tf2onnx", reason="tf2onnx is not installed")
    out = tmp_path / "out"
    for number, formats in ((1, "saved_model,keras,onnx"), (2, "saved_model,keras")):
        code, output, errors = command(
            "export", saved, "--format", formats, "--output", out
        )
        assert (code, errors) == (0, [])
        files = "tiny_saved_model", "tiny.keras", "tiny.onnx"
        written = [str(out / name) for name in files[: 1 + formats.count(",")]]
        written[0] += f"/{number}"
        assert output.splitlines() == written


def test_export_writes_samples(command, saved, tmp_path):
    code, _, errors = command(
        "export", saved, "--samples", "--no-latency", "--output", tmp_path
    )
    assert (code, errors) == (0, [])
    names = {path.name for path in (tmp_path / "tiny_float32_samples").iterdir()}
    assert {"classify.py", "Classifier.kt", "Classifier.swift", "classify.cc"} <= names
    apps = (saved, "--samples", "android-app,ios-app", "--no-latency")
    code, _, errors = command("export", *apps, "--name", "b", "--output", tmp_path)
    assert (code, errors) == (0, [])
    names = {path.name for path in (tmp_path / "b_float32_samples").iterdir()}
    assert names == {"android-app", "ios-app"}


def test_export_refuses(command, saved, copies, tmp_path):
    (tmp_path / "z.jpg").write_bytes(b"no photograph")
    (tmp_path / "file").write_text("kept")
    int8 = ("--precision", "int8")
    for arguments, message in (
        ((saved, *int8), "without --calibrate"),
        ((saved, *int8, "--calibrate", tmp_path / "no"), "no such file or folder"),
        ((saved, *int8, "--calibrate", tmp_path / "z.jpg"), "z.jpg (no image)"),
        (
            (saved, *int8, "--calibrate", copies, "--calibration-images", "0"),
            "--calibration-images must be at least 1",
        ),
        ((saved, "--precision", "int9"), "Did you mean 'int8'"),
        ((tmp_path / "no.keras",), "no such .keras file"),
        ((tmp_path / "no.tflite",), "starts from a .keras file"),
        ((saved, "--weights", "w.h5"), "has its weights"),
        ((saved, "--output", tmp_path / "file"), "can't be written"),
        (("EfficientNetB9",), "Did you mean"),
        ((saved, "--format", "tflit"), "Did you mean 'tflite'"),
        ((saved, "--batch-size", "0"), "--batch-size must be a whole number"),
        ((saved, "--input-type", "int4"), "`input_type` must be one of"),
        ((saved, "--engine", "litter"), "Did you mean 'litert'"),
        ((saved, "--format", "onnx", "--max-drop", "1"), "is for .tflite files"),
        (
            (saved, "--format", "keras", "--output", saved.parent),
            "would replace the one",
        ),
        ((saved, "--max-drop", "1"), "needs labelled images"),
        ((saved, "--max-drop", "-1", "--evaluate", copies), "from 0 to 100"),
    ):
        out = () if "--output" in arguments else ("--output", tmp_path / "out")
        line = one_line(command("export", *arguments, *out))
        assert message in line
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "file").read_text() == "kept"
