"""`weights="imagenet"`: from the server to a model that answers, and after that
without the server."""

import dataclasses
import hashlib
import json
import logging
import sys

import keras
import numpy as np
import peer
import pytest
from file_server import FileServer

import keras_effnet
from keras_effnet import preprocessing
from keras_effnet.errors import InputError
from keras_effnet.specs import SPECS
from keras_effnet.weights import load_weights
from keras_effnet.weights import table

pytestmark = pytest.mark.usefixtures("two_stages")
NAME = "EfficientNetLite0"


@pytest.fixture(scope="module")
def trained(two_stages):
    model = keras_effnet.EfficientNetLite0()
    peer.randomize(model, peer.images(224, 224, batch=2))
    return model


@pytest.fixture
def server(trained, tmp_path, monkeypatch):
    """Serves two sets of Lite0, each with and without the classifier."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("KERAS_EFFNET_MIRROR", raising=False)
    trained.save_weights(tmp_path / "top.weights.h5")
    trunk = keras.Model(trained.input, trained.get_layer("top_activation").output)
    trunk.save_weights(tmp_path / "notop.weights.h5")
    names = ("top.weights.h5", "notop.weights.h5")
    server = FileServer({f"/{x}": (tmp_path / x).read_bytes() for x in names})
    with server.running():
        found = table.find(NAME, "imagenet@lite-keras", include_top=False)
        rows = []
        for row in found:
            file = "top.weights.h5" if row.include_top else "notop.weights.h5"
            digest = hashlib.md5(server.files[f"/{file}"]).hexdigest()
            rows.append(
                dataclasses.replace(
                    row, url=f"{server.address}/{file}", hash=f"md5:{digest}"
                )
            )
        # Weights of another kind of pixels.
        rule = preprocessing.Preprocessing((127.5,), (127.5,), "bicubic", None)
        rows += [
            dataclasses.replace(row, name="advprop", preprocessing=rule) for row in rows
        ]
        monkeypatch.setattr(table, "published", lambda: tuple(rows))
        yield server


def test_a_set_by_its_name(server, trained, monkeypatch):
    model = keras_effnet.EfficientNetLite0(weights="imagenet")
    pixels = peer.images(224, 224, batch=1)
    np.testing.assert_array_equal(model(pixels), trained(pixels))
    assert [path for path, _ in server.requests] == ["/top.weights.h5"]

    def refuse(*args):
        raise OSError(101, "Network is unreachable")

    # Now without a network, for another image size, by either door.
    monkeypatch.setattr("socket.socket.connect", refuse)
    small = keras_effnet.EfficientNetLite0(weights="imagenet", input_shape=(32, 32, 3))
    other = keras_effnet.EfficientNetLite0(input_shape=(32, 32, 3))
    load_weights(other, "imagenet@lite-keras")
    pixels = peer.images(32, 32)
    np.testing.assert_array_equal(small(pixels), other(pixels))
    assert len(server.requests) == 1


def test_the_set_brings_its_preprocessing(server, trained, tmp_path):
    model = keras_effnet.EfficientNetLite0(weights="advprop")
    rule = preprocessing.for_weights(NAME, "advprop")
    assert preprocessing.for_weights(model) == rule
    assert rule.mean == (127.5,)
    outside = keras_effnet.EfficientNetLite0(
        weights="advprop", include_preprocessing=False
    )
    pixels = peer.images(224, 224, batch=1)
    actual = outside(rule.normalized(pixels))
    assert peer.relative_error(actual, model(pixels)) <= 1e-5
    # The imagenet set's pixels give something else.
    assert peer.relative_error(trained(pixels), model(pixels)) > 1e-4


def test_without_the_classifier_the_smaller_file_is_fetched(server, trained, caplog):
    options = {"input_shape": (32, 32, 3)}
    trunk = keras_effnet.EfficientNetLite0(
        weights="imagenet", include_top=False, **options
    )
    with caplog.at_level(logging.WARNING, "keras_effnet"):
        five = keras_effnet.EfficientNetLite0(weights="imagenet", classes=5, **options)
    assert [path for path, _ in server.requests] == ["/notop.weights.h5"]
    assert caplog.messages == [
        "notop.weights.h5 holds no classifier: the model's, of 5, starts random."
    ]
    for model in (trunk, five):
        np.testing.assert_array_equal(
            model.get_layer("top_conv").kernel, trained.get_layer("top_conv").kernel
        )


def test_commands_take_a_set(server, command, photos, tmp_path):
    code, out, errors = command(
        "predict", photos[0], "--model", NAME, "--weights", "imagenet", "--json"
    )
    assert (code, errors) == (0, [])
    assert len(json.loads(out)[0]["predictions"]) == 5
    code, _, errors = command(
        "predict", photos[0], "--model", NAME, "--weights", "imagnet"
    )
    assert (code, len(errors)) == (1, 1)
    assert "Did you mean 'imagenet'?" in errors[0]


def test_without_pytorch_another_source_is_taken(monkeypatch):
    def fetch(row, progress):
        raise LookupError(row.source)

    monkeypatch.setattr("keras_effnet.weights.store.fetch", fetch)
    build = keras_effnet.EfficientNetEdgeTPUS
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(LookupError, match="google"):
        build(weights="imagenet")
    with pytest.raises(InputError, match="served as a PyTorch file: pip install"):
        build(weights="imagenet@timm")


@pytest.mark.parametrize("name", SPECS)
def test_every_network_has_a_set_or_says_which(name, monkeypatch):
    """Before anything is built or fetched."""

    def fetch(row, progress):
        raise LookupError(row.name)

    monkeypatch.setattr("keras_effnet.weights.store.fetch", fetch)
    monkeypatch.setattr("keras_effnet.weights._is_readable", lambda row: True)
    for wanted in ("imagenet", "imagenet21k", "noisy-student", "advprop"):
        build = getattr(keras_effnet, name)
        if wanted in table.sets_of(name):
            with pytest.raises(LookupError, match=wanted):
                build(weights=wanted)
        else:
            with pytest.raises(InputError, match="has no such weights") as caught:
                build(weights=wanted)
            for own in table.sets_of(name):
                assert own in str(caught.value)
