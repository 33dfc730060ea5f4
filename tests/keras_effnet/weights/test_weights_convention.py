"""Of which network a file's weights are: how it pads, and what its repository says."""

import argparse
import json

import peer
import pytest
from file_server import FileServer
from test_weights_torch import _import_torchvision
from test_weights_torch import _logits
from test_weights_torch import _pixels
from test_weights_torch import _shake
from test_weights_torch import _written
from test_weights_torch import torch

import keras_effnet
from keras_effnet import notes
from keras_effnet import preprocessing
from keras_effnet import saving
from keras_effnet import weights
from keras_effnet.errors import InputError
from keras_effnet.weights import load_weights


@pytest.fixture(scope="module")
def symmetric():
    """A tiny network of timm that pads symmetrically, and what it answers."""
    _import_torchvision()
    efficientnet = pytest.importorskip("timm.models.efficientnet")
    network = efficientnet._gen_efficientnet("efficientnet_b0", 0.25, 0.25)
    _shake(network, (32, 32))
    return network.state_dict(), _logits(network, (32, 32))


def _small(**options):
    spec = keras_effnet.scaled_spec("EfficientNetB0", 0.25, 0.25, 32, "efficientnetb0")
    options = {"include_preprocessing": False, "input_shape": (32, 32, 3), **options}
    return keras_effnet.build_model(spec, classifier_activation=None, **options)


def _answers(model, expected):
    return peer.relative_error(model(_pixels((32, 32))), expected) < 1e-4


def test_a_bare_state_dict_is_taken_as_told(symmetric, tmp_path, caplog):
    state, expected = symmetric
    path = _written(state, tmp_path / "best.safetensors")
    model = _small(weights=path)
    assert not _answers(model, expected)
    (note,) = caplog.messages
    assert "best.safetensors does not say how its network pads: taken for" in note
    assert "padding='same'" in note
    assert "build it with padding='symmetric'" in note
    caplog.clear()
    assert _answers(_small(weights=path, padding="symmetric"), expected)
    assert not caplog.messages
    with notes.strict(), pytest.raises(InputError, match="does not say how its net"):
        _small(weights=path)


def test_what_a_checkpoint_calls_its_network(symmetric, tmp_path, caplog):
    state, expected = symmetric
    asked = argparse.Namespace(model="efficientnet_b0")
    for number, beside in enumerate(
        (
            {"arch": "efficientnet_b0"},
            {"args": asked},
            {"hyper_parameters": vars(asked)},
        )
    ):
        path = tmp_path / f"{number}.ckpt"
        torch.save({"state_dict": state, **beside}, path)
        assert _answers(_small(weights=path), expected)
    assert not caplog.messages
    load_weights(_small(), path)
    (note,) = caplog.messages
    assert (
        "was trained with padding='symmetric', and the model has padding='same'" in note
    )


def test_a_files_name_is_a_guess_that_is_told(symmetric, tmp_path, caplog):
    state, expected = symmetric
    model = _small(weights=_written(state, tmp_path / "efficientnet_b0.safetensors"))
    assert _answers(model, expected)
    assert "taken for padding='symmetric'" in caplog.text
    caplog.clear()
    _small(weights=_written(state, tmp_path / "tf_efficientnet_b0.safetensors"))
    assert not caplog.messages


def test_what_keras_saved_keeps_its_padding(symmetric, tmp_path, caplog):
    state, expected = symmetric
    path = _written(state, tmp_path / "efficientnet_b0.safetensors")
    model = _small(weights=path, padding="symmetric")
    for name in ("a.keras", "a.h5"):
        model.save(tmp_path / name)
        assert _answers(_small(weights=tmp_path / name), expected)
    assert [m for m in caplog.messages if "legacy" not in m] == []
    caplog.clear()
    model.save_weights(tmp_path / "a.weights.h5")
    _small(weights=tmp_path / "a.weights.h5")
    assert "does not say how its network pads" in caplog.text
    again = _small(weights=tmp_path / "a.weights.h5", padding="symmetric")
    assert _answers(again, expected)


def test_a_head_of_several_layers(symmetric, tmp_path):
    state, _ = symmetric
    state = {k: v for k, v in state.items() if not k.startswith("classifier")}
    head = torch.nn.Sequential(torch.nn.Linear(320, 8), torch.nn.Linear(8, 5))
    state |= {f"classifier.{name}": value for name, value in head.state_dict().items()}
    path = _written(state, tmp_path / "tf_efficientnet_b0.safetensors")
    with pytest.raises(InputError, match=r"more than one layer, it has classifier\.0"):
        _small(weights=path, classes=5)
    _small(weights=path, include_top=False)


def _repository(folder, state, **told):
    pretrained = {
        "tag": "ra4_e3600_r224_in1k",
        "input_size": [3, 224, 224],
        "test_input_size": [3, 256, 256],
        "crop_pct": 0.9,
        "test_crop_pct": 1.0,
        "interpolation": "bicubic",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
    }
    config = {"architecture": "efficientnet_b0", "num_classes": 1000, **told}
    folder.mkdir()
    content = json.dumps({"pretrained_cfg": pretrained, **config})
    (folder / "config.json").write_text(content)
    _written(state, folder / "model.safetensors")
    return folder


def test_a_repository_of_the_hub(symmetric, tmp_path, caplog, monkeypatch):
    state, expected = symmetric
    folder = _repository(tmp_path / "there", state)
    base = "/huggingface/timm/b0/resolve/main/"
    server = FileServer({base + p.name: p.read_bytes() for p in folder.iterdir()})
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with server.running():
        monkeypatch.setenv("KERAS_EFFNET_MIRROR", server.address)
        model = _small(weights="hf://timm/b0")
    assert _answers(model, expected)
    for place in (folder, "hf://timm/b0"):  # the second from the cache
        model = _small(weights=place)
        assert _answers(model, expected)
        assert saving.class_names(model)[0] == "tench"
    rule = weights.locate(folder, "EfficientNetB0").preprocessing(256)
    assert (rule.mean, rule.std) == ((127.5,) * 3, (127.5,) * 3)
    assert rule.crop_fraction == 1.0
    assert preprocessing.at_size(rule, 224).crop_fraction == 0.9
    assert not caplog.messages


def test_somebodys_own_classes_in_a_folder(tmp_path):
    _import_torchvision()
    network = pytest.importorskip("timm").create_model("efficientnet_b0", num_classes=3)
    names = ["daisy", "rose", "tulip"]
    state = _shake(network, (32, 32)).state_dict()
    told = {"num_classes": 3, "label_names": names}
    folder = _repository(tmp_path / "there", state, **told)
    model = keras_effnet.create_model(
        str(folder), input_shape=(None, None, 3), classifier_activation=None
    )
    assert saving.class_names(model) == tuple(names)
    pixels = (_pixels((32, 32)) + 1) * 127.5
    assert peer.relative_error(model(pixels), _logits(network, (32, 32))) < 1e-4


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"architecture": "efficientnet_b1"}, "of EfficientNetB1, not of Efficient"),
        (
            {"architecture": "resnet50"},
            "Its architecture is resnet50, and the networks",
        ),
        ({"architectures": ["EfficientNetForImageClassification"]}, None),
        ({"pretrained_cfg": {"mean": "white"}}, "config.json is none of timm's"),
        ({"num_classes": "many"}, "config.json is none of timm's"),
    ],
)
def test_a_repository_that_does_not_fit(symmetric, told, message, tmp_path):
    folder = _repository(tmp_path / "there", symmetric[0], **told)
    if message is None:
        (folder / "config.json").write_text(json.dumps(told))
        message = "Its architecture is None"
    with pytest.raises(InputError, match=message) as error:
        _small(weights=folder)
    assert str(folder) in str(error.value)


@pytest.mark.parametrize(
    "address",
    ["hf://timm", "hf://a/b/c", "hf:///b", "hf://../b", "hf://a/b@../c", "hf://a/b?c"],
)
def test_no_repository_has_this_address(address):
    with pytest.raises(InputError, match="is named hf://OWNER/NAME"):
        _small(weights=address)
