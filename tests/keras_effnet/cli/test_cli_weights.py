"""keras-effnet weights: list, info, download, verify, convert."""

import dataclasses
import hashlib
import json
import zipfile

import keras
import numpy as np
import peer
import pytest

import keras_effnet
from keras_effnet import preprocessing
from keras_effnet.specs import SPECS
from keras_effnet.weights import store
from keras_effnet.weights import table

pytestmark = pytest.mark.usefixtures("two_stages")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KERAS_EFFNET_MIRROR", raising=False)
    return tmp_path / "home"


def _refused(result, match):
    code, _, errors = result
    assert code == 1
    assert len(errors) == 1
    assert errors[0].startswith("keras-effnet: error: ")
    assert match in errors[0]


def test_every_network_and_set_is_listed(command):
    code, out, errors = command("weights", "list")
    assert (code, errors) == (0, [])
    lines = out.splitlines()
    for name in SPECS:
        assert any(line.startswith(name + " ") for line in lines)
    (line,) = (x for x in lines if x.startswith("EfficientNetB7 ") and "noisy" in x)
    cells = ["EfficientNetB7", "noisy-student", "86.9", "1000", "600", "same"]
    assert line.split()[:6] == cells
    (line,) = (x for x in lines if x.startswith("EfficientNetB0 ") and "ra4" in x)
    cells = ["EfficientNetB0", "ra4", "79.4", "1000", "256", "symmetric", "timm"]
    assert line.split() == cells


def test_the_list_is_narrowed(command):
    _, out, _ = command("weights", "list", "--model", "efficientnetv2s")
    assert {line.split()[0] for line in out.splitlines()[1:-1]} == {"EfficientNetV2S"}
    _, out, _ = command("weights", "list", "--source", "lite-keras", "--json")
    assert len(json.loads(out)) == 10
    _, out, _ = command("weights", "list", "--set", "randaugment")
    assert "EfficientNetB8" in out
    assert "noisy" not in out


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--model", "B9"], "No network has this name"),
        (["--set", "imagnet"], "Did you mean 'imagenet'"),
        (["--source", "hub"], "The sources are: keras,"),
        (["--model", "EfficientNetL2", "--source", "keras"], "No set is all of this"),
    ],
)
def test_the_list_of_something_else(command, arguments, match):
    _refused(command("weights", "list", *arguments), match)


def test_info_tells_what_a_file_is(command, home):
    _, out, _ = command("weights", "info", "efficientnet-lite0", "imagenet@lite-keras")
    assert "(x - 127) / 128 of 0-255 RGB, centre crop of size/(size + 32), bil" in out
    assert "md5:8236b3edc4bd9019865ffd8290cf0b05" in out
    assert "without the classifier" in out
    assert str(home) in out
    _, out, _ = command("weights", "info", "EfficientNetV2S", "imagenet21k", "--json")
    first = json.loads(out)[0]
    assert (first["classes"], first["top1"], first["downloaded"]) == (
        21843,
        None,
        False,
    )
    _, out, _ = command("weights", "info", "EfficientNetB0", "advprop@google")
    assert "not published; the first download's is recorded" in out


@pytest.mark.parametrize(
    ("words", "crop"),
    [
        (
            "EfficientNetB3 IMAGENET1K_V1",
            "resized to 320, centre crop of 300",
        ),
        ("EfficientNetB5 in12k-ft1k", "the whole photograph resized"),
    ],
)
def test_info_tells_how_photographs_are_cropped(command, words, crop):
    _, out, _ = command("weights", "info", *words.split())
    assert f"{crop}, bicubic\n" in out
    assert "padding symmetric, epsilon 1e-05" in out


def test_info_tells_which_hash_is_known(command, cached):
    arguments = ("weights", "info", "EfficientNetLite0", "imagenet@google")
    command("weights", "download", *arguments[2:])
    record = cached.with_name(f"{cached.name}.sha256")
    digest = hashlib.sha256(cached.read_bytes()).hexdigest()
    record.write_text(f"{digest}  {cached.name}\n")
    assert f"sha256:{digest}, of the first download here" in command(*arguments)[1]
    short = next(
        row for row in table.published() if len(row.hash or "") == len("sha256:") + 8
    )
    text = store.known_hash(short)
    assert text == f"{short.hash}, published, its first 32 bits"


def test_info_of_something_else(command):
    _refused(command("weights", "info", "EfficientNetB8", "imagenet"), "advprop (timm")
    _refused(
        command("weights", "info", "EfficientNetB0", "imagenet@google"), "imagenet (ker"
    )


@pytest.fixture
def cached(home):
    """A file without a published hash, put into the cache by hand."""
    (row,) = table.find("EfficientNetLite0", "imagenet@google")
    path = store.path_of(row)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\x1f\x8b weights")
    return path


def test_download_gives_the_path(command, cached):
    code, out, errors = command(
        "weights", "download", "EfficientNetLite0", "imagenet@google"
    )
    assert (code, out.strip(), errors) == (0, str(cached), [])


def test_verify(command, cached):
    digest = hashlib.sha256(cached.read_bytes()).hexdigest()
    code, out, _ = command("weights", "verify")
    assert (code, out) == (0, f"{cached}: sha256:{digest}\n")
    cached.write_bytes(b"\x1f\x8b weighty")
    code, out, errors = command("weights", "verify", "EfficientNetLite0")
    assert (code, out, len(errors)) == (1, "", 1)
    assert digest in errors[0]
    _refused(command("weights", "verify", "EfficientNetLite1"), "None of these files")


@pytest.fixture(scope="module")
def lite(two_stages, tmp_path_factory):
    model = keras_effnet.EfficientNetLite0(classes=7, preprocessing="imagenet@timm")
    path = tmp_path_factory.mktemp("lite") / "lite.weights.h5"
    model.save_weights(path)
    return model, path


def test_convert_to_a_model_and_back(command, lite, tmp_path):
    model, path = lite
    whole, back = tmp_path / "lite.keras", tmp_path / "back.weights.h5"
    options = ["--model", "EfficientNetLite0"]
    code, out, errors = command("weights", "convert", path, whole, *options)
    assert (code, errors) == (0, [])
    assert out == f"{whole}: efficientnet-lite0, {model.count_params():,} parameters\n"
    assert preprocessing.for_weights(whole).mean == (127.0,)
    assert command("weights", "convert", whole, back, *options)[0] == 0
    for loaded in (keras.saving.load_model(whole), model):
        loaded.load_weights(back)
        pixels = peer.images(224, 224, batch=1)
        np.testing.assert_array_equal(loaded(pixels), model(pixels))


def test_convert_remembers_another_preprocessing(command, tmp_path):
    source, target = tmp_path / "b0.weights.h5", tmp_path / "b0.keras"
    model = keras_effnet.EfficientNetB0(include_top=False)
    model.save_weights(source)
    options = ["--model", "EfficientNetB0", "--preprocessing", "advprop"]
    command("weights", "convert", source, target, *options, "--no-preprocessing")
    rule = preprocessing.for_weights(target)
    assert (rule.mean, rule.included) == ((127.5,), False)
    loaded = keras.saving.load_model(target)
    assert loaded.output_shape == (None, 56, 56, 1280)
    assert "rescaling" not in [layer.name for layer in loaded.layers]


@pytest.mark.parametrize(
    ("output", "options", "match"),
    [
        ("out.h5", [], "Converted files end in .keras or .weights.h5"),
        ("out.keras", ["--model", "B9"], "No network has this name"),
        ("out.keras", ["--model", "EfficientNetB0"], "are not those of efficientnetb0"),
        ("out.keras", ["--preprocessing", "x"], "has no such weights"),
        ("folder.keras", [], "can't be written: Is a directory"),
    ],
)
def test_convert_refuses(command, lite, tmp_path, output, options, match):
    (tmp_path / "folder.keras").mkdir()
    options = ["--model", "EfficientNetLite0", *options]
    result = command("weights", "convert", lite[1], tmp_path / output, *options)
    _refused(result, match)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_convert_takes_strict_at_its_end(command, lite, tmp_path):
    """Layers that pad tell of a file of weights alone nothing but their names."""
    model = keras_effnet.EfficientNetLite0(padding="symmetric", include_top=False)
    model.save_weights(tmp_path / "a.weights.h5")
    arguments = "weights", "convert", tmp_path / "a.weights.h5", tmp_path / "b.keras"
    told = "does not say how its network pads"
    network = "--model", "EfficientNetLite0"
    _refused(command(*arguments, *network, "--strict"), told)
    code, _, errors = command(*arguments, *network, "--padding", "symmetric")
    assert (code, errors) == (0, [])


def test_convert_of_a_truncated_archive(command, lite, tmp_path):
    whole = tmp_path / "lite.keras"
    lite[0].save(whole)
    assert zipfile.is_zipfile(whole)
    whole.write_bytes(whole.read_bytes()[:-1000])
    arguments = [tmp_path / "out.keras", "--model", "EfficientNetLite0"]
    _refused(command("weights", "convert", whole, *arguments), "can't be read")
    assert [p.name for p in tmp_path.iterdir()] == ["lite.keras"]


def test_a_published_file_is_known_wherever_it_lies(tmp_path, monkeypatch):
    """A file of AdvProp weights without a word about them brings AdvProp's pixels."""
    source = tmp_path / "efficientnetv1-b0-imagenet.weights.h5"
    (row,) = table.find("EfficientNetB0", "advprop@kecam")
    keras_effnet.EfficientNetB0(include_top=False).save_weights(source)
    digest = hashlib.md5(source.read_bytes()).hexdigest()
    url = f"https://example.org/{source.name}"
    mine = dataclasses.replace(row, url=url, hash=f"md5:{digest}")
    monkeypatch.setattr(table, "published", lambda: (mine,))
    model = keras_effnet.EfficientNetB0(include_top=False, weights=source)
    assert preprocessing.for_weights(model).mean == (127.5,)
    other = dataclasses.replace(mine, hash=f"md5:{digest[::-1]}")
    monkeypatch.setattr(table, "published", lambda: (other,))
    model = keras_effnet.EfficientNetB0(include_top=False, weights=source)
    assert preprocessing.for_weights(model).mean == (123.675, 116.28, 103.53)
