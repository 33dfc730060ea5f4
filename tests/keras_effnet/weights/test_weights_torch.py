"""PyTorch files: every network of the four packages that have them gives here
what it gives there."""

import argparse
import dataclasses
import functools
import json
import os
import pickle
import struct
import sys
import zipfile

import conftest
import keras
import numpy as np
import peer
import pytest
from test_weights import _noise
from test_weights import _photos
from test_weights import _refused
from test_weights import _text

import keras_effnet
from keras_effnet.weights import blocks as blocks_room
from keras_effnet.weights import importing
from keras_effnet.weights import load_weights
from keras_effnet.weights import torch_file
from keras_effnet.weights import torch_names

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
safetensors = pytest.importorskip("safetensors", reason="safetensors is not installed")

# torchvision's and timm's; of the operators that torchvision's Python part wants
# to be there, though no EfficientNet uses one.
_OPERATORS = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_library = torch.library.Library("torchvision", "FRAGMENT")


def _import_torchvision():
    try:
        return pytest.importorskip("torchvision.models", exc_type=ImportError)
    except RuntimeError:
        # Its compiled part is for another build of PyTorch.
        for name in ("nms", "qnms"):
            _library.define(name + _OPERATORS)
        return pytest.importorskip("torchvision.models", exc_type=ImportError)


def _lukemelas(name, size):
    module = pytest.importorskip("efficientnet_pytorch")
    return module.EfficientNet.from_name(name, image_size=size)


def _lite_package(name, size):
    module = pytest.importorskip("efficientnet_lite_pytorch")
    return module.EfficientNet.from_name(name, image_size=size)


def _timm(name, size):
    _import_torchvision()
    return pytest.importorskip("timm").create_model(name)


def _torchvision(name, size):
    return getattr(_import_torchvision(), name)()


def _build(name, **options):
    return getattr(keras_effnet, name)(
        **options,
        input_shape=(None, None, 3),
        include_preprocessing=False,
        classifier_activation=None,
    )


_built = functools.cache(_build)


def _ours(name):
    """The same one for all tests, emptied of what the last one loaded."""
    model = _built(name)
    for variable in model.weights:
        variable.assign(np.zeros(variable.shape))
    return model


def _pixels(size):
    return peer.images(*size) / 128 - 1


def _logits(network, size):
    network.eval()
    with torch.no_grad():
        return network(torch.from_numpy(_pixels(size)).permute(0, 3, 1, 2)).numpy()


def _shake(network, size):
    """`peer.randomize` for PyTorch, which has the reasons."""
    random = torch.Generator().manual_seed(0)

    def uniform(low, high, like):
        return low + (high - low) * torch.rand(like.shape, generator=random)

    network.eval()
    norms = [x for x in network.modules() if isinstance(x, torch.nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    with torch.no_grad():
        for layer in network.modules():
            if getattr(layer, "bias", None) is not None:
                layer.bias.copy_(uniform(-0.4, 0.4, layer.bias))
        for norm in norms:
            norm.weight.copy_(uniform(0.4, 0.8, norm.weight))
            norm.bias.copy_(uniform(0.5, 1.5, norm.bias))
            norm.momentum = 1.0
            norm.train()
        network(torch.from_numpy(_pixels(size)).permute(0, 3, 1, 2))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            variance = norm.running_var
            variance = torch.maximum(variance, 0.1 * variance.mean())
            shift = uniform(-0.4, 0.4, variance) * variance.sqrt()
            norm.running_mean += shift
            norm.running_var.copy_(variance * uniform(0.6, 1.4, variance))
    return network.eval()


def _saved(network, path):
    torch.save(network.state_dict(), path)
    return path


def _all_arrived(state, model):
    """Every tensor of the file is in the model, and nothing else is."""
    arrays = [
        tensor.numpy()
        for name, tensor in state.items()
        if not name.endswith("num_batches_tracked")
    ]
    assert len(arrays) == len(model.weights)
    given = sorted(float(np.abs(array, dtype="float64").sum()) for array in arrays)
    taken = sorted(
        float(np.abs(np.asarray(weight), dtype="float64").sum())
        for weight in model.weights
    )
    np.testing.assert_allclose(taken, given, rtol=1e-9)


def _tiny(**options):
    """The first two stages of a narrow B0: little to compare for each bad file."""
    spec = keras_effnet.scaled_spec("EfficientNetB0", 0.25, 0.25, 32, "tiny")
    spec = dataclasses.replace(spec, stages=spec.stages[:2])
    return keras_effnet.build_model(spec, classes=10, **options)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """More are slower for what is so small."""
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def tiny():
    return _tiny()


@pytest.fixture(scope="module")
def state():
    """The state dict of the same network by lukemelas."""
    module = pytest.importorskip("efficientnet_pytorch")
    stages, parameters = module.utils.efficientnet(0.25, 0.25, 32, num_classes=10)
    network = module.EfficientNet(stages[:2], parameters)
    return _shake(network, (32, 32)).state_dict()


def _written(values, path):
    """The arrays of a state dict in a `.safetensors` file."""
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in values.items()}, path)
    return path


def _same(actual, expected):
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(actual[name], value)
        assert actual[name].dtype == np.float32


# Networks that agree.


def _slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("build", "theirs", "ours"),
    [
        (_lukemelas, "efficientnet-b0", "EfficientNetB0"),
        (_lite_package, "efficientnet-lite0", "EfficientNetLite0"),
        (_torchvision, "efficientnet_b0", "EfficientNetB0"),
        (_timm, "efficientnet_b0", "EfficientNetB0"),
        (_timm, "efficientnet_lite0", "EfficientNetLite0"),
        (_timm, "efficientnet_es", "EfficientNetEdgeTPUS"),
        _slow(_torchvision, "efficientnet_v2_s", "EfficientNetV2S"),
        *(_slow(_timm, f"efficientnet_b{n}", f"EfficientNetB{n}") for n in range(1, 6)),
        *(
            _slow(_torchvision, f"efficientnet_b{n}", f"EfficientNetB{n}")
            for n in range(1, 6)
        ),
    ],
)
def test_outputs_agree(build, theirs, ours, tmp_path, caplog):
    sizes = [(32, 45), (64, 40)]
    if theirs.endswith(("b4", "b5")):
        # Deep ones' last maps of a pixel have no variance, and rounding grows.
        sizes = [(96, 101), (128, 80)]
    network = _shake(build(theirs, sizes[0]), sizes[0])
    state = network.state_dict()
    architecture = {"arch": theirs} if build is _timm else {}
    torch.save({"state_dict": state, **architecture}, tmp_path / "peer.pth.tar")
    model = _build(ours, weights=tmp_path / "peer.pth.tar")
    assert not caplog.messages
    _all_arrived(state, model)
    for size in sizes:
        network = build(theirs, size)
        network.load_state_dict(state)
        expected = _logits(network, size)
        assert peer.relative_error(model(_pixels(size)), expected) <= 1e-4


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("tf_efficientnet_b0", "EfficientNetB0"),
        ("tf_efficientnet_lite0", "EfficientNetLite0"),
        ("tf_efficientnet_es", "EfficientNetEdgeTPUS"),
        ("tf_efficientnetv2_b0", "EfficientNetV2B0"),
    ],
)
def test_timm_agrees_and_needs_no_pytorch(theirs, ours, tmp_path, monkeypatch):
    size = (40, 33)
    network = _shake(_timm(theirs, size), size)
    state = network.state_dict()
    _written(state, tmp_path / "timm.safetensors")
    _saved(network, tmp_path / "timm.pth")
    model = _ours(ours)
    pickled = torch_file.read(tmp_path / "timm.pth", model)
    with monkeypatch.context() as context:
        context.setitem(sys.modules, "torch", None)
        load_weights(model, tmp_path / "timm.safetensors")
        _same(torch_file.read(tmp_path / "timm.safetensors", model), pickled)
    _all_arrived(state, model)
    expected = _logits(network, size)
    assert peer.relative_error(model(_pixels(size)), expected) <= 1e-4


@pytest.mark.parametrize(
    "number", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2))]
)
def test_lite_from_pytorch(number):
    """Every tensor of the file must arrive, whole and in the right layout."""
    path = conftest.lite_weights(number)
    state = torch.load(path, map_location="cpu", weights_only=True)
    model = _ours(f"EfficientNetLite{number}")
    load_weights(model, path)
    _all_arrived(state, model)
    kernel = np.asarray(model.get_layer("stem_conv").kernel)
    stem = state["_conv_stem.weight"].numpy()
    np.testing.assert_array_equal(kernel[2, 1, 0, 7], stem[7, 0, 2, 1])
    kernel = np.asarray(model.get_layer("block2a_dwconv").kernel)
    index = [k for k in state if "_depthwise_conv" in k].index
    depthwise = state["_blocks.1._depthwise_conv.weight"].numpy()
    assert index("_blocks.1._depthwise_conv.weight") == 1
    np.testing.assert_array_equal(kernel[2, 1, 5, 0], depthwise[5, 0, 2, 1])


# Names and shapes of every network, and where torchvision's epsilon differs.

_PEERS = {
    **{
        f"EfficientNetB{n}": [
            (_lukemelas, f"efficientnet-b{n}"),
            (_timm, f"tf_efficientnet_b{n}"),
            *([(_torchvision, f"efficientnet_b{n}")] if n < 8 else []),
        ]
        for n in range(1, 9)
    },
    "EfficientNetL2": [
        (_lukemelas, "efficientnet-l2"),
        (_timm, "tf_efficientnet_l2"),
    ],
    **{
        f"EfficientNetLite{n}": [
            (_lite_package, f"efficientnet-lite{n}"),
            (_timm, f"tf_efficientnet_lite{n}"),
        ]
        for n in range(1, 5)
    },
    **{
        f"EfficientNetEdgeTPU{size}": [(_timm, f"tf_efficientnet_e{size.lower()}")]
        for size in "ML"
    },
    **{
        f"EfficientNetV2B{n}": [(_timm, f"tf_efficientnetv2_b{n}")] for n in range(1, 4)
    },
    **{
        f"EfficientNetV2{size}": [
            (_timm, f"tf_efficientnetv2_{size.lower()}"),
            (_torchvision, f"efficientnet_v2_{size.lower()}"),
        ]
        for size in "SML"
    },
    "EfficientNetV2XL": [(_timm, "tf_efficientnetv2_xl")],
}
_FAST = ("EfficientNetB1", "EfficientNetLite1", "EfficientNetEdgeTPUM")


@pytest.mark.parametrize(
    "ours",
    [
        name if name in _FAST else pytest.param(name, marks=pytest.mark.slow)
        for name in _PEERS
    ],
)
def test_every_name_and_shape(ours):
    # Neither side needs its numbers, which are 1.9 GB for L2.
    with keras.StatelessScope(initialize_variables=False):
        model = _build(ours)
    wanted = {
        f"{layer.name}/{variable.name}": tuple(variable.shape)
        for layer in model.layers
        for variable in layer.weights
    }
    for build, theirs in _PEERS[ours]:
        with torch.device("meta"):
            network = build(theirs, 33)
        values = torch_names.to_keras(_zeros(network), blocks_room.blocks(model))
        assert {name: value.shape for name, value in values.items()} == wanted, theirs
        _is_the_peers(torch_names.convention(_zeros(network), theirs), network)


def _zeros(network):
    """A state dict of zeros that take no memory."""
    return {
        name: np.broadcast_to(np.float32(0), tuple(tensor.shape))
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def _is_the_peers(found, network):
    norms = [x for x in network.modules() if isinstance(x, torch.nn.BatchNorm2d)]
    assert {found.bn_epsilon} == {norm.eps for norm in norms}
    convolutions = [x for x in network.modules() if isinstance(x, torch.nn.Conv2d)]
    # A convolution of its own pads in TensorFlow's way, by an attribute or a layer.
    stem = convolutions[0]
    symmetric = type(stem) is torch.nn.Conv2d and stem.padding == (1, 1)
    assert found.padding == ("symmetric" if symmetric else "same")


@pytest.mark.parametrize(
    ("build", "theirs"),
    [
        *((_torchvision, f"efficientnet_{name}") for name in ("b4", "b5", "v2_s")),
        *((_timm, name) for name in ("efficientnet_b0", "tf_efficientnet_b0")),
        *((_timm, name) for name in ("efficientnet_el", "tf_efficientnetv2_b0")),
        (_lukemelas, "efficientnet-b0"),
    ],
)
def test_the_convention_is_the_networks(build, theirs):
    """torchvision's B4 and B5 begin alike and have not the same epsilon."""
    with torch.device("meta"):
        network = build(theirs, None)
    found = torch_names.convention(_zeros(network), theirs)
    assert not found.assumed
    _is_the_peers(found, network)


def test_the_epsilon_of_the_model_counts(tiny, state, tmp_path):
    other = _tiny(bn_epsilon=1e-2)
    path = _written(state, tmp_path / "a.safetensors")
    load_weights(other, path)
    load_weights(tiny, path)
    assert peer.relative_error(other(_pixels((32, 32))), tiny(_pixels((32, 32)))) < 1e-6


# What a file may hold.


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {"state_dict": s, "epoch": 3, "optimizer": {"state": {}}},
        lambda s: {"state_dict": _other(s), "state_dict_ema": s},
        lambda s: {"model": _other(s), "model_ema": _averaged(s), "scaler": None},
        lambda s: {"model": s, "model_ema": None},
        lambda s: _prefixed(s, "module."),
        lambda s: {"state_dict": _prefixed(s, "_orig_mod.module.")},
        lambda s: {"model_state_dict": s, "loss": 1.5},
        lambda s: {"state_dict": _prefixed(s, "model."), "hyper_parameters": {"lr": 1}},
        lambda s: {"state_dict": s, "args": argparse.Namespace(lr=1.0)},
        lambda s: {"state_dict": s, "args": {"lr": 1.0}},
        lambda s: {name: torch.nn.Parameter(t) for name, t in _floats(s).items()},
        lambda s: {name: tensor.double() for name, tensor in _floats(s).items()},
    ],
    ids=[
        "nested",
        "timm-ema",
        "torchvision-ema",
        "ema-unused",
        "ddp",
        "compiled",
        "loop",
        "lightning",
        "timm",
        "args",
        "parameters",
        "double",
    ],
)
def test_ways_of_wrapping_a_state_dict(tiny, state, wrap, tmp_path):
    torch.save(state, tmp_path / "plain.pth")
    plain = torch_file.read(tmp_path / "plain.pth", tiny)
    assert len(plain) == len(tiny.weights)
    for name in ("wrapped.pth.tar", "wrapped.ckpt"):
        torch.save(wrap(state), tmp_path / name)
        _same(importing.read(tmp_path / name, tiny), plain)
        assert importing.convention(tmp_path / name).padding == "same"


def _floats(state):
    return {k: tensor for k, tensor in state.items() if tensor.is_floating_point()}


def _other(state):
    return {name: tensor + 1 for name, tensor in state.items()}


def _prefixed(state, prefix):
    return {prefix + name: tensor for name, tensor in state.items()}


def _averaged(state):
    """`torch.optim.swa_utils.AveragedModel` of a DistributedDataParallel."""
    return {"n_averaged": torch.tensor(7), **_prefixed(state, "module.module.")}


def test_names_with_and_without_a_prefix_are_no_state_dict(tiny, state, tmp_path):
    torch.save({**state, "module._fc.weight": torch.ones(2)}, tmp_path / "mixed.pth")
    _refused(tiny, tmp_path / "mixed.pth", "module._fc.weight .* has no place")


@pytest.mark.parametrize("suffix", [".pt", ".bin"])
def test_the_other_suffixes_and_the_older_format(tiny, state, suffix, tmp_path):
    torch.save(state, tmp_path / "new.pth")
    older = tmp_path / f"old{suffix}"
    torch.save(state, older, _use_new_zipfile_serialization=False)
    _same(torch_file.read(older, tiny), torch_file.read(tmp_path / "new.pth", tiny))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_precisions(tiny, state, dtype, tmp_path):
    """PyTorch converts one file, we the other."""
    cast = {k: t.to(getattr(torch, dtype)) for k, t in _floats(state).items()}
    torch.save({k: t.float() for k, t in cast.items()}, tmp_path / "float32.pth")
    torch.save(cast, tmp_path / "cast.pth")
    _written(cast, tmp_path / "cast.safetensors")
    expected = torch_file.read(tmp_path / "float32.pth", tiny)
    _same(torch_file.read(tmp_path / "cast.safetensors", tiny), expected)
    _same(torch_file.read(tmp_path / "cast.pth", tiny), expected)


def test_a_file_without_a_classifier(state, tmp_path):
    headless = {k: t for k, t in state.items() if not k.startswith("_fc.")}
    model = _tiny(include_top=False)
    load_weights(model, _written(headless, tmp_path / "headless.safetensors"))
    _all_arrived(headless, model)


# Files of another network.


def test_the_blocks_of_another_network_are_named(tmp_path):
    path = _saved(_lite_package("efficientnet-lite1", 33), tmp_path / "lite1.pth")
    message = _refused(
        _ours("EfficientNetLite0"), path, "are not those of efficientnet-lite0"
    )
    # The file numbers its blocks: Lite0's fourth, 3a, is Lite1's 2c.
    assert (
        "block3a_dwconv/kernel is (5, 5, 144, 1) in the model and (3, 3, 144, 1) in "
        "the file; "
    ) in message


@pytest.mark.parametrize(
    ("build", "theirs"),
    [
        (_timm, "tf_efficientnet_b0"),
        (_timm, "tf_efficientnetv2_b0"),
        (_torchvision, "mobilenet_v2"),
    ],
)
def test_other_networks(tiny, build, theirs, tmp_path):
    _written(build(theirs, 33).state_dict(), tmp_path / "other.safetensors")
    _refused(tiny, tmp_path / "other.safetensors", "are not those of tiny")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("weight", "stem_conv/kernel .* is not in the file"),
        ("blocks.x.conv.weight", "stem_conv/kernel .* is not in the file"),
        ("blocks.0.0.conv.strange", "stem_conv/kernel .* is not in the file"),
        ("features.1.0.block.0.weight", "stem_conv/kernel .* is not in the file"),
        ("_blocks.99._bn1.weight", "stem_conv/kernel .* is not in the file"),
        (f"_blocks.{'9' * 5000}._bn1.weight", "stem_conv/kernel .* is not in the"),
        ("_conv_stem.weight", r"\(3, 3, 3, 8\) in the model and \(3, 3\) in the"),
    ],
)
def test_other_names_in_a_pytorch_file(tiny, suffix, name, match, tmp_path):
    path = tmp_path / f"other{suffix}"
    values = {name: torch.zeros(3, 3)}
    torch.save(values, path) if suffix == ".pth" else _written(values, path)
    _refused(tiny, path, match)


_SEVERAL = "more than one layer"


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("_bn0.something", "has no place"),
        ("_fc.running_mean", _SEVERAL),
        ("_conv_head.running_var", "has no place"),
        ("_blocks.0._extra.weight", "has no place"),
        ("conv_stem.weight", "has no place"),
        ("classifier.weight", _SEVERAL),
    ],
)
def test_one_name_too_many(tiny, state, name, match, tmp_path):
    torch.save({**state, name: torch.ones(3)}, tmp_path / "more.pth")
    _refused(tiny, tmp_path / "more.pth", match)


@pytest.mark.parametrize("content", ["tensor", "list", "nested", "numbered"])
def test_a_pytorch_file_without_a_state_dict(tiny, content, tmp_path):
    zeros = torch.zeros(3)
    contents = {
        "tensor": zeros,
        "list": [zeros],
        "nested": {"state": {"a": zeros}},
        "numbered": {1: zeros},
    }
    torch.save(contents[content], tmp_path / "other.pth")
    _refused(tiny, tmp_path / "other.pth", "no state dict")


@pytest.mark.parametrize(
    ("suffix", "dtype", "name"),
    [
        (".pth", torch.int8, "int8"),
        (".pth", torch.float8_e4m3fn, "float8_e4m3fn"),
        (".safetensors", torch.int8, "I8"),
        (".safetensors", torch.float8_e4m3fn, "F8_E4M3"),
    ],
)
def test_quantized_tensors_are_refused(tiny, state, suffix, dtype, name, tmp_path):
    path = tmp_path / f"quantized{suffix}"
    values = {**state, "_fc.weight": state["_fc.weight"].to(dtype)}
    torch.save(values, path) if suffix == ".pth" else _written(values, path)
    _refused(tiny, path, f"Weights are .*, and the file's '_fc.weight' is {name}")


# Files that are none.


def test_pytorch_must_be_installed(tiny, tmp_path, monkeypatch):
    path = tmp_path / "lite0.pth"
    path.touch()
    monkeypatch.setitem(sys.modules, "torch", None)
    _refused(tiny, path, r"pip install 'keras-effnet\[torch\]'")


def test_safetensors_must_be_installed(tiny, tmp_path, monkeypatch):
    path = tmp_path / "lite0.safetensors"
    path.touch()
    monkeypatch.setitem(sys.modules, "safetensors", None)
    _refused(tiny, path, "pip install safetensors")


_CANNOT = "can't be read: it is damaged|can't be read, it may be cut off or damaged"


@pytest.fixture(scope="module")
def whole(state, tmp_path_factory):
    """The bytes of a good file by suffix."""
    folder = tmp_path_factory.mktemp("whole")
    torch.save(state, folder / "a.pth")
    _written(_floats(state), folder / "a.safetensors")
    return {path.suffix: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("keep", [0, 7, 100, 10_000, 0.5, -10])
def test_a_cut_off_pytorch_file(tiny, whole, suffix, keep, tmp_path):
    content = whole[suffix]
    keep = int(keep * len(content)) if isinstance(keep, float) else keep
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(content[:keep])
    _refused(tiny, path, _CANNOT)


def _flipped(content, place):
    content = bytearray(content)
    content[place] ^= 4
    return bytes(content)


@pytest.mark.parametrize("place", [0, 2, 7, 8, 9, 30])
def test_a_flipped_bit_in_the_header_of_safetensors(tiny, whole, place, tmp_path):
    path = tmp_path / "flipped.safetensors"
    path.write_bytes(_flipped(whole[".safetensors"], place))
    _refused(tiny, path, f"{_CANNOT}|not those of")


# The first record's mark and name, its pickle, a tensor, the directory's end.
@pytest.mark.parametrize("place", [0, 32, 500, 0.5, -22])
def test_a_flipped_bit_in_a_pytorch_file(tiny, whole, place, tmp_path):
    content = whole[".pth"]
    place = int(place * len(content)) if isinstance(place, float) else place
    path = tmp_path / "flipped.pth"
    path.write_bytes(_flipped(content, place))
    _refused(tiny, path, _CANNOT)


def test_checksums_may_be_left_out(tiny, state, whole, tmp_path):
    (tmp_path / "with.pth").write_bytes(whole[".pth"])
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(state, tmp_path / "without.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    expected = torch_file.read(tmp_path / "with.pth", tiny)
    _same(torch_file.read(tmp_path / "without.pth", tiny), expected)


@pytest.mark.parametrize(
    ("entries", "length"),
    [
        ({"a": ("F32", [2], [0, 8])}, 2**62),
        ({"a": ("F32", [2], [0, 8])}, 10**6),
        ({"a": ("F32", [2], [0, 8])}, 0),
        ({"a": ("F32", [4], [0, 16])}, None),
        ({"a": ("F32", [1], [0, 8])}, None),
        ({"a": ("F32", [2], [0, 8]), "b": ("F32", [1], [4, 8])}, None),
        ({"a": ("F32", [1], [0, 4]), "b": ("F32", [0], [8, 8])}, None),
        ({"a": ("F32", [2**40, 2**40], [0, 8])}, None),
        ({"a": ("F32", [-2], [0, 8])}, None),
        ({"a": ("F\n", [2], [0, 8])}, None),
        ([], None),
    ],
)
def test_a_safetensors_header_that_lies(tiny, entries, length, tmp_path):
    header = entries
    if entries:
        header = {
            name: {"dtype": dtype, "shape": shape, "data_offsets": offsets}
            for name, (dtype, shape, offsets) in entries.items()
        }
    header = json.dumps(header).encode()
    length = len(header) if length is None else length
    path = tmp_path / "lies.safetensors"
    path.write_bytes(struct.pack("<Q", length) + header + bytes(8))
    _refused(tiny, path, "can't be read, it may be cut off or damaged")


def test_a_pytorch_file_that_unpacks_to_more_than_a_network(tiny, tmp_path):
    path = tmp_path / "weights.pth"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("archive/data/0", "w", force_zip64=True) as file,
    ):
        for _ in range(1100):
            file.write(bytes(2**20))
    _refused(tiny, path, "unpacks to 1153433600 bytes, and this network could not")


def test_a_tensor_larger_than_its_file(tiny, tmp_path):
    huge = torch.zeros(1).expand(10**6, 10**6)
    torch.save({"_fc.weight": huge}, tmp_path / "huge.pth")
    _refused(tiny, tmp_path / "huge.pth", "can't be read")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("write", [_text, _noise, _photos])
def test_a_pytorch_file_of_something_else(tiny, suffix, write, tmp_path):
    write(tmp_path / f"other{suffix}")
    _refused(tiny, tmp_path / f"other{suffix}", "can't be read")


class _Code:
    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("writer", ["pickle", "torch"])
def test_code_in_a_pytorch_file_is_refused_and_not_run(tiny, writer, tmp_path):
    state = {"_conv_stem.weight": _Code(tmp_path / "run")}
    path = tmp_path / "code.pth"
    if writer == "pickle":
        path.write_bytes(pickle.dumps(state, protocol=2))
    else:
        torch.save(state, path)
    _refused(tiny, path, "holds more than tensors, which is refused")
    assert not (tmp_path / "run").exists()
    if writer == "pickle":
        pickle.loads(path.read_bytes())
        assert (tmp_path / "run").exists(), "the file does hold code"
