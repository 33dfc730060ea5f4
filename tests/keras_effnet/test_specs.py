"""The tables: names, look-up, and the notation of the papers."""

import dataclasses
import subprocess
import sys

import pytest

from keras_effnet.errors import InputError
from keras_effnet.specs import SPECS
from keras_effnet.specs import Stage
from keras_effnet.specs import get_spec


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("EfficientNetB0", "EfficientNetB0"),
        ("efficientnetv2-s", "EfficientNetV2S"),
        ("efficientnetv2_s", "EfficientNetV2S"),
        ("EFFICIENTNET-LITE4", "EfficientNetLite4"),
        ("efficientnet-edgetpu-S", "EfficientNetEdgeTPUS"),
        ("EfficientNet B7", "EfficientNetB7"),
    ],
)
def test_a_name_is_found_however_it_is_written(name, found):
    assert get_spec(name) is SPECS[found]


@pytest.mark.parametrize("name", SPECS)
def test_both_names_of_every_network_are_found(name):
    assert SPECS[name].name == name
    assert get_spec(name) is SPECS[name]
    assert get_spec(SPECS[name].model_name) is SPECS[name]


def test_there_are_26_networks_with_names_of_their_own():
    assert len(SPECS) == 26
    assert len({spec.model_name for spec in SPECS.values()}) == 26


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("EfficentNetB0", "EfficientNetB0"),
        ("efficientnet-light0", "EfficientNetLite0"),
        ("EfficientNetV2-Small", "EfficientNetV2S"),
        ("EfficientNetEdgeTPU", "EfficientNetEdgeTPUS"),
    ],
)
def test_an_unknown_name_offers_the_nearest(name, near):
    with pytest.raises(InputError) as caught:
        get_spec(name)
    message = str(caught.value)
    assert near in message.partition("?")[0]
    assert all(valid in message for valid in SPECS)
    assert message.endswith(f"Received: {name!r}")
    assert "\n" not in message


def test_a_name_like_none_offers_only_the_list():
    with pytest.raises(InputError) as caught:
        get_spec("resnet50")
    assert "Did you mean" not in str(caught.value)


def test_an_operator_reads_as_in_the_papers():
    stage = Stage("Fused-MBConv4, k3x3", 2, 48, 4)
    assert (stage.fused, stage.expand_ratio, stage.kernel_size) == (True, 4, 3)
    stage = Stage("MBConv6, k5x5", 2, 40, 2, 0.25)
    assert (stage.fused, stage.expand_ratio, stage.kernel_size) == (False, 6, 5)
    wrong = "MBConv6 k5x5"
    with pytest.raises(InputError, match=f"Received: operator='{wrong}'"):
        dataclasses.replace(stage, operator=wrong)


def test_the_tables_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SPECS["EfficientNetB0"].width = 2.0


def test_the_tables_need_no_keras():
    code = "import sys, keras_effnet.specs, keras_effnet.scaling, keras_effnet.costs"
    code += "; assert not {'keras', 'tensorflow', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
