"""The sheet beside an exported file."""

import dataclasses
import json
import pathlib

import pytest

from keras_effnet import sheet
from keras_effnet.errors import InputError
from keras_effnet.paired import Comparison
from keras_effnet.rule import Preprocessing
from keras_effnet.sheet import Calibration
from keras_effnet.sheet import Latency
from keras_effnet.sheet import Sheet
from keras_effnet.sheet import Tensor

COMPARISON = Comparison(
    images=200,
    top1=0.8,
    top1_interval=(0.7, 0.9),
    reference_top1=0.81,
    reference_top1_interval=(0.7, 0.9),
    drop=1.0,
    drop_interval=(-0.5, 2.5),
    lost=3,
    gained=1,
    agreement=0.98,
    agreement_interval=(0.95, 0.99),
    mean_difference=0.001,
    largest_difference=0.1,
)
ROW = dict.fromkeys(sheet.LayerError.__annotations__, 0.5) | {"name": "a"}
WHOLE = Sheet(
    model="tiny",
    precision="int8",
    preprocessing=Preprocessing((127.0,), (128.0,), included=False),
    class_names=("ant", "bee"),
    input=Tensor("images", (1, 32, 32, 3), "int8", 1.0, -1, True),
    output=Tensor("probabilities", (1, 2), "int8", 1 / 256, -128),
    operators={"CONV_2D": 3},
    waste=(),
    calibration=Calibration(200, "min-max", "5f1f"),
    evaluation=COMPARISON,
    max_drop=0.5,
    verdict="over the limit",
    layer_errors=(ROW,),
    latency=Latency(1.5, 2.0, 1, 300, None, "A processor"),
    settings={"command": "keras-effnet export"},
)
# As the first version wrote it.
OLD = {
    "model": "tiny",
    "precision": "int8",
    "preprocessing": {
        "mean": [127.0],
        "std": [128.0],
        "interpolation": "bilinear",
        "crop_padding": 32,
        "included": True,
    },
    "class_names": None,
    "calibration": {"images": 3, "method": "min-max", "sha256": "5f1f"},
    "input": {"name": "images", "shape": [1, 32, 32, 3], "dtype": "int8"},
    "evaluation": COMPARISON.as_json(),
}


def test_it_comes_back_from_its_file(tmp_path):
    path = tmp_path / "tiny_int8.tflite"
    sheet.write(WHOLE, path)
    assert sheet.read(path) == WHOLE
    assert WHOLE.over_limit


def test_the_file_is_plain_json(tmp_path):
    path = tmp_path / "tiny_int8.tflite"
    sheet.write(
        dataclasses.replace(WHOLE, settings={"images": pathlib.Path("a")}), path
    )
    values = json.loads((tmp_path / "tiny_int8.json").read_text())
    assert values["schema_version"] == sheet.SCHEMA_VERSION
    assert values["input"]["shape"] == [1, 32, 32, 3]
    assert values["evaluation"] == COMPARISON.as_json()
    assert values["settings"] == {"images": "a"}
    assert values["training"] is None


def test_one_of_the_first_version(tmp_path):
    (tmp_path / "old.json").write_text(json.dumps(OLD))
    old = sheet.read(tmp_path / "old.tflite")
    assert old.schema_version == 1
    assert old.preprocessing == Preprocessing((127.0,), (128.0,), "bilinear")
    assert old.input == Tensor("images", (1, 32, 32, 3), "int8")
    assert old.evaluation == COMPARISON
    assert (old.latency, old.verdict) == (None, None)
    assert not old.over_limit


@pytest.mark.parametrize("text", [None, "", "[1]", "{", '"text"'])
def test_no_sheet(text, tmp_path):
    if text is not None:
        (tmp_path / "a.json").write_text(text)
    assert sheet.read(tmp_path / "a.tflite") is None


@pytest.mark.parametrize("key", ["preprocessing", "class_names", "input", "latency"])
@pytest.mark.parametrize("value", ["text", 3, {"mean": []}])
def test_what_is_no_such_value_is_left_out(key, value):
    found = getattr(Sheet.from_dict({"model": "a", key: value, "later": 1}), key)
    assert found in (None, Tensor(), Latency())


def test_a_folder_in_the_way(tmp_path):
    (tmp_path / "a.json").mkdir()
    with pytest.raises(InputError, match=r"can't be written.*a\.json"):
        sheet.write(WHOLE, tmp_path / "a.tflite")
