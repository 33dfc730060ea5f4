"""Checkpoints as tensorflow/tpu and google/automl publish them, written here with
TensorFlow, with the values and the outputs of independent programs."""

import contextlib
import gzip
import io
import itertools
import os
import pathlib
import re
import sys
import tarfile
import tempfile
import zlib

import numpy as np
import peer
import pytest
import tensorflow as tf
from mutations import bundle_index

import keras_effnet
from keras_effnet.errors import InputError
from keras_effnet.weights import archives
from keras_effnet.weights import importing
from keras_effnet.weights import tensor_bundle
from keras_effnet.weights import tf_checkpoint
from keras_effnet.weights import tf_names
from keras_effnet.weights.assign import assign
from keras_effnet.weights.assign import variables_by_name
from keras_effnet.weights.blocks import Block
from keras_effnet.weights.blocks import blocks

SHAPE = (33, 65, 3)
AVERAGE = "/ExponentialMovingAverage"
BN = ("gamma", "beta", "moving_mean", "moving_variance")

# Layers in the order in which the original code calls them; each kind of layer is
# numbered within its scope.
BLOCKS = {
    "mb1": "depthwise bn se conv bn",  # no expansion
    "mb": "conv bn depthwise bn se conv bn",
    "fused1": "conv bn",
    "fused": "conv bn conv bn",
}
STAGES = {  # blocks of a stage, their kind, with squeeze-and-excitation
    "b0": "1 mb1, 2 mb, 2 mb, 3 mb, 3 mb, 4 mb, 1 mb",
    "b3": "2 mb1, 3 mb, 3 mb, 5 mb, 5 mb, 6 mb, 2 mb",
    "v2-b0": "1 fused1, 2 fused, 2 fused, 3 mb, 5 mb, 8 mb",
    "v2-s": "2 fused1, 4 fused, 4 fused, 6 mb, 9 mb, 15 mb",
    "lite0": "1 mb1, 2 mb, 2 mb, 3 mb, 3 mb, 4 mb, 1 mb",
    "edgetpu-S": "1 fused, 2 fused, 4 fused, 5 mb, 4 mb, 2 mb",
    "v2-b0-short": "1 fused1, 1 fused, 1 fused, 1 mb, 2 mb, 2 mb",
    "tiny": "1 mb1, 1 mb, 1 mb, 1 mb, 1 mb, 1 mb, 1 mb",
}
WITHOUT_SE = ("lite0", "edgetpu-S", "tiny")


def official_names(network, scope):
    """The names of a network's variables, in the order of creation."""
    yield from _scope(f"{scope}stem/", "conv bn")
    number = itertools.count()
    for stage in STAGES[network].split(", "):
        repeats, kind = stage.split()
        layers = BLOCKS[kind]
        if network in WITHOUT_SE:
            layers = layers.replace(" se ", " ")
        for _ in range(int(repeats)):
            yield from _scope(f"{scope}blocks_{next(number)}/", layers)
    yield from _scope(f"{scope}head/", "conv bn dense")


def _scope(scope, layers):
    convs, norms = itertools.count(), itertools.count()
    for layer in layers.split():
        if layer == "conv":
            yield f"{scope}conv2d{_suffix(next(convs))}/kernel"
        elif layer == "depthwise":
            yield f"{scope}depthwise_conv2d/depthwise_kernel"
        elif layer == "bn":
            norm = f"{scope}tpu_batch_normalization{_suffix(next(norms))}"
            yield from (f"{norm}/{variable}" for variable in BN)
        elif layer == "se":
            for name in ("conv2d", "conv2d_1"):
                yield f"{scope}se/{name}/kernel"
                yield f"{scope}se/{name}/bias"
        else:
            yield f"{scope}dense/kernel"
            yield f"{scope}dense/bias"


def _suffix(number):
    return f"_{number}" if number else ""


def write(tensors, prefix):
    """A checkpoint with these tensors, written by TensorFlow."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors),
        tensors=[tf.convert_to_tensor(tensor) for tensor in tensors.values()],
    )


def point(folder, to):
    """The file `checkpoint`, which names the newest one."""
    (folder / "checkpoint").write_text(
        f'model_checkpoint_path: "{to}"\nall_model_checkpoint_paths: "{to}"\n'
    )


def pack(folder, path):
    """An archive with the folder, and what else the published ones hold."""
    for name in ("model.ckpt.meta", "net-fp32.tflite", "events.out.tfevents.1.host"):
        (folder / name).write_bytes(b"ignored")
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        archive.add(folder, folder.name)
    return path


def trained(values):
    """A checkpoint of the training: averages next to other raw values, the slots
    of RMSProp with momentum, and the step."""
    tensors = {"global_step": np.int64(218949)}
    for name, value in values.items():
        tensors[name] = np.zeros_like(value)
        tensors[f"{name}{AVERAGE}"] = value
        if "moving" not in name and value.size < 10_000:  # all would take seconds
            tensors[f"{name}/RMSProp"] = np.ones_like(value)
            tensors[f"{name}/RMSProp_1"] = np.ones_like(value)
    return tensors


def averages_of_some(values):
    """Averages of the trained variables only, and Momentum's slots."""
    tensors = {"global_step": np.int64(1)}
    for name, value in values.items():
        tensors[name] = value
        if "moving" not in name:
            tensors[name] = np.zeros_like(value)
            tensors[f"{name}{AVERAGE}"] = value
            tensors[f"{name}/Momentum"] = np.ones_like(value)
    return tensors


def exported(values):
    """What google/automl's `infer.py` exports: averages, copied to the raw ones."""
    return {
        "global_step": np.int64(0),
        **values,
        **{f"{name}{AVERAGE}": value for name, value in values.items()},
    }


def load(model, path):
    assign(model, tf_checkpoint.read(path, model), source=path.name)


# Independent programs: their variables in the order of creation, their logits.


def from_tf_keras(name, classes, pixels):
    tf_keras = pytest.importorskip("tf_keras", reason="tf_keras is not installed")
    import tf_keras_peer

    tf_keras.utils.set_random_seed(0)
    options = {"include_preprocessing": False} if "V2" in name else {}
    if name == "short":
        from tf_keras.src.applications.efficientnet_v2 import EfficientNetV2

        constructor = EfficientNetV2
        options = {**SHORT, "include_preprocessing": False}
    else:
        constructor = getattr(tf_keras.applications, name)
    model = constructor(
        weights=None,
        classes=classes,
        classifier_activation=None,
        input_shape=SHAPE,
        **options,
    )
    layers = [layer for layer in model.layers if layer.weights]
    for layer in model.layers:
        if isinstance(layer, tf_keras.layers.Rescaling):
            layer.scale = 1.0
        if isinstance(layer, tf_keras.layers.Normalization):
            layers.remove(layer)
    tf_keras_peer.randomize(model, pixels)
    return [w.numpy() for layer in layers for w in layer.weights], model(pixels).numpy()


SHORT = {
    "width_coefficient": 1.0,
    "depth_coefficient": 0.25,
    "default_size": 224,
    "model_name": "efficientnetv2-b0",
}


def from_timm(name, classes, pixels):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    import test_weights_torch

    test_weights_torch._import_torchvision()
    timm = pytest.importorskip("timm", reason="timm is not installed")
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=classes)
    test_weights_torch._shake(model, SHAPE)
    with torch.no_grad():
        logits = model(torch.from_numpy(pixels).permute(0, 3, 1, 2)).numpy()
    values = [
        _tf_layout(value.numpy())
        for name, value in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    ]
    return values, logits


def _tf_layout(value):
    if value.ndim == 4 and value.shape[1] == 1:
        return value.transpose(2, 3, 0, 1)
    return value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T


# fmt: off
OFFICIAL = {
    "B0": ("b0", "efficientnet-b0", from_tf_keras, "EfficientNetB0", 1000, trained),
    "short V2B0": (
        "v2-b0-short", "efficientnetv2-b0", from_tf_keras, "short", 1000, exported
    ),
    "V2B0": (
        "v2-b0", "efficientnetv2-b0", from_tf_keras, "EfficientNetV2B0", 1000, exported
    ),
    "Lite0": (
        "lite0", "efficientnet-lite0", from_timm, "tf_efficientnet_lite0", 1000, trained
    ),
    "EdgeTPUS": (
        "edgetpu-S", "efficientnet-edgetpu-S", from_timm, "tf_efficientnet_es", 1001,
        averages_of_some,
    ),
    "B3": ("b3", "efficientnet-b3", from_tf_keras, "EfficientNetB3", 1000, trained),
    "V2S": (
        "v2-s", "efficientnetv2-s", from_tf_keras, "EfficientNetV2S", 1000, trained
    ),
}
# fmt: on


def _slow(name):
    return pytest.param(name, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    "name", [name if name == "short V2B0" else _slow(name) for name in OFFICIAL]
)
def test_an_official_checkpoint_gives_the_same_logits(name, tmp_path):
    network, scope, program, theirs, classes, kind = OFFICIAL[name]
    pixels = peer.images(*SHAPE, batch=2) / 128 - 1
    values, expected = program(theirs, classes, pixels)
    values = dict(zip(official_names(network, f"{scope}/"), values, strict=True))
    folder = tmp_path / scope
    write(kind(values), folder / "model.ckpt")
    point(folder, "/cns/somewhere/model.ckpt")
    path = pack(folder, tmp_path / f"{scope}.tar.gz")

    spec = (
        f"EfficientNet{name}"
        if name != "short V2B0"
        else keras_effnet.scaled_spec(
            "EfficientNetV2B0", width=1.0, depth=0.25, image_size=64
        )
    )
    model = keras_effnet.build_model(
        spec,
        input_shape=SHAPE,
        classes=classes,
        classifier_activation=None,
        include_preprocessing=False,
    )
    before = {ours: np.array(v) for ours, v in variables_by_name(model).items()}
    arrays = tf_checkpoint.read(path, model)
    # Nothing is missing, nothing left over, and no two became one.
    assert set(arrays) == set(before)
    assert len(arrays) == len(values)
    assert {array.dtype for array in arrays.values()} == {np.dtype("float32")}
    assign(model, arrays, source=path.name)
    for ours, variable in variables_by_name(model).items():
        assert (np.asarray(variable) != before[ours]).any(), ours
    assert peer.relative_error(model(pixels), expected) < 1e-4


# A small network in a small checkpoint, for all that needs no other program.


@pytest.fixture(scope="module")
def tiny():
    spec = keras_effnet.scaled_spec(
        "EfficientNetLite0", width=0.25, depth=0.25, image_size=32, name="tiny"
    )
    return keras_effnet.build_model(spec, classes=5)


@pytest.fixture(scope="module")
def values(tiny):
    """Random values with the official names, and the names of the model."""
    random = np.random.default_rng(0)
    return {
        name: random.uniform(0.5, 1, variable.shape).astype("float32")
        for name, variable in zip(
            official_names("tiny", "net/"), tiny.weights, strict=True
        )
    }


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder for temporary files; it must be empty at the end."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def checkpoint(values, tmp_path):
    """A folder with a checkpoint; its `.index` file."""
    write(trained(values), tmp_path / "net" / "model.ckpt")
    point(tmp_path / "net", "model.ckpt")
    return tmp_path / "net" / "model.ckpt.index"


def _holds(arrays, model, values):
    assert set(arrays) == set(variables_by_name(model))
    for variable, value in zip(model.weights, values.values(), strict=True):
        np.testing.assert_array_equal(arrays[variable.path], value)


def _refused(model, path, match):
    """The one line of the error; nothing in the model may have changed."""
    before = [np.array(weight) for weight in model.weights]
    with pytest.raises(InputError, match=match) as caught:
        load(model, path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(f"{path.name}'")
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)
    return message


def test_a_folder_a_file_and_an_archive_hold_the_same(
    tiny, values, checkpoint, tmp_path, temporary
):
    _holds(tf_checkpoint.read(checkpoint, tiny), tiny, values)
    _holds(tf_checkpoint.read(checkpoint.parent, tiny), tiny, values)
    # As TensorFlow's programs name it: no such file is there.
    assert importing.is_path(str(checkpoint.with_suffix("")))
    _holds(importing.read(checkpoint.with_suffix(""), tiny), tiny, values)
    for name in ("net.tar.gz", "net.tgz"):
        path = pack(checkpoint.parent, tmp_path / name)
        _holds(tf_checkpoint.read(path, tiny), tiny, values)


def test_a_moving_average_is_preferred_variable_by_variable(tiny, values, tmp_path):
    tensors = {}
    for number, (name, value) in enumerate(values.items()):
        tensors[name] = value + 1 if number % 2 else value
        if number % 2:
            tensors[f"{name}{AVERAGE}"] = value
    write(tensors, tmp_path / "model.ckpt")
    _holds(tf_checkpoint.read(tmp_path, tiny), tiny, values)


def test_only_averages_are_enough(tiny, values, tmp_path):
    write({f"{n}{AVERAGE}": v for n, v in values.items()}, tmp_path / "model.ckpt")
    _holds(tf_checkpoint.read(tmp_path, tiny), tiny, values)


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        ("^net/", ""),
        ("^net/", "net/model/"),
        ("^net/", "tower_0/eff_net_v2_model_1/"),
        ("tpu_batch", "batch"),
        ("tpu_batch", "sync_batch"),
        ("/(stem|head)/", r"/\1_1/"),
        ("dense/", "dense_3/"),
    ],
)
def test_other_scopes_and_numbers(tiny, values, pattern, replacement, tmp_path):
    renamed = {re.sub(pattern, replacement, n): v for n, v in values.items()}
    assert set(renamed) != set(values)
    write(trained(renamed), tmp_path / "model.ckpt")
    _holds(tf_checkpoint.read(tmp_path, tiny), tiny, values)


def test_numbers_that_run_through_the_whole_network(tiny, values, tmp_path):
    counts = {}
    layers = dict.fromkeys(name.rpartition("/")[0] for name in values)
    for layer in layers:
        plain = re.sub(r"_\d+$", "", layer.rpartition("/")[2])
        number = counts[plain] = counts.get(plain, -1) + 1
        layers[layer] = f"{layer.rpartition('/')[0]}/{plain}{_suffix(number)}"
    renamed = {}
    for name, value in values.items():
        layer, _, variable = name.rpartition("/")
        renamed[f"{layers[layer]}/{variable}"] = value
    assert "net/blocks_6/tpu_batch_normalization_18/beta" in renamed
    write(renamed, tmp_path / "model.ckpt")
    _holds(tf_checkpoint.read(tmp_path, tiny), tiny, values)


def test_what_is_left_out_and_what_keeps_its_name(tiny, values, tmp_path):
    three = np.ones(3, "float32")
    left_out = {
        "global_step": np.int64(1),
        "beta1_power": np.float32(1),
        "net/beta2_power": np.float32(1),
        "net/stem/conv2d/kernel/Adam": three,
        "net/stem/conv2d/kernel/Adam_1": three,
        "net/stem/conv2d/kernel/Momentum": three,
        "net/stem/conv2d/kernel/LARSOptimizer": three,
        "net/note": "text",
    }
    unknown = {
        "net/blocks_7/conv2d/kernel": three,  # the network has 7 blocks
        "net/blocks_0/conv2d_1/kernel": three,  # the block has one
        "net/blocks_1/space2depth/conv2d/kernel": three,
        "net/blocks_1/dense/kernel": three,
        "net/stem/se/conv2d/kernel": three,
        "net/stem/dense/kernel": three,
        "teacher/head/dense/bias": three,
        "aux/bias": three,
    }
    averaged = {f"{name}{AVERAGE}": three + 1 for name in unknown}
    write(values | left_out | unknown | averaged, tmp_path / "model.ckpt")
    arrays = tf_checkpoint.read(tmp_path, tiny)
    for name in unknown:
        np.testing.assert_array_equal(arrays.pop(name), three + 1)
    _holds(arrays, tiny, values)
    _refused(tiny, tmp_path, r"net/blocks_0/conv2d_1/kernel \(3,\) has no place")


def test_the_last_two_of_a_longer_network_have_no_place(tiny, values):
    names = [*values, *(n.replace("blocks_6", "blocks_12") for n in values)]
    found = tf_names.sources(names, blocks(tiny))
    assert found["net/blocks_12/conv2d/kernel"] == "net/blocks_12/conv2d/kernel"
    assert found["block7a_expand_conv/kernel"] == "net/blocks_6/conv2d/kernel"


def test_halves_become_float32(tiny, values, tmp_path):
    tensors = {name: tf.cast(value, tf.bfloat16) for name, value in values.items()}
    write(tensors, tmp_path / "model.ckpt")
    rounded = {name: np.float32(value) for name, value in tensors.items()}
    _holds(tf_checkpoint.read(tmp_path, tiny), tiny, rounded)


def test_the_optimizers_share_is_not_read(tiny, values, checkpoint):
    data = next(checkpoint.parent.glob("*.data-*"))
    damaged = np.frombuffer(data.read_bytes(), "float32").copy()
    slots = damaged == 1
    assert slots.sum() > 10_000
    damaged[slots] = 2
    data.write_bytes(damaged.tobytes())
    with pytest.raises(tf.errors.OpError, match="Checksum"):
        tf.train.load_variable(str(checkpoint)[:-6], "net/head/dense/bias/RMSProp")
    _holds(tf_checkpoint.read(checkpoint, tiny), tiny, values)


# `model.save_weights` of google/automl's main_tf2.py.

ATTRIBUTES = (
    ("net/head/dense/", "_fc/"),
    ("net/(stem|head)/conv2d/", r"_\1/_conv_\1/"),
    ("net/(stem|head)/tpu_batch_normalization/", r"_\1/_norm/"),
    ("net/blocks_0/conv2d/", "_blocks/0/_project_conv/"),
    (r"net/blocks_0/tpu_batch_normalization/", "_blocks/0/_norm1/"),
    (r"net/blocks_0/tpu_batch_normalization_1/", "_blocks/0/_norm2/"),
    (r"net/blocks_(\d+)/depthwise_conv2d/", r"_blocks/\1/_depthwise_conv/"),
    (r"net/blocks_(\d+)/conv2d/", r"_blocks/\1/_expand_conv/"),
    (r"net/blocks_(\d+)/conv2d_1/", r"_blocks/\1/_project_conv/"),
    (r"net/blocks_(\d+)/tpu_batch_normalization/", r"_blocks/\1/_norm0/"),
    (r"net/blocks_(\d+)/tpu_batch_normalization_(\d)/", r"_blocks/\1/_norm\2/"),
)


class _Node(tf.Module):
    def at(self, path):
        node = self
        for part in path:
            if part.isdigit():
                while len(node) <= int(part):
                    node.append(_Node())
                node = node[int(part)]
            else:
                if not hasattr(node, part):
                    setattr(node, part, [] if part == "_blocks" else _Node())
                node = getattr(node, part)
        return node


@pytest.mark.parametrize("wrapped", [False, True])
def test_checkpoints_of_objects(tiny, values, wrapped, tmp_path):
    tf_keras = pytest.importorskip("tf_keras", reason="tf_keras is not installed")
    root = _Node()
    for name, value in values.items():
        for pattern, path in ATTRIBUTES:
            name = re.sub(pattern, path, name)
        *path, variable = name.split("/")
        setattr(root.at(path), variable, tf.Variable(value))
    optimizer = tf_keras.optimizers.legacy.SGD(0.0, momentum=0.9)
    variables = root.trainable_variables
    optimizer.apply_gradients((tf.zeros_like(v), v) for v in variables)
    if wrapped:
        saver = tf.train.Checkpoint(model=root, optimizer=optimizer)
    else:
        root.optimizer = optimizer
        saver = tf.train.Checkpoint(root=root)
    saver.save(str(tmp_path / "ckpt"))
    names = dict(tf.train.list_variables(str(tmp_path / "ckpt-1")))
    assert any(".OPTIMIZER_SLOT" in name for name in names)
    assert any("_blocks/3/_norm2/gamma" in name for name in names)
    _holds(tf_checkpoint.read(tmp_path, tiny), tiny, values)


def test_squeeze_and_excitation_as_objects():
    block = Block(
        "block3b", {part: f"3b_{part}" for part in ("se_reduce", "se_expand")}
    )
    for part, variable in itertools.product(block.layers, ("kernel", "bias")):
        name = f"_blocks/0/_se/_{part}/{variable}/.ATTRIBUTES/VARIABLE_VALUE"
        other = f"_blocks/0/_se/_se_reduce/{variable}/.ATTRIBUTES/VARIABLE_VALUE"
        found = tf_names.sources({name, other}, [block])
        assert found[f"3b_{part}/{variable}"] == name


# Which checkpoint.


def test_the_pointer_decides_by_its_last_part(tiny, values, tmp_path):
    other = {name: value + 1 for name, value in values.items()}
    write(other, tmp_path / "model.ckpt-1")
    write(values, tmp_path / "model.ckpt-2")
    for to in ("model.ckpt-2", "gs://bucket/run/model.ckpt-2", r"C:\run\model.ckpt-2"):
        point(tmp_path, to)
        _holds(tf_checkpoint.read(tmp_path, tiny), tiny, values)
    (tmp_path / "checkpoint").write_bytes(b"\xff\x00")
    message = _refused(tiny, tmp_path, "several TensorFlow checkpoints")
    assert "model.ckpt-1.index, model.ckpt-2.index" in message


def test_a_pointer_to_another_file_leaves_the_only_one(tiny, values, tmp_path):
    write(values, tmp_path / "model.ckpt")
    point(tmp_path, "model.ckpt-218949")
    (tmp_path / "model.ckpt").mkdir()  # TensorFlow would look for it in here
    _holds(tf_checkpoint.read(tmp_path, tiny), tiny, values)


def test_an_archive_with_two_folders(tiny, values, tmp_path, temporary):
    write(values, tmp_path / "net" / "model.ckpt")
    write(values, tmp_path / "net" / "archive" / "model.ckpt")
    path = pack(tmp_path / "net", tmp_path / "net.tgz")
    message = _refused(tiny, path, "several TensorFlow checkpoints")
    assert "net/archive/model.ckpt.index, net/model.ckpt.index. " in message
    point(tmp_path / "net" / "archive", "model.ckpt")
    path = pack(tmp_path / "net", tmp_path / "net.tgz")
    _holds(tf_checkpoint.read(path, tiny), tiny, values)


def test_no_checkpoint_at_all(tiny, tmp_path, temporary):
    folder = tmp_path / "net"
    folder.mkdir()
    _refused(tiny, folder, "no TensorFlow checkpoint in it")
    _refused(tiny, pack(folder, tmp_path / "net.tar.gz"), "no TensorFlow checkpoint")


def test_another_network(checkpoint):
    spec = keras_effnet.scaled_spec(
        "EfficientNetLite0", width=0.5, depth=0.25, image_size=32, name="wider"
    )
    model = keras_effnet.build_model(spec, classes=5)
    _refused(
        model,
        checkpoint,
        r"not those of wider: block2a_project_conv/kernel is \(1, 1, 48, 16\) in the "
        r"model and \(1, 1, 48, 8\) in the file",
    )


def test_tensorflow_is_not_needed(tiny, values, checkpoint, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    _holds(tf_checkpoint.read(checkpoint, tiny), tiny, values)


# Damaged files.


@pytest.fixture
def archive(checkpoint, tmp_path):
    return pack(checkpoint.parent, tmp_path / "net.tar.gz")


@pytest.mark.parametrize("keep", [0, 5, 200, 0.3, 0.9, -4])
def test_a_cut_off_archive(tiny, archive, keep, temporary):
    whole = archive.read_bytes()
    keep = int(keep * len(whole)) if isinstance(keep, float) else keep
    archive.write_bytes(whole[:keep])
    _refused(tiny, archive, "it is cut off or damaged|no TensorFlow checkpoint")


def test_a_flipped_bit_in_an_archive(tiny, archive, temporary):
    whole = archive.read_bytes()
    refused = 0
    for position in np.linspace(30, len(whole) - 1, 12).astype(int):  # not its name
        damaged = bytearray(whole)
        damaged[position] ^= 0x10
        # Between its blocks gzip has bits that mean nothing.
        with contextlib.suppress(OSError, EOFError, zlib.error):
            if gzip.decompress(damaged) == gzip.decompress(whole):
                continue
        archive.write_bytes(damaged)
        _refused(tiny, archive, "it is cut off or damaged")
        refused += 1
    assert refused >= 10


def test_an_archive_of_something_else(tiny, tmp_path, temporary):
    path = tmp_path / "net.tar.gz"
    path.write_text("<html>not found</html>" * 100)
    _refused(tiny, path, "it is cut off or damaged")


@pytest.mark.parametrize("suffix", ["index", "data-00000-of-00001"])
@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text", "missing"])
def test_a_damaged_checkpoint(tiny, checkpoint, suffix, damage):
    path = checkpoint.with_suffix(f".{suffix}")
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[::50] = bytes(255 - byte for byte in whole[::50])
    contents = {
        "cut": whole[: len(whole) // 2],
        "flip": bytes(flipped),
        "empty": b"",
        "text": b"not a checkpoint\n" * 100,
    }
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(contents[damage])
    _refused(tiny, checkpoint, "it is damaged, or a file of it is missing")


def _rewritten(path, change):
    """Every entry of an `.index` file changed, with right checksums."""
    table = tensor_bundle._table(path.read_bytes())
    path.write_bytes(bundle_index({key: change(table[key]) for key in table}))


def test_what_is_damaged_beneath_right_checksums(tiny, values, checkpoint):
    """TensorFlow's own reader ends the process at many of these."""
    whole = checkpoint.read_bytes()
    _rewritten(checkpoint, bytes)
    _holds(tf_checkpoint.read(checkpoint, tiny), tiny, values)
    random = np.random.default_rng(0)

    def flipped(value):
        data = bytearray(value)
        for _ in range(1 + random.integers(2)):
            if data:
                data[random.integers(len(data))] = random.integers(256)
        return bytes(data)

    for change in (
        lambda value: value[:-3],
        lambda value: value + b"\x12\x0b\x12\x09\x08" + b"\xff" * 7 + b"\x01",
        lambda value: b"\xff" * 20,
        *[flipped] * 20,
    ):
        checkpoint.write_bytes(whole)
        _rewritten(checkpoint, change)
        _refused(tiny, checkpoint, "it is damaged, or a file|not those of tiny")


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43)],
)
def test_checksums(data, expected):
    """RFC 3720, B.4; and the mask of tensorflow/core/lib/hash/crc32c.h."""
    found = tensor_bundle._masked(np.frombuffer(data, np.uint8))
    rotated = (found - 0xA282EAD8) & 0xFFFFFFFF
    assert (rotated >> 17 | rotated << 15) & 0xFFFFFFFF == expected


# Hostile archives.


def _member(name, data=b"", **attributes):
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for key, value in attributes.items():
        setattr(member, key, value)
    return member, data


def _long_name(size):
    """A name of that many bytes, which tarfile reads in one piece."""
    member, _ = _member("x", type=tarfile.GNUTYPE_LONGNAME, size=size)
    return member, b"x" * size + tarfile.TarInfo("x").tobuf()


@pytest.mark.parametrize(
    ("member", "match"),
    [
        (_member("/tmp/model.ckpt.index"), "named to be written elsewhere"),
        (_member("net/../../model.ckpt.index"), "named to be written elsewhere"),
        (_member("..\\model.ckpt.index"), "named to be written elsewhere"),
        (_member("C:model.ckpt.index"), "named to be written elsewhere"),
        (
            _member("net/x.index", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
            "neither a plain file nor a folder",
        ),
        (
            _member("net/x.index", type=tarfile.LNKTYPE, linkname="net/checkpoint"),
            "neither a plain file nor a folder",
        ),
        (_member("net/x.index", type=tarfile.CHRTYPE), "neither a plain file"),
        (_member("net/x.index", type=tarfile.FIFOTYPE), "neither a plain file"),
        (_member("net/x.tflite", size=2**40), "more than a checkpoint has"),
        (_member("net/x.tflite", pax_headers={"size": "-512"}), "negative size"),
        (_long_name(2**21), "cut off or damaged"),
        (_member("net/checkpoint"), "File exists"),
    ],
    ids=lambda value: value[0].name[-12:] if isinstance(value, tuple) else "",
)
def test_a_hostile_archive(tiny, checkpoint, member, match, tmp_path, temporary):
    path = tmp_path / "net.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        archive.add(checkpoint.parent, "net")
        header, data = member
        archive.fileobj.write(header.tobuf(tarfile.PAX_FORMAT) + data)
        archive.fileobj.write(bytes(2**16))
    before = sorted(tmp_path.rglob("*"))
    _refused(tiny, path, match)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_archive_of_a_thousand_files(tiny, tmp_path, temporary):
    path = tmp_path / "net.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for number in range(1001):
            archive.addfile(tarfile.TarInfo(f"net/{number}.index"), io.BytesIO())
    _refused(tiny, path, r"member 'net/1000.index' is more than a checkpoint has")


def test_an_archive_with_more_behind_its_end(tiny, archive, temporary):
    with open(archive, "ab") as file:
        file.write(gzip.compress(bytes(2**18)))
    load(tiny, archive)
    with open(archive, "ab") as file:
        file.write(gzip.compress(bytes(2**22)))
    _refused(tiny, archive, "it is cut off or damaged")


def test_a_full_disk(tiny, archive, temporary, monkeypatch):
    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(archives, "_write", full)
    message = _refused(tiny, archive, "No space left on device")
    assert "TMPDIR names the folder" in message


def test_no_folder_for_temporary_files(tiny, archive, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(pathlib.Path("/nowhere/at/all")))
    _refused(tiny, archive, "No such file or directory; TMPDIR names the folder")
