"""Weights files that other programs on Keras wrote, and ours in other hands."""

import dataclasses
import importlib.util
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import types
import zipfile

import h5py
import keras
import numpy as np
import peer
import pytest

import keras_effnet
from keras_effnet.errors import InputError
from keras_effnet.rule import Preprocessing
from keras_effnet.weights import keras_h5
from keras_effnet.weights import keras_names
from keras_effnet.weights import load_weights
from keras_effnet.weights import put
from keras_effnet.weights import read
from keras_effnet.weights.assign import variables_by_name

SHAPE = (32, 33, 3)


def _ours(name, **options):
    options = {"input_shape": SHAPE, "classifier_activation": None, **options}
    return getattr(keras_effnet, name)(**options)


def _fill(model, path):
    """Loads a file that fills all of a model and has no more than the model."""
    variables = variables_by_name(model)
    values = read(path, model)
    names = {name for name in values if not name.startswith("normalization/")}
    assert names == set(variables)
    for variable in variables.values():
        variable.assign(np.full(variable.shape, np.nan))
    put(model, values, path.name)
    for name, variable in variables.items():
        assert not np.isnan(variable).any(), name
    return values


def _refused(model, path, match):
    """The one line of the error; nothing in the model may have changed."""
    before = {name: np.array(v) for name, v in variables_by_name(model).items()}
    with pytest.raises(InputError, match=match) as caught:
        load_weights(model, path)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message.rsplit("Received: ", 1)[1]
    for name, variable in variables_by_name(model).items():
        np.testing.assert_array_equal(variable, before[name])
    return message


# Keras 2.

_SLOW = [
    *(f"EfficientNetB{n}" for n in range(1, 8)),
    *(f"EfficientNetV2B{n}" for n in range(4)),
    *(f"EfficientNetV2{size}" for size in "SML"),
]


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
# Of the constant initializers of its own V2.
@pytest.mark.filterwarnings("ignore:The `keras.initializers.serialize")
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) for n in ("EfficientNetB0", *_SLOW)],
)
def test_keras_2(name, tmp_path):
    """All that it writes."""
    tf_keras = pytest.importorskip("tf_keras", reason="tf_keras is not installed")
    import tf_keras_peer

    pixels = peer.images(*SHAPE)
    model = getattr(tf_keras.applications, name)(weights=None, input_shape=SHAPE)
    tf_keras_peer.set_normalization(model, peer.IMAGENET_STD**2)
    tf_keras_peer.randomize(model, pixels)
    logits = tf_keras_peer.logits(model, pixels)
    model.save(tmp_path / "whole_model.h5")
    if "V2" not in name:
        # These two number the layers and don't name them.
        model.save(tmp_path / "archive.keras")
        model.save_weights(tmp_path / "numbered.weights.h5")
        with h5py.File(tmp_path / "numbered.weights.h5") as file:
            assert "name" not in file["layers/conv2d/vars"].attrs
    model.save_weights(tmp_path / "weights.h5")

    ours = _ours(name)
    first = _fill(ours, tmp_path / "weights.h5")
    assert peer.relative_error(ours(pixels), logits) <= 1e-4
    for path in tmp_path.iterdir():
        values = _fill(ours, path)
        assert values.keys() == first.keys()
        for key in variables_by_name(ours):
            np.testing.assert_array_equal(values[key], first[key])
        if "V2" not in name:
            variance = peer.IMAGENET_STD**2
            np.testing.assert_allclose(values["normalization/variance"], variance)
            np.testing.assert_allclose(values["normalization/mean"], peer.IMAGENET_MEAN)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_files_of_tensorflow_before_2_10(tmp_path):
    """V1's Normalization has the standard deviation for the variance, and no Rescaling
    mends it: the network was trained so, and is right with no other rule."""
    tf_keras = pytest.importorskip("tf_keras", reason="tf_keras is not installed")
    import tf_keras_peer

    pixels = peer.images(*SHAPE)
    model = tf_keras.applications.EfficientNetB0(weights=None, input_shape=SHAPE)
    tf_keras_peer.set_normalization(model, peer.IMAGENET_STD)
    tf_keras_peer.randomize(model, pixels)
    logits = tf_keras_peer.logits(model, pixels)
    model.save(tmp_path / "whole.h5")
    model.save_weights(tmp_path / "weights.h5")
    model.save(tmp_path / "archive.keras")
    rule = Preprocessing(
        tuple(255 * peer.IMAGENET_MEAN), tuple(255 * np.sqrt(peer.IMAGENET_STD))
    )
    ours = _ours("EfficientNetB0", preprocessing=rule)
    published = _ours("EfficientNetB0")
    for path in tmp_path.iterdir():
        with pytest.raises(InputError, match=r"std=\(122\.02\d*, 120\.6.*Received"):
            load_weights(published, path)
        load_weights(ours, path)
        assert peer.relative_error(ours(pixels), logits) <= 1e-4


def test_a_rescaling_that_mends_the_deviation_is_seen(tmp_path):
    """As `keras.applications` has it since TensorFlow 2.10, with ImageNet's weights."""
    image = keras.Input(SHAPE)
    x = keras.layers.Rescaling(1 / 255)(image)
    norm = keras.layers.Normalization(name="normalization")
    x = norm(x)
    x = keras.layers.Rescaling((1 / np.sqrt(peer.IMAGENET_STD)).tolist())(x)
    x = keras.layers.Conv2D(4, 3, name="stem_conv")(x)
    model = keras.Model(image, x)
    norm.set_weights([peer.IMAGENET_MEAN, peer.IMAGENET_STD, np.array(0)])
    model.save(tmp_path / "whole.keras")
    model.save_weights(tmp_path / "own.weights.h5")
    for path in tmp_path.iterdir():
        found = read(path, model)["normalization/variance"]
        np.testing.assert_allclose(found, peer.IMAGENET_STD**2, rtol=1e-5)


# Other programs.

_NETWORKS = [
    "keras_cv_attention_models.EfficientNetV2B0",
    "keras_cv_attention_models.EfficientNetV1B0",
    "keras_cv_attention_models.EfficientNetEdgeTPUSmall",
    "keras_cv_attention_models.EfficientNetV2XL",
    "keras_efficientnet_v2.EfficientNetV2B0",  # 21,843 classes
    "efficientnet.EfficientNetB0",
]
_OUR_NAMES = {
    "EfficientNetV1B0": "EfficientNetB0",
    "EfficientNetEdgeTPUSmall": "EfficientNetEdgeTPUS",
}


@pytest.fixture(scope="module")
def other_programs(tmp_path_factory):
    """The folder of the files that the installed ones write, in one process."""
    folder = tmp_path_factory.mktemp("other_programs")
    networks = [name for name in _NETWORKS if _installed(name)]
    script = pathlib.Path(__file__).parents[2] / "tf_keras_peer.py"
    # They need Keras 2 in the place of TensorFlow's own Keras.
    subprocess.run(
        [sys.executable, script, folder, *networks],
        env={**os.environ, "TF_USE_LEGACY_KERAS": "1"},
        capture_output=True,
        check=True,
    )
    return folder


def _installed(network):
    modules = ("tf_keras", network.split(".")[0])
    return all(importlib.util.find_spec(module) for module in modules)


@pytest.mark.slow
@pytest.mark.parametrize("network", _NETWORKS)
def test_other_programs(request, network):
    if not _installed(network):
        pytest.skip(f"{network.split('.')[0]} is not installed")
    folder = request.getfixturevalue("other_programs")
    pixels = np.load(folder / "pixels.npy")
    logits = np.load(folder / f"{network}.npy")
    name = network.split(".")[1]
    ours = _ours(
        _OUR_NAMES.get(name, name),
        input_shape=pixels.shape[1:],
        classes=logits.shape[1],
        include_preprocessing=False,
    )
    _fill(ours, folder / f"{network}.h5")
    assert peer.relative_error(ours(pixels), logits) <= 1e-4


def _model_of(*layers):
    """What `keras_names` looks at, without building a network."""
    return types.SimpleNamespace(layers=[types.SimpleNamespace(name=n) for n in layers])


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("probs", "predictions"),
        ("post_bn", "top_bn"),
        ("normalization_3", "normalization"),
        ("block6ab_se_expand", "block6ab_se_expand"),
        # The second stack of EdgeTPU-S has no block, and its third is our second.
        ("stack_0_block0_sortcut_conv", "block1a_expand_conv"),
        ("stack_2_block0_MB_dw_", "block2a_dwconv2"),
        ("stack_2_block0_MB_dw_bn", "block2a_bn"),
        ("stack_2_block0_MB_pw_conv", "block2a_project_conv"),
        # Parts and blocks that the model does not have.
        ("stack_2_block0_se_1_conv", "block2a_se_reduce"),
        ("stack_10_block0_fu_bn", None),
        ("stack_2_block0_gc_1_conv", None),
        ("my_dense", None),
        ("stem_convolution", None),
    ],
)
def test_names(theirs, ours):
    model = _model_of("block1a_expand_conv", "block2a_dwconv2", "block2a_bn")
    names = ["stack_10_block0_fu_bn", "stack_2_block0_x", "stack_0_block0_x"]
    mapping = keras_names.our_layers([*names, theirs], model)
    assert mapping.get(theirs) == ours


def test_two_layers_never_share_a_name():
    names = ["predictions", "probs", "normalization", "normalization_1"]
    assert keras_names.our_layers(names, _model_of()) == {
        "predictions": "predictions",
        "normalization": "normalization",
    }


# Keras 3.


@pytest.fixture(scope="module")
def tiny():
    """A network of three blocks, random throughout, and how to build another."""
    spec = keras_effnet.scaled_spec(
        "EfficientNetB0", width=0.25, depth=1, image_size=32, name="tiny"
    )
    spec = dataclasses.replace(spec, stages=spec.stages[:2])

    def build(**options):
        return keras_effnet.build_model(spec, classes=5, **options)

    return _scrambled(build()), build


def _scrambled(model):
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(random.uniform(0.5, 1.5, weight.shape))
    return model


def _assert_same(actual, expected):
    for mine, whole in zip(actual.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(mine, whole)


def test_an_archive_of_keras_applications(tmp_path):
    theirs = keras.applications.EfficientNetV2B0(weights=None, input_shape=SHAPE)
    _scrambled(theirs).save(tmp_path / "x.keras")
    ours = _ours("EfficientNetV2B0")
    _fill(ours, tmp_path / "x.keras")
    for layer in theirs.layers:
        if layer.weights:
            _assert_same(ours.get_layer(layer.name), layer)


def _rewrite(source, target, change):
    """Copies an archive; `change(config, weights)` may change both."""
    with zipfile.ZipFile(source) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(entries["config.json"])
    weights = io.BytesIO(entries["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        change(config, file)
    entries["config.json"] = json.dumps(config)
    entries["model.weights.h5"] = weights.getvalue()
    _zip(target, entries)


def _zip(path, entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def test_the_names_of_an_archive_decide(tiny, tmp_path):
    """Whatever the order in which a model lists its layers."""

    def reverse(config, file):
        layers = config["config"]["layers"]
        layers.reverse()
        keys = list(file["layers"])
        for key in keys:
            file["layers"].move(key, f"old_{key}")
            file[f"layers/old_{key}/vars"].attrs.pop("name")
        for kind in {key.rstrip("_0123456789") for key in keys}:
            of_kind = [key for key in keys if key.rstrip("_0123456789") == kind]
            of_kind.sort(key=lambda key: int(f"0{key.removeprefix(kind)[1:]}"))
            for old, new in zip(of_kind, reversed(of_kind), strict=True):
                file["layers"].move(f"old_{old}", new)

    model, build = tiny
    model.save(tmp_path / "x.keras")
    _rewrite(tmp_path / "x.keras", tmp_path / "reversed.keras", reverse)
    other = build()
    _fill(other, tmp_path / "reversed.keras")
    _assert_same(other, model)


@pytest.mark.parametrize("options", [{"include_top": False}, {"features_only": True}])
def test_a_file_fits_a_part_of_its_network(tiny, files, options, tmp_path):
    """The layers that the part lacks come out with their names too."""
    model, build = tiny
    part = build(**options)
    for suffix, content in files.items():
        path = tmp_path / f"x{suffix}"
        path.write_bytes(content)
        assert set(read(path, part)) == set(variables_by_name(model))
    _remove_names(tmp_path / "x.weights.h5")
    assert set(read(tmp_path / "x.weights.h5", part)) == set(variables_by_name(model))
    load_weights(part, tmp_path / "x.weights.h5")
    for name, variable in variables_by_name(part).items():
        np.testing.assert_array_equal(variable, variables_by_name(model)[name])


def _remove_names(path):
    """Keras wrote none before 3.8."""
    with h5py.File(path, "r+") as file:
        for group in file["layers"].values():
            group["vars"].attrs.pop("name")


def test_a_trained_archive_leaves_its_optimizer_behind(tiny, tmp_path):
    model = keras.models.clone_model(tiny[0])
    model.compile("adam")
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "x.keras")
    with zipfile.ZipFile(tmp_path / "x.keras") as archive:
        weights = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(weights) as file:
        assert len(file["optimizer/vars"]) > 50
    other = tiny[1]()
    _fill(other, tmp_path / "x.keras")
    _assert_same(other, model)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_attributes_in_several_parts(tiny, tmp_path, monkeypatch):
    """Keras cuts the lists of names that are too long for one HDF5 header."""
    from keras.src.legacy.saving import legacy_h5_format

    model, build = tiny
    monkeypatch.setattr(legacy_h5_format, "HDF5_OBJECT_HEADER_LIMIT", 60)
    model.save(tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5") as file:
        assert "layer_names1" in file["model_weights"].attrs
        assert "weight_names1" in file["model_weights/stem_bn"].attrs
    other = build()
    _fill(other, tmp_path / "x.h5")
    _assert_same(other, model)


def test_bfloat16(tiny, tmp_path):
    keras.config.set_dtype_policy("bfloat16")
    model = tiny[1]()
    model.save_weights(tmp_path / "x.weights.h5")
    values = read(tmp_path / "x.weights.h5", model)
    for name, variable in variables_by_name(model).items():
        assert values[name].dtype == "float32"
        exact = keras.ops.convert_to_numpy(keras.ops.cast(variable, "float32"))
        np.testing.assert_array_equal(values[name], exact)


# Files that are none, or of something else.


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("suffix", [".keras", ".weights.h5", ".h5"])
def test_a_model_inside_another(tiny, suffix, tmp_path):
    model, build = tiny
    outer = keras.Sequential([keras.Input((32, 32, 3)), model, keras.layers.Dense(3)])
    path = tmp_path / f"outer{suffix}"
    outer.save_weights(path) if suffix == ".weights.h5" else outer.save(path)
    message = _refused(build(), path, "of a model inside another, save the inner one")
    assert "The file's layers: " in message


def test_further_layers_have_no_place(tiny, tmp_path):
    model, build = tiny
    x = keras.layers.Dense(3, name="mine")(model.output)
    keras.Model(model.input, x).save(tmp_path / "x.keras")
    _refused(build(), tmp_path / "x.keras", r"the file's mine/0 \(5, 3\) has no")


@pytest.fixture(scope="module")
def files(tiny, tmp_path_factory):
    """The bytes of the tiny network's files by suffix."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny[0].save(folder / "x.keras")
    tiny[0].save_weights(folder / "x.weights.h5")
    _copy_as_legacy(tiny[0], folder / "x.h5")
    return {path.name.removeprefix("x"): path.read_bytes() for path in folder.iterdir()}


def _copy_as_legacy(model, path):
    from keras.src.legacy.saving import legacy_h5_format

    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("keep", [0, 10, 3000, 0.5, -10])
def test_a_cut_off_file(tiny, files, suffix, keep, tmp_path):
    whole = files[suffix]
    keep = int(keep * len(whole)) if isinstance(keep, float) else keep
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(whole[:keep])
    _refused(tiny[0], path, "can't be read, it may be cut off or damaged")


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5", ".h5"])
def test_flipped_bits(tiny, files, suffix, tmp_path):
    """What is seen is one line. HDF5 has no checksum of the arrays: of a file that
    is no archive, some are not seen and load as other numbers."""
    model = tiny[1]()
    path = tmp_path / f"flipped{suffix}"
    random = np.random.default_rng(0)
    # Most of them where the structure is.
    marks = b"SNOD|TREE|HEAP|PK|layer_names|weight_names"
    places = [match.start() for match in re.finditer(marks, files[suffix])]
    messages = []
    for trial in range(40):
        content = bytearray(files[suffix])
        start = random.choice(places) if trial % 4 else random.integers(len(content))
        place = min(start + random.integers(60), len(content) - 1)
        content[place] ^= 1 << random.integers(8)
        path.write_bytes(content)
        messages += _complaints(path, model)
    assert len(messages) >= 5
    assert not any("\n" in message for message in messages)


def _complaints(path, model):
    try:
        read(path, model)
    except InputError as error:
        return [str(error)]
    return []


def test_a_flipped_bit_in_the_weights_of_an_archive_is_seen(tiny, files, tmp_path):
    _, build = tiny
    content = bytearray(files[".keras"])
    content[len(content) // 2] ^= 1
    (tmp_path / "x.keras").write_bytes(content)
    _refused(build(), tmp_path / "x.keras", "Bad CRC-32 for file 'model.weights.h5'")


@pytest.mark.parametrize(
    ("entries", "match"),
    [
        ({"../evil": ""}, r"outside of its own folder: '\.\./evil'"),
        ({"assets/../../evil": ""}, "outside of its own folder"),
        ({"/etc/evil": ""}, "outside of its own folder"),
        ({"..\\evil": ""}, "outside of its own folder"),
        ({"C:\\evil": ""}, "outside of its own folder"),
        ({"config.json": None}, r"it has no config\.json"),
        ({"model.weights.h5": None}, r"it has no model\.weights\.h5"),
        ({"config.json": "{"}, "can't be read"),
        ({"config.json": "[" * 100_000}, "can't be read"),
        ({"config.json": "[]"}, r"config\.json lists no layers"),
        ({"config.json": '{"config": {"layers": [1]}}'}, "lists no layers"),
        (
            {
                "config.json": '{"config": {"layers": [{"class_name": "Dense", '
                '"config": {"name": 1}}]}}'
            },
            "lists no layers",
        ),
        ({"config.json": '{"config": {"layers": []}}'}, "No layer of the file has a"),
        ({"model.weights.h5": "text"}, "can't be read"),
    ],
)
def test_archives_of_something_else(tiny, files, entries, match, tmp_path):
    with zipfile.ZipFile(io.BytesIO(files[".keras"])) as archive:
        whole = {name: archive.read(name) for name in archive.namelist()}
    whole = {k: v for k, v in {**whole, **entries}.items() if v is not None}
    _zip(tmp_path / "x.keras", whole)
    _refused(tiny[0], tmp_path / "x.keras", match)
    assert {path.name for path in tmp_path.iterdir()} == {"x.keras"}


@pytest.mark.parametrize("entry", ["config.json", "model.weights.h5"])
def test_an_archive_that_claims_to_be_huge(tiny, files, entry, tmp_path):
    with zipfile.ZipFile(io.BytesIO(files[".keras"])) as archive:
        whole = {name: archive.read(name) for name in archive.namelist()}
    path = tmp_path / "x.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in whole.items():
            archive.writestr(name, content)
        archive.getinfo(entry).file_size = 2**31
    _refused(tiny[0], path, f"{entry} unpacks to 2147483648 bytes")
    # And one that hides it: no more is unpacked than what is declared.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in whole.items():
            archive.writestr(name, content)
        archive.getinfo(entry).file_size = 1000
    _refused(tiny[0], path, f"can't be read.*'{entry}'")


def _huge(folder, stem):
    stem.create_dataset("0", (2**29,), "float32", chunks=True, compression="gzip")


def _soft_link(folder, stem):
    stem["0"] = h5py.SoftLink("/layers/conv2d_1/vars/0")


def _external_link(folder, stem):
    with h5py.File(folder / "other.h5", "w") as file:
        file["secret"] = np.zeros((3, 3, 3, 32), "float32")
    stem["0"] = h5py.ExternalLink(folder / "other.h5", "/secret")


def _external_data(folder, stem):
    (folder / "secret").write_bytes(bytes(3456))
    stem.create_dataset(
        "0", (3, 3, 3, 32), "float32", external=[(folder / "secret", 0, 3456)]
    )


def _virtual(folder, stem):
    layout = h5py.VirtualLayout((3, 3, 3, 32), "float32")
    layout[:] = h5py.VirtualSource(folder / "other.h5", "secret", (3, 3, 3, 32))
    stem.create_virtual_dataset("0", layout)


@pytest.mark.parametrize(
    ("write", "match"),
    [
        (_huge, "unpacks to more than"),
        (_soft_link, "refers to another place or another file"),
        (_external_link, "refers to another place or another file"),
        (_external_data, "takes an array from another file"),
        (_virtual, "takes an array from another file"),
    ],
)
def test_arrays_that_are_not_in_the_file(tiny, files, write, match, tmp_path):
    path = tmp_path / "x.weights.h5"
    path.write_bytes(files[".weights.h5"])
    with h5py.File(path, "r+") as file:
        stem = file["layers/conv2d/vars"]
        assert stem.attrs["name"] == "stem_conv"
        del stem["0"]
        write(tmp_path, stem)
    _refused(tiny[0], path, match)


def test_the_limit_leaves_room_for_what_is_real():
    """EfficientNet-L2 with all that training adds, and a 21,843-class head."""
    small, head = 4_000_000, 1280 * 21843
    model = types.SimpleNamespace(count_params=lambda: small)
    assert 4 * 4 * small + 4 * 4 * head <= keras_h5.size_limit(model) < 2**31
