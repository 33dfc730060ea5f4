import csv
import importlib.machinery
import importlib.util
import pathlib

import conftest
import numpy as np
import pytest

from keras_effnet import class_names
from keras_effnet.class_names import decode_predictions
from keras_effnet.class_names import imagenet_classes
from keras_effnet.errors import InputError
from keras_effnet.weights import Located
from keras_effnet.weights import table


def test_the_thousand_names():
    classes = imagenet_classes()
    assert len(set(classes)) == 1000
    # The ends, and a pair that lists of names often merge.
    assert classes[0] == ("n01440764", "tench")
    assert classes[999][1].startswith("toilet")
    assert classes[134] != classes[517]
    assert [wnid for wnid, _ in classes] == sorted(wnid for wnid, _ in classes)


@pytest.fixture
def names_anew():
    class_names.imagenet12k_names.cache_clear()
    yield class_names.imagenet12k_names
    class_names.imagenet12k_names.cache_clear()


def test_the_names_that_timm_has(names_anew):
    if importlib.util.find_spec("timm") is None:
        pytest.skip("timm is not installed")
    names = names_anew()
    assert len(names) == 11821
    assert names[0] == "benthos"
    assert "tench, Tinca tinca" in names
    (row,) = table.find("EfficientNetB5", "in12k")
    located = Located(pathlib.Path("model.safetensors"), row)
    assert located.class_names(11821) == names
    assert located.class_names(1000) is None


@pytest.mark.parametrize("there", [False, True])
def test_without_timm_there_are_no_names(names_anew, there, monkeypatch, tmp_path):
    spec = importlib.machinery.ModuleSpec("timm", None, is_package=True)
    spec.submodule_search_locations.append(str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec if there else None)
    assert names_anew() is None


def test_names_are_those_of_the_data_set():
    path = conftest.shared_file("data/imagenet_classes.csv")
    rows = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    assert [row["wnid"] for row in rows] == [wnid for wnid, _ in imagenet_classes()]


def test_decoding():
    probabilities = np.zeros((2, 1000))
    probabilities[0, [3, 1]] = 0.25, 0.75
    probabilities[1, 999] = 1
    first, second = decode_predictions(probabilities, top=2)
    assert [p.name for p in first] == [imagenet_classes()[i][1] for i in (1, 3)]
    assert [p.probability for p in first] == [0.75, 0.25]
    assert second[0].id == imagenet_classes()[999][0]


def test_other_classes():
    rows = np.array([[0.1, 0.9]])
    ((best, _),) = decode_predictions(rows, class_names=["cat", "dog"])
    assert (best.name, best.id) == ("dog", "1")
    assert decode_predictions(rows)[0][0].name == "class 1"
    with pytest.raises(InputError, match=r"each of the 2 classes.*1 names"):
        decode_predictions(rows, class_names=["cat"])
    with pytest.raises(InputError, match=r"shape=\(2,\)"):
        decode_predictions(rows[0])
