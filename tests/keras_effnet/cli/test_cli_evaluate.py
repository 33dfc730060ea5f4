"""keras-effnet evaluate: one command for every form of a model."""

import json

import numpy as np
import pytest

from keras_effnet import saving
from keras_effnet.evaluation import Evaluation
from keras_effnet.evaluation import labelled_photos
from keras_effnet.export import export
from keras_effnet.export.tracing import freeze

NAMES = ("flower", "house", "tree", "cat", "dog")


@pytest.fixture(scope="module")
def forms(tiny_model, tmp_path_factory):
    """One model with names for its classes, as Keras and .tflite file."""
    folder = tmp_path_factory.mktemp("forms")
    path = folder / "tiny.keras"
    tiny_model.save(path)
    model = saving.load_model(path)
    saving.attach(model, saving.attached(model), NAMES)
    model.save(path)
    (file,) = export(model, folder)
    return {"keras": path, "tflite": file.path}


@pytest.fixture
def labelled(photos, tmp_path):
    """A folder of a house and a flower, the flower twice."""
    for name, photo in (("house/a", photos[0]), ("flower/a", photos[1])):
        path = tmp_path / "photos" / f"{name}.jpg"
        path.parent.mkdir(parents=True)
        path.symlink_to(photo)
    (tmp_path / "photos/flower/b.jpg").symlink_to(photos[1])
    return tmp_path / "photos"


@pytest.mark.parametrize("form", ["keras", "tflite"])
def test_each_form(command, forms, labelled, form):
    code, out, errors = command("evaluate", forms[form], labelled, "--json")
    assert (code, errors) == (0, [])
    found = json.loads(out)
    assert found["images"] == 3
    confusion = np.array(found["confusion"])
    assert confusion.sum(axis=1).tolist() == [2, 1, 0, 0, 0]
    assert found["top1"] == pytest.approx(confusion.trace() / 3)
    assert found["top5"] == 1.0
    assert [row["class"] for row in found["classes"]] == list(NAMES)
    assert found["classes"][3]["recall"] is None
    code, out, _ = command("evaluate", forms[form], labelled, "--per-class")
    assert out.startswith("top-1 ")
    assert [line.split()[0] for line in out.splitlines()[1:]] == [
        "class",
        "flower",
        "house",
    ]


def test_the_forms_agree(command, forms, labelled):
    outs = [
        command("evaluate", forms[form], labelled, "--json")[1]
        for form in ("keras", "tflite")
    ]
    assert outs[0] == outs[1]


def test_figures_against_hand_counted_ones():
    probabilities = np.eye(3)[[0, 0, 1, 2, 1]] * 0.5 + 0.1
    probabilities[4, 1] = 0.9
    found = Evaluation(probabilities, np.array([0, 1, 1, 2, 2]))
    assert found.confusion.tolist() == [[1, 0, 0], [1, 1, 0], [0, 1, 1]]
    assert found.mistakes == [4, 1]
    rows = found.per_class(["a", "b", "c"])
    assert [row["recall"] for row in rows] == [1, 0.5, 0.5]
    assert [row["precision"] for row in rows] == [0.5, 0.5, 1]


class _Classifier:
    class_names = None
    classes = 1000


def test_imagenet_folders_are_names_or_ids(photos, tmp_path):
    for name in ("tench", "n01443537"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpg").symlink_to(photos[0])
    paths, labels = labelled_photos(tmp_path, _Classifier)
    assert [path.parent.name for path in paths] == ["n01443537", "tench"]
    assert labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (["hose"], "Did you mean 'house'"),
        ([], "has no folders"),
        (["house"], "hold none: house"),
    ],
)
def test_folders_that_do_not_fit(command, forms, make, match, photos, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in make:
        (folder / name).mkdir()
        if name != "house":
            (folder / name / "a.jpg").symlink_to(photos[0])
    code, _, errors = command("evaluate", forms["tflite"], folder)
    assert (code, len(errors)) == (1, 1)
    assert match in errors[0]


def test_classes_without_names_need_as_many_folders(command, tiny_files, labelled):
    file = tiny_files["float32"]
    code, _, errors = command("evaluate", file, labelled)
    assert (code, len(errors)) == (1, 1)
    assert "5 classes without names" in errors[0]


def test_a_saved_model(command, tiny_model, tmp_path, photos):
    freeze(tiny_model, tmp_path / "saved")
    rows = ["file,class_index", f"{photos[0]},0", f"{photos[1]},4"]
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    code, out, _ = command("evaluate", tmp_path / "saved", tmp_path / "labels.csv")
    assert code == 0
    assert "of 2 images" in out
