"""The 26 networks, against published numbers and `keras.applications`."""

import dataclasses
import functools
import inspect
import json
import os
import subprocess
import sys

import battery
import keras
import numpy as np
import peer
import pytest
from reference_counts import PUBLISHED

import keras_effnet
from keras_effnet import blocks
from keras_effnet import preprocessing
from keras_effnet.analysis import build_without_weights
from keras_effnet.errors import InputError
from keras_effnet.specs import SPECS

# Odd at every stride against even at every stride.
SHAPE = (33, 64, 3)
SMALLEST = (
    "EfficientNetB0",
    "EfficientNetV2B0",
    "EfficientNetLite0",
    "EfficientNetEdgeTPUS",
)
# Stages which between them have every kind of block, normalisation and activation.
ON_OTHER_BACKENDS = (("EfficientNetV2B0", 0, 1, 3), ("EfficientNetLite0", 0, 1))
LARGE = (
    "EfficientNetB4",
    "EfficientNetB5",
    "EfficientNetB6",
    "EfficientNetB7",
    "EfficientNetB8",
    "EfficientNetL2",
    "EfficientNetV2B3",
    "EfficientNetV2M",
    "EfficientNetV2L",
    "EfficientNetV2XL",
)


def _marked(names, slow):
    return [
        pytest.param(name, marks=pytest.mark.slow if name in slow else ())
        for name in names
    ]


def _networks(names):
    """All of them; one of each family is quick enough for `make test`."""
    slow = set(SPECS) - set(SMALLEST)
    return pytest.mark.parametrize("network", _marked(names, slow), indirect=True)


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    with battery.stock_keras(tmp_path_factory.mktemp("stock_keras")) as process:
        yield process


@dataclasses.dataclass
class _Network:
    """Ours without its softmax, and theirs with the same random weights, or
    `None` where `keras.applications` lacks it."""

    ours: keras.Model
    theirs: keras.Model | None

    @functools.cached_property
    def outputs(self):
        """Of the last convolution and of the classifier, both in one run."""
        return _map_and_logits(self.ours)


@pytest.fixture(scope="module")
def network(request, process, tmp_path_factory):
    name = request.param
    keras.utils.set_random_seed(0)
    pixels = peer.images(*SHAPE)
    if name in peer.NAMES:
        theirs = peer.build(name, SHAPE)
        ours = _with_weights_of(theirs, name)
    else:
        theirs = None
        ours = _build(name, input_shape=SHAPE, classifier_activation=None)
        peer.randomize(ours, pixels)
    path = tmp_path_factory.mktemp("saved") / f"{name}.keras"
    ours.save(path)
    # Loads it while this process runs the other tests of the network.
    process.start(path, pixels)
    yield _Network(ours, theirs)
    path.unlink()
    keras.backend.clear_session()


def _build(name, **options):
    return getattr(keras_effnet, name)(**options)


def _short(network, **options):
    """The first two stages of a network: for what does not depend on depth."""
    return keras_effnet.build_model(_cut(network, 0, 1), **options)


def _cut(network, *stages):
    spec = SPECS[network]
    return dataclasses.replace(spec, stages=tuple(spec.stages[i] for i in stages))


def _with_weights_of(theirs, name, **options):
    options = {"input_shape": theirs.input_shape[1:], **options}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "CONV_INITIALIZER", "zeros")
        ours = _build(name, classifier_activation=None, **options)
    peer.copy(theirs, ours)
    return ours


def _map_and_logits(model):
    last = model.get_layer("top_activation").output
    height, width, channels = model.input_shape[1:]
    both = keras.Model(model.input, [last, model.output])
    return [np.asarray(x) for x in both(peer.images(height, width, channels))]


def _run(code, *arguments, **options):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        **options,
    ).stdout


# Every network.


@pytest.mark.parametrize("name", _marked(SPECS, LARGE))
def test_structure(name):
    model = build_without_weights(name)
    battery.check_structure(model, SPECS[name], PUBLISHED[name])


@_networks(peer.NAMES)
def test_outputs_are_those_of_keras_applications(network):
    expected = _map_and_logits(network.theirs)
    for actual, wanted in zip(network.outputs, expected, strict=True):
        assert peer.relative_error(actual, wanted) <= 1e-5
    names = [layer.name for layer in network.theirs.layers if layer.weights]
    assert [layer.name for layer in network.ours.layers if layer.weights] == [
        name for name in names if name != "normalization"
    ]


@_networks(SPECS)
def test_saved_it_needs_keras_alone(network, process):
    _, logits = network.outputs
    battery.check_saved(process, logits)


def test_the_process_lacks_this_package(process, tmp_path):
    inputs = keras.Input((2,))
    outputs = keras_effnet.Swish(trainable_beta=True)(inputs)
    keras.Model(inputs, outputs).save(tmp_path / "model.keras")
    process.start(tmp_path / "model.keras", np.zeros((1, 2)))
    with pytest.raises(RuntimeError, match="Swish"):
        process.outputs()


# Two small ones, in every combination, at another size.


@pytest.mark.parametrize(
    ("name", "heads"),
    [
        (
            "EfficientNetB0",
            [("logits", True), ("logits", False), ("maps", False), ("avg", True),
             ("max", False)],
        ),
        ("EfficientNetV2B0", [("logits", False)]),
    ],
)  # fmt: skip
def test_every_head_with_and_without_preprocessing(name, heads):
    theirs = peer.build(name, (48, 43, 3))
    maps, logits = _map_and_logits(theirs)
    expected = {
        "logits": logits,
        "maps": maps,
        "avg": maps.mean(axis=(1, 2)),
        "max": maps.max(axis=(1, 2)),
    }
    options = {
        "logits": {},
        "maps": {"include_top": False},
        "avg": {"include_top": False, "pooling": "avg"},
        "max": {"include_top": False, "pooling": "max"},
    }
    pixels = peer.images(48, 43)
    prepared = peer.normalized(name, pixels)
    for head, preprocessed in heads:
        ours = _with_weights_of(
            theirs, name, include_preprocessing=preprocessed, **options[head]
        )
        found = ours(pixels if preprocessed else prepared)
        assert peer.relative_error(found, expected[head]) <= 1e-5


@pytest.mark.parametrize("name", [*SMALLEST, "EfficientNetV2S"])
def test_without_the_top_it_is_the_same_network_cut(name):
    whole = build_without_weights(name, input_shape=SHAPE)
    backbone = build_without_weights(name, input_shape=SHAPE, include_top=False)
    layers = whole.layers[: len(backbone.layers)]
    assert layers[-1].name == "top_activation"
    for ours, cut in zip(layers[1:], backbone.layers[1:], strict=True):
        assert ours.get_config() == cut.get_config()


@pytest.mark.parametrize("network", ["EfficientNetB0"], indirect=True)
def test_a_wrong_mean_or_deviation_is_noticed(network, monkeypatch):
    pixels = peer.images(*SHAPE)
    expected = network.theirs(pixels)
    (red, *others), deviation = preprocessing.NORMALIZATIONS["imagenet"]
    for wrong in (
        ((red + 0.05, *others), deviation),
        ((red, *others), (*deviation[:2], deviation[2] + 0.05)),
    ):
        monkeypatch.setitem(preprocessing.NORMALIZATIONS, "imagenet", wrong)
        ours = _with_weights_of(network.theirs, "EfficientNetB0")
        assert peer.relative_error(ours(pixels), expected) > 1e-5


# The constructors.


def _parameters(module, name):
    return inspect.signature(getattr(module, name)).parameters


def test_arguments_are_those_of_keras_applications():
    for name in peer.NAMES:
        theirs = _parameters(keras.applications, name)
        ours = _parameters(keras_effnet, name)
        assert list(ours)[: len(theirs)] == list(theirs)
        for argument, parameter in theirs.items():
            assert ours[argument].kind == parameter.kind
            default = None if argument == "weights" else parameter.default
            assert ours[argument].default == default
        if "include_preprocessing" not in theirs:
            added = ours["include_preprocessing"]
            assert added.kind == inspect.Parameter.KEYWORD_ONLY
            assert added.default is True


def test_the_same_arguments_where_there_is_no_peer():
    for name, spec in SPECS.items():
        peers = "EfficientNetV2S" if spec.family == "v2" else "EfficientNetB0"
        ours = _parameters(keras_effnet, name)
        assert list(ours) == list(_parameters(keras_effnet, peers))
        assert ours["name"].default == spec.model_name
        assert getattr(keras_effnet, name).__name__ == name


def test_a_constructor_touches_no_network():
    output = _run(
        "import sys\n"
        "def refuse(event, _):\n"
        "    if event.startswith('socket.'):\n"
        "        raise RuntimeError(event)\n"
        "sys.addaudithook(refuse)\n"
        "import keras_effnet; print(keras_effnet.EfficientNetLite0().count_params())"
    )
    assert output == "4694024\n"


_ON_A_BACKEND = """
import dataclasses, json, sys
import keras, numpy
import keras_effnet
from keras_effnet import blocks
blocks.CONV_INITIALIZER = "zeros"
folder = sys.argv[1]
assert "tensorflow" not in sys.modules
pixels = numpy.load(f"{folder}/pixels.npy")
for name, *stages in json.loads(sys.argv[2]):
    spec = keras_effnet.SPECS[name]
    stages = tuple(spec.stages[i] for i in stages)
    model = keras_effnet.build_model(
        dataclasses.replace(spec, stages=stages), input_shape=pixels.shape[1:],
        weights=f"{folder}/{name}.weights.h5", classifier_activation=None)
    numpy.save(f"{folder}/{name}.npy", model.predict(pixels, verbose=0))
"""


@pytest.fixture(scope="module")
def folder_of_weights(tmp_path_factory):
    """Two networks' weights, an input and the outputs that belong to it."""
    folder = tmp_path_factory.mktemp("weights")
    pixels = peer.images(*SHAPE)
    np.save(folder / "pixels.npy", pixels)
    for name, *stages in ON_OTHER_BACKENDS:
        spec = _cut(name, *stages)
        model = keras_effnet.build_model(
            spec, input_shape=SHAPE, classifier_activation=None
        )
        peer.randomize(model, pixels)
        model.save_weights(folder / f"{name}.weights.h5")
        np.save(folder / f"{name}.expected.npy", model(pixels))
    return folder


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_give_the_same(backend, folder_of_weights):
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    _run(
        _ON_A_BACKEND,
        folder_of_weights,
        json.dumps(ON_OTHER_BACKENDS),
        env={**os.environ, "KERAS_BACKEND": backend},
    )
    for name, *_ in ON_OTHER_BACKENDS:
        actual = np.load(folder_of_weights / f"{name}.npy")
        expected = np.load(folder_of_weights / f"{name}.expected.npy")
        (folder_of_weights / f"{name}.npy").unlink()
        assert peer.relative_error(actual, expected) <= 1e-4


# Beyond keras.applications.


@pytest.mark.parametrize(
    ("name", "channels", "mean", "std"),
    [
        ("EfficientNetB0", 3, [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]),
        ("EfficientNetB0", 1, [(123.675 + 116.28 + 103.53) / 3], [57.63]),
        ("EfficientNetB0", 4, [128.0], [128.0]),
        ("EfficientNetV2B1", 1, [(123.675 + 116.28 + 103.53) / 3], [57.63]),
        ("EfficientNetV2S", 1, [128.0], [128.0]),
        ("EfficientNetLite0", 3, [127.0], [128.0]),
        ("EfficientNetLite0", 4, [127.0], [128.0]),
        ("EfficientNetEdgeTPUS", 1, [127.0], [128.0]),
    ],
)
def test_any_number_of_channels(name, channels, mean, std):
    model = _short(name, input_shape=(33, 32, channels))
    assert model.get_layer("stem_conv").kernel.shape[2] == channels
    normalized = keras.Model(model.input, model.get_layer("stem_conv").input)
    pixels = peer.images(33, 32, channels)
    expected = (pixels - np.array(mean)) / np.array(std)
    np.testing.assert_allclose(normalized(pixels), expected, atol=1e-5)
    bare = _short(name, input_shape=(33, 32, channels), include_preprocessing=False)
    assert bare.layers[1].name == "stem_conv"
    assert model(pixels).shape == bare(pixels).shape == (4, 1000)


@pytest.mark.parametrize("name", SMALLEST)
def test_features_are_five_maps_of_halving_size(name):
    options = {"features_only": True, "input_shape": (70, 64, 3)}
    model = build_without_weights(name, **options)
    assert [tensor.shape[1:3] for tensor in model.outputs] == [
        (35, 32),
        (18, 16),
        (9, 8),
        (5, 4),
        (3, 2),
    ]
    assert model.name == SPECS[name].model_name
    assert "top_conv" not in [layer.name for layer in model.layers]
    with_top = build_without_weights(name, include_top_conv=True, **options)
    shapes = [tensor.shape for tensor in model.outputs[:-1]]
    assert [tensor.shape for tensor in with_top.outputs[:-1]] == shapes
    assert with_top.outputs[-1].shape == (None, 3, 2, PUBLISHED[name].top)


def test_features_have_an_open_size():
    model = _short("EfficientNetLite0", features_only=True)
    assert model.input_shape == (None, None, None, 3)


def test_features_are_the_last_maps_before_each_stride():
    model = _build("EfficientNetB0", input_shape=SHAPE)
    pixels = peer.images(*SHAPE)
    features = _build("EfficientNetB0", input_shape=SHAPE, features_only=True)
    peer.copy(model, features)
    ends = ("block1a_project_bn", "block2b_add", "block3b_add", "block5c_add")
    last = "block7a_project_bn"
    expected = keras.Model(
        model.input, [model.get_layer(name).output for name in (*ends, last)]
    )
    for actual, wanted in zip(features(pixels), expected(pixels), strict=True):
        np.testing.assert_array_equal(actual, wanted)


def test_a_backbone_without_the_last_convolution():
    model = build_without_weights(
        "EfficientNetB0", include_top=False, include_top_conv=False
    )
    assert model.output_shape == (None, None, None, 320)


def test_any_keras_activation():
    model = _short("EfficientNetB0", input_shape=(32, 32, 3), activation="relu")
    found = {
        layer.activation.__name__
        for layer in model.layers
        if isinstance(layer, keras.layers.Activation) or "se_reduce" in layer.name
    }
    assert found == {"relu"}
    gates = [layer for layer in model.layers if layer.name.endswith("se_expand")]
    assert len(gates) == 3
    assert {layer.activation.__name__ for layer in gates} == {"sigmoid"}


def test_swish_with_beta_one_is_the_published_network():
    published = _short("EfficientNetB0", input_shape=(33, 32, 3))
    swish = keras_effnet.Swish(beta=1.0)
    ours = _short("EfficientNetB0", input_shape=(33, 32, 3), activation=swish)
    peer.copy(published, ours)
    pixels = peer.images(33, 32)
    np.testing.assert_allclose(ours(pixels), published(pixels), atol=1e-7)


def test_every_place_has_a_beta_of_its_own():
    swish = keras_effnet.Swish(beta=0.5, trainable_beta=True)
    model = _short("EfficientNetB0", input_shape=(32, 32, 3), activation=swish)
    betas = [weight for weight in model.trainable_weights if weight.shape == ()]
    # Stem, expansion (not in block 1), depthwise and squeeze of 3 blocks, top.
    assert len({weight.path for weight in betas}) == 1 + 2 + 3 + 3 + 1
    assert {float(beta) for beta in betas} == {0.5}


def test_rates_and_momentum():
    model = _short(
        "EfficientNetV2S",
        input_shape=(32, 32, 3),
        dropout_rate=0.35,
        drop_connect_rate=0.4,
        bn_momentum=0.8,
    )
    assert model.get_layer("top_dropout").rate == 0.35
    battery.check_drop_connect(model, SPECS["EfficientNetV2S"], blocks=6, rate=0.4)
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert {layer.momentum for layer in norms} == {0.8}
    bare = _short("EfficientNetV2S", dropout_rate=0, drop_connect_rate=0)
    battery.check_drop_connect(bare, SPECS["EfficientNetV2S"], blocks=6, rate=0)
    assert not [x for x in bare.layers if isinstance(x, keras.layers.Dropout)]


def test_drop_connect_counts_the_blocks_of_a_custom_network():
    spec = keras_effnet.scaled_spec("EfficientNetV2B0", width=0.25, depth=0.5)
    model = build_without_weights(spec)
    battery.check_drop_connect(model, spec, blocks=1 + 1 + 1 + 2 + 3 + 4, rate=0.2)


@pytest.mark.parametrize(
    ("fused_stages", "millions", "within"),
    [
        ((), 19.3, 0.003),
        # The paper's own B4 seems to have had 3x3 kernels in stage 3, for which
        # we count 19.9 million.
        ((1, 2, 3), 20.0, 0.05),
        ((1, 2, 3, 4, 5), 43.4, 0.004),
        ((1, 2, 3, 4, 5, 6, 7), 132.0, 0.002),
    ],
)
def test_fused_b4_is_as_large_as_in_the_v2_papers_table_3(
    fused_stages, millions, within
):
    model = build_without_weights("EfficientNetB4", fused_stages=fused_stages)
    trainable = sum(np.prod(weight.shape) for weight in model.trainable_weights)
    assert trainable / 1e6 == pytest.approx(millions, rel=within)
    names = {layer.name for layer in model.layers}
    for stage in range(1, 8):
        fused = stage in fused_stages
        assert (f"block{stage}a_dwconv" in names) != fused
        assert (f"block{stage}a_se_squeeze" in names) != fused


def test_published_stages_fused_is_the_published_network():
    for name, fused in (
        ("EfficientNetV2S", (1, 2, 3)),
        ("EfficientNetEdgeTPUS", (1, 2, 3)),
        ("EfficientNetB0", ()),
    ):
        model = build_without_weights(name, fused_stages=fused)
        battery.check_structure(model, SPECS[name], PUBLISHED[name])


def test_a_stage_that_is_not_fused_squeezes_as_the_others_do():
    def squeezed(name):
        model = build_without_weights(name, fused_stages=[2])
        names = [layer.name for layer in model.layers]
        assert "block1a_dwconv2" in names or "block1a_dwconv" in names
        return {name[5] for name in names if name.endswith("se_squeeze")}

    assert squeezed("EfficientNetV2B0") == set("13456")
    assert squeezed("EfficientNetEdgeTPUS") == set()


def test_builds_on_a_tensor():
    inputs = keras.Input((40, 36, 3), name="photo")
    x = keras.layers.RandomFlip()(inputs)
    model = _short("EfficientNetLite0", input_tensor=x, classes=7, name="flipped")
    assert model.name == "flipped"
    assert model.inputs[0] is inputs
    assert model.output_shape == (None, 7)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_keeps_the_ends_in_float32(policy):
    keras.config.set_dtype_policy(policy)
    model = _short("EfficientNetB0", input_shape=(32, 32, 3))
    outputs = {layer.name: layer.output.dtype for layer in model.layers}
    assert outputs["block2a_expand_conv"] == policy.removeprefix("mixed_")
    for name in ("normalization", "avg_pool", "predictions", "block2a_se_squeeze"):
        assert outputs[name] == "float32"
    assert {variable.dtype for variable in model.weights} == {"float32"}


def test_softmax_is_the_default():
    model = _short("EfficientNetLite0", input_shape=(32, 32, 3), classes=5)
    sums = np.asarray(model(peer.images(32, 32))).sum(axis=1)
    np.testing.assert_allclose(sums, 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"input_shape": 224}, r"three positive integers.*Received: input_shape=224"),
        ({"input_shape": (224, 224)}, r"Received: input_shape=\(224, 224\)"),
        ({"input_shape": (0, 32, 3)}, r"Received: input_shape=\(0, 32, 3\)"),
        ({"input_shape": (32, -1, 3)}, r"Received: input_shape=\(32, -1, 3\)"),
        ({"input_shape": (32, 32, None)}, r"Received: input_shape=\(32, 32, None\)"),
        ({"input_shape": (32.5, 32, 3)}, r"Received: input_shape=\(32.5, 32, 3\)"),
        ({"input_tensor": np.zeros((1, 32, 32, 3))}, "Received: ndarray of shape"),
        ({"pooling": "mean"}, "None, 'avg' or 'max'.*Received: pooling='mean'"),
        ({"classes": 0}, "positive integer.*Received: classes=0"),
        ({"classes": 10.0}, r"positive integer.*Received: classes=10\.0"),
        ({"dropout_rate": 1.0}, r"below 1\. Received: dropout_rate=1\.0"),
        ({"dropout_rate": "a"}, r"a number.* Received: dropout_rate='a'"),
        ({"weights": 3}, r"path of a weights file\. Received: 3"),
        ({"drop_connect_rate": -0.1}, r"Received: drop_connect_rate=-0\.1"),
        ({"bn_momentum": 1.5}, r"Received: bn_momentum=1\.5"),
        ({"fused_stages": (1, 8)}, r"1 to 7\. Received: fused_stages=\(1, 8\)"),
        ({"fused_stages": 3}, "1 to 7. Received: fused_stages=3"),
        ({"features_only": True, "pooling": "avg"}, "not pooled"),
        ({"include_top_conv": False}, "include_top=True, include_top_conv=False"),
    ],
)
def test_an_impossible_argument_is_one_clear_line(wrong, message):
    with pytest.raises(InputError, match=message) as caught:
        _build("EfficientNetB0", **wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(32, 32, None), (32, 32)])
def test_a_tensor_of_an_impossible_shape_is_refused(shape):
    with pytest.raises(InputError, match=r"Received: KerasTensor of shape \(None, 32"):
        _build("EfficientNetB0", input_tensor=keras.Input(shape))


def test_an_unknown_network_is_refused():
    with pytest.raises(InputError, match="Did you mean 'EfficientNetV2S'"):
        keras_effnet.build_model("EfficientNetVS2")
    with pytest.raises(InputError, match="Received: 5"):
        keras_effnet.build_model(5)
