"""The names that the pages use after `import keras_effnet`, and nothing else."""

import pathlib
import re
import subprocess
import sys

import pytest

import keras_effnet
from keras_effnet.errors import InputError

ROOT = pathlib.Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_NAME = r"(?<![\w/.@-])keras_effnet((?:\.[A-Za-z]\w*)+)(?!\.\w|/|\w)"


def _named():
    for page in PAGES:
        for path in re.findall(_NAME, page.read_text(encoding="utf-8")):
            if not path.endswith((".json", ".py")):
                yield path[1:]


def test_what_pages_name_is_there_after_one_import():
    names = sorted({*_named(), "saving.attach", "tflite.TFLiteModel", "costs"})
    names += ["data.photos", "data.split", "training.recipes", "benchmarks.report"]
    program = f"""
import operator, keras_effnet
for name in {names}:
    operator.attrgetter(name)(keras_effnet)
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_the_package_is_light_and_lists_what_it_has():
    program = "import sys, keras_effnet; assert not {'keras', 'numpy'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
    for name in keras_effnet.__all__:
        assert getattr(keras_effnet, name) is not None
    for name in ("nonsense", "_nonsense"):
        for package in (keras_effnet, keras_effnet.data, keras_effnet.export):
            assert not hasattr(package, name)


def test_the_road_is_at_the_top():
    assert keras_effnet.train is keras_effnet.training.train
    assert keras_effnet.quantize is keras_effnet.export.quantize
    assert keras_effnet.evaluate is keras_effnet.evaluation.evaluate
    assert keras_effnet.export.__call__ is keras_effnet.export.export
    with pytest.raises(InputError, match="model must be"):
        keras_effnet.export("no model", "folder")


def test_short_names():
    assert keras_effnet.list_models("*lite*") == [
        f"EfficientNetLite{number}" for number in range(5)
    ]
    assert keras_effnet.list_models() == list(keras_effnet.SPECS)
    model = keras_effnet.create_model("lite0", classes=5, input_shape=(32, 32, 3))
    assert (model.name, model.output_shape) == ("efficientnet-lite0", (None, 5))


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("B0", "EfficientNetB0"),
        ("v2-s", "EfficientNetV2S"),
        ("edgetpu_s", "EfficientNetEdgeTPUS"),
        ("EFFICIENTNET-V2-B0", "EfficientNetV2B0"),
    ],
)
def test_every_way_to_write_a_name(name, found):
    assert keras_effnet.specs.get_spec(name).name == found


@pytest.mark.parametrize("name", ["Lite", "efficientnet-lite", "lite9", "edge"])
def test_a_part_of_a_name_suggests(name):
    with pytest.raises(InputError, match=f"Did you mean '.*Received: '{name}'"):
        keras_effnet.specs.get_spec(name)


@pytest.mark.parametrize("name", ["", "efficientnet", "resnet50"])
def test_what_is_no_name_lists_them(name):
    with pytest.raises(InputError, match=f"The 26 networks are.*Received: '{name}'"):
        keras_effnet.specs.get_spec(name)


def test_what_a_migrant_looks_for():
    images = [[[[0, 128, 255]]]]
    assert keras_effnet.preprocess_input(images) is images
    (found,) = keras_effnet.decode_predictions([[0.1, 0.9]], top=1)
    assert found[0][1] == "class 1"
