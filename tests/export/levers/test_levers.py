"""Each lever alone, against what can be computed without it."""

import dataclasses
import os
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_classifier
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.interpreter import OpResolverType
from keras import layers

from keras_effnet.export import calibration
from keras_effnet.export import converting
from keras_effnet.export.calibration import Ranges
from keras_effnet.export.levers import distillation
from keras_effnet.export.levers import fake_quantization
from keras_effnet.export.levers import islands
from keras_effnet.export.levers import ranges
from keras_effnet.export.levers import sensitivity
from keras_effnet.export.levers.draft import Draft
from keras_effnet.export.levers.network import Network
from keras_effnet.export.levers.network import with_constants


def _smooth(seed, images):
    """Neighbouring pixels and colours go together, as in photographs."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(0, 255, (images, 4, 4, 1)) + random.normal(
        0, 30, (images, 4, 4, 3)
    )
    fine = tf.image.resize(coarse, (24, 24), "bicubic").numpy()
    return fine.clip(0, 255).astype("float32")


IMAGES = _smooth(0, 24)


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    """Inverted bottlenecks with squeeze and excite; classes that differ."""
    keras.utils.set_random_seed(0)
    image = keras.Input((24, 24, 3))
    x = layers.Rescaling(1 / 128, -1)(image)
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="swish")(x)
    y = layers.Conv2D(24, 1, activation="swish")(x)
    y = layers.DepthwiseConv2D(3, padding="same", activation="swish")(y)
    z = layers.GlobalAveragePooling2D(keepdims=True)(y)
    z = layers.Conv2D(24, 1, activation="sigmoid")(z)
    y = layers.Conv2D(8, 1)(layers.Multiply()([y, z]))
    x = layers.Add()([x, y])
    x = layers.Conv2D(160, 3, strides=2, activation="relu6")(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, layers.Dense(6, activation="softmax")(x))
    random = np.random.default_rng(0)
    for variable in model.trainable_variables:
        if "bias" in variable.path:
            variable.assign(random.normal(0, 0.3, variable.shape))
    model.layers[-1].kernel.assign(model.layers[-1].kernel * 8)
    return converting.trace(model, tmp_path_factory.mktemp("trace"))


@pytest.fixture(scope="module")
def draft(trace):
    found = calibration.calibrate(trace.float32, (image[None] for image in IMAGES))
    return Draft(trace.float32, found.by_tensor)


def _probabilities(draft, images, quantised=True):
    """What a draft's numbers, rounded or not, answer."""
    network = Network(draft.data)
    parameters, rounding = {}, None
    if quantised:
        parameters = {
            i: fake_quantization.kernel(tf.constant(network.constants[i]), axis)
            for i, axis in network.kernels.items()
        }
        rounding = fake_quantization.rounding(network, draft.ranges)
    values = network.run(images, parameters, rounding)
    return np.asarray(tf.nn.softmax(values[network.logits]), np.float64)


def _divergence(true, found):
    return float((true * np.log(true / found)).sum(axis=1).mean())


# Ranges.


class _Free:
    """A network that leaves all ranges to the quantiser."""

    fixed = types.MappingProxyType({})


def _mean_square(values, limits):
    """Of the rounding to 256 steps of which one is zero."""
    low, high = min(limits[0], 0.0), max(limits[1], 0.0)
    scale = (high - low) / 255
    zero = round(-low / scale)
    stored = np.clip(np.rint(values / scale) + zero, 0, 255)
    return np.mean(((stored - zero) * scale - values) ** 2)


TAILS = {
    "student": lambda random: random.standard_t(3, 40000),
    "positive": lambda random: np.abs(random.standard_t(2.5, 40000)),
    "negative": lambda random: -random.lognormal(0, 0.8, 40000),
    "lopsided": lambda random: (
        np.where(random.random(40000) < 0.1, -3, 1) * random.exponential(1, 40000)
    ),
}


@pytest.mark.parametrize("name", TAILS)
def test_least_error_is_less_than_of_other_ranges(name):
    values = TAILS[name](np.random.default_rng(0)).astype("float32")
    whole = (float(values.min()), float(values.max()))
    observed = ranges.Observed(Ranges({7: whole}, 1, ""), {7: values})
    found = ranges.least_error(observed, _Free)[7]
    least = _mean_square(values, found)
    assert min(whole[0], 0) <= found[0] <= 0
    assert 0 <= found[1] <= max(whole[1], 0)
    assert least < 0.999 * _mean_square(values, whole)
    for share in (0.99, 0.999, 0.9999, 0.99999):
        other = ranges.percentile(observed, _Free, share)[7]
        assert least <= 1.02 * _mean_square(values, other), share
    # No range of a coarse grid, tried one by one, is much better.
    grid = np.linspace(0.02, 1, 25)
    best = min(
        _mean_square(values, (whole[0] * a, whole[1] * b)) for a in grid for b in grid
    )
    assert least <= 1.05 * best
    # Higher powers take in more of the tails.
    wide = ranges.least_error(observed, _Free, 4.0)[7]
    assert wide[1] - wide[0] > found[1] - found[0]


def test_percentiles_are_those_of_the_samples():
    values = np.random.default_rng(0).permutation(100_001).astype("float32")
    observed = ranges.Observed(Ranges({3: (0.0, 1e5)}, 1, ""), {3: values})
    assert ranges.percentile(observed, _Free, 0.999)[3] == pytest.approx((100, 99900))


def test_degenerate_activations_keep_their_ranges():
    for value in (np.zeros(10), np.full(10, 2.5), np.full(10, -2.5)):
        limits = (float(value.min()), float(value.max()))
        observed = ranges.Observed(Ranges({0: limits}, 1, ""), {0: value.astype("f4")})
        low, high = ranges.least_error(observed, _Free)[0]
        assert _mean_square(value, (low, high)) < 1e-6 if value.any() else True
        assert np.isfinite([low, high]).all()


def test_ranges_that_no_one_chooses_are_left_alone(trace):
    network = Network(trace.float32)
    observed = ranges.observe(trace.float32, (image[None] for image in IMAGES[:4]))
    assert network.fixed
    before = observed.ranges.by_tensor
    cut = ranges.percentile(observed, network, 0.95)
    for found in (ranges.least_error(observed, network), cut):
        assert found.keys() == before.keys()
        assert {i: found[i] for i in network.fixed} == {
            i: before[i] for i in network.fixed
        }
    assert all(cut[i] != before[i] for i in before.keys() - network.fixed.keys())


def test_samples_come_from_every_image_and_are_drawn_alike(trace):
    images = IMAGES[:3].copy()
    images[1] += 1000
    images[2] -= 1000
    found = ranges.observe(trace.float32, (image[None] for image in images), seed=1)
    source = Network(trace.float32).source
    samples = found.samples[source]
    assert samples.size == 3 * min(1000, 24 * 24 * 3)
    parts = ((samples > 500).mean(), (samples < -500).mean())
    assert parts == pytest.approx((1 / 3, 1 / 3))
    again = ranges.observe(trace.float32, (image[None] for image in images), seed=1)
    other = ranges.observe(trace.float32, (image[None] for image in images), seed=2)
    np.testing.assert_array_equal(samples, again.samples[source])
    assert (samples != other.samples[source]).any()
    assert found.ranges == other.ranges


# Sensitivity.


def test_a_planted_bad_tensor_comes_first(draft):
    network = Network(draft.data)
    outputs = [node.output for node in network.nodes]
    kinds = {node.operator: node.output for node in network.nodes}  # the last of each
    for index in (kinds["CONV_2D"], kinds["ADD"], kinds["MEAN"]):
        low, high = draft.ranges[index]
        bad = draft.ranges | {index: (100 * min(low, 0), 100 * high)}
        found = sensitivity.measure(network, bad, IMAGES[:6])
        nats = found.activations | found.kernels
        assert max(nats, key=nats.get) == index
        row = found.as_json(network)[outputs.index(index)]
        assert row["activation"] == nats[index]


def test_a_planted_bad_kernel_stands_out(draft):
    """Large weights of a channel that is always zero: all they do is widen steps."""
    network = Network(draft.data)
    index = next(i for i in network.kernels if network.shapes[i] == (24, 1, 1, 8))
    first = next(n for n in network.nodes if n.operator == "CONV_2D")
    arrays = {i: network.constants[i].copy() for i in (index, *first.inputs[1:])}
    for i in first.inputs[1:]:
        arrays[i][0] = 0
    found = []
    for weight in (0, 40):
        arrays[index][..., 0] = weight
        data = with_constants(draft.data, arrays)
        ranged = calibration.calibrate(data, (image[None] for image in IMAGES))
        measured = sensitivity.measure(Network(data), ranged.by_tensor, IMAGES[:6])
        found.append(measured.activations | measured.kernels)
    grown = {i: found[1][i] - found[0][i] for i in found[0]}
    assert max(grown, key=grown.get) == index
    assert found[1][index] > 100 * found[0][index]
    assert all(
        found[1][i] == pytest.approx(found[0][i], rel=1e-3) for i in grown if i != index
    )


def test_the_sum_is_near_the_divergence(draft):
    network = Network(draft.data)
    found = sensitivity.measure(network, draft.ranges, IMAGES)
    total = sum(found.activations.values()) + sum(found.kernels.values())
    measured = _divergence(
        _probabilities(draft, IMAGES, quantised=False), _probabilities(draft, IMAGES)
    )
    assert 0.3 < total / measured < 3
    assert found == sensitivity.measure(network, draft.ranges, IMAGES)
    assert found != sensitivity.measure(network, draft.ranges, IMAGES, seed=1)


# Islands.


@pytest.fixture(scope="module")
def measured(draft):
    return sensitivity.measure(Network(draft.data), draft.ranges, IMAGES[:6])


def _work(network, name):
    """Multiply-adds and, as heavy as eight of them, the elements written."""
    (node,) = (n for n in network.nodes if n.name == name)
    elements = int(np.prod(network.shapes[node.output]))
    kernel = next((i for i in node.inputs if i in network.kernels), None)
    if kernel is None:
        return 8 * elements, 0
    shape = network.shapes[kernel]
    each = (
        np.prod(shape[1:3])
        if node.operator == "DEPTHWISE_CONV_2D"
        else np.prod(shape[1:])
    )
    return int(8 * elements + elements * each), int(elements * each)


def test_islands_keep_to_their_share(draft, measured):
    network = Network(draft.data)
    total = sum(_work(network, node.name)[0] for node in network.nodes)
    sizes = []
    for share in (0.0, 0.02, 0.1, 0.3, 0.6):
        names = islands.float_nodes(network, measured, share)
        assert sum(_work(network, name)[0] for name in names) <= share * total * (
            1 + 1e-9
        )
        sizes.append(len(names))
    assert sizes[0] == 0
    assert sizes[-1] > sizes[1]
    everything = islands.float_nodes(network, measured, 1.0)
    assert network.nodes[-1].name not in everything


def test_islands_are_whole_groups(draft, measured):
    """Each operator in float spares a tensor, or a small kernel of its own."""
    network = Network(draft.data)
    for share in (0.05, 0.2, 0.5):
        names = islands.float_nodes(network, measured, share)
        spared = islands.float_tensors(network, names)
        for name in names:
            (node,) = (n for n in network.nodes if n.name == name)
            small = any(
                i in network.kernels and network.constants[i].size < islands.SMALL
                for i in node.inputs
            )
            assert small or spared & {node.output, *node.inputs}, name


def test_all_tensors_are_float_where_all_operators_are(draft):
    network = Network(draft.data)
    names = frozenset(node.name for node in network.nodes)
    outputs = {node.output for node in network.nodes[:-1]}
    assert islands.float_tensors(network, names) == outputs


def test_the_worst_tensor_is_spared_first(draft):
    network = Network(draft.data)
    node = next(n for n in network.nodes if n.operator == "ADD")
    none = dict.fromkeys([network.source, *(n.output for n in network.nodes)], 0.0)
    planted = sensitivity.Sensitivity(none | {node.output: 1.0}, {})
    names = islands.float_nodes(network, planted, 1.0)
    readers = [n.name for n in network.nodes if node.output in n.inputs]
    assert names == {node.name, *readers}
    large = next(
        i for i in network.kernels if network.constants[i].size >= islands.SMALL
    )
    small = next(
        i for i in network.kernels if network.constants[i].size < islands.SMALL
    )
    planted = sensitivity.Sensitivity(none, {large: 5.0, small: 1.0})
    (name,) = islands.float_nodes(network, planted, 1.0)
    assert name == network.consumers(small)[0].name


def test_an_island_is_float_in_the_file(draft, trace, measured):
    network = Network(draft.data)
    names = islands.float_nodes(network, measured, 0.3)
    assert names
    mixed = dataclasses.replace(draft, float_nodes=names)
    interpreter = Interpreter(
        model_content=mixed.quantised(trace, "float32"),
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
    )
    types = {t["index"]: t["dtype"] for t in interpreter.get_tensor_details()}
    own = [
        operator for operator in interpreter._get_ops_details()
        if operator["op_name"] not in ("QUANTIZE", "DEQUANTIZE", "DELEGATE")
    ]  # fmt: skip
    assert [o["op_name"] for o in own] == [n.operator for n in network.nodes]
    found = {
        node.name
        for node, operator in zip(network.nodes, own, strict=True)
        if types[int(operator["outputs"][0])] == np.float32
    }
    # The file answers in float: so does its last softmax.
    assert found == names | {network.nodes[-1].name}


def test_the_share_that_is_told(draft):
    network = Network(draft.data)
    names = [node.name for node in network.nodes]
    macs = {name: _work(network, name)[1] for name in names}
    assert islands.float_share(network, []) == 0
    assert islands.float_share(network, names) == 1
    chosen = names[1:6]
    expected = sum(macs[name] for name in chosen) / sum(macs.values())
    assert islands.float_share(network, chosen) == pytest.approx(expected)


# Distillation.

STEPS = 60


def test_distillation_brings_held_out_answers_nearer(tmp_path):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    data = converting.trace(tiny_classifier.trained(), tmp_path).float32
    images, _ = tiny_classifier.digits()
    found = calibration.calibrate(data, [images[:60]])
    plain = Draft(data, found.by_tensor)
    distilled = distillation.distil(plain, images[:200], 150, seed=3)
    held_out = images[1200:]
    true = _probabilities(plain, held_out, quantised=False)
    before, after = (
        _divergence(true, _probabilities(d, held_out)) for d in (plain, distilled)
    )
    assert after < 0.8 * before
    assert distilled.levers == ("distillation",)
    assert distilled.data != plain.data
    network = Network(data)
    for index in network.fixed.keys() | {network.source}:
        assert distilled.ranges[index] == pytest.approx(plain.ranges[index])


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A draft of few operators, for which TensorFlow builds its graph at once."""
    keras.utils.set_random_seed(0)
    image = keras.Input((24, 24, 3))
    x = layers.Conv2D(8, 3, strides=3, activation="relu6")(image / 128 - 1)
    x = layers.Conv2D(8, 1, activation="relu6")(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, layers.Dense(4, activation="softmax")(x))
    for layer in model.layers:
        if layer.weights:
            layer.bias.assign(np.linspace(-0.2, 0.3, layer.bias.shape[0]))
    data = converting.trace(model, tmp_path_factory.mktemp("small")).float32
    found = calibration.calibrate(data, (image[None] for image in IMAGES))
    return Draft(data, found.by_tensor)


@pytest.fixture(scope="module")
def undisturbed(small):
    return distillation.distil(small, IMAGES, STEPS, seed=3)


class _Watched:
    """Images that note which of them are drawn, and end the work at a step."""

    def __init__(self, end=None):
        self.drawn, self._end = [], end

    def __len__(self):
        return len(IMAGES)

    def __getitem__(self, chosen):
        if len(self.drawn) == self._end:
            raise KeyboardInterrupt
        self.drawn.append(list(chosen))
        return IMAGES[chosen]


def test_distillation_goes_on_where_it_was(small, undisturbed, tmp_path):
    state = tmp_path / "state.npz"
    killed = _Watched(end=50)
    with pytest.raises(KeyboardInterrupt):
        distillation.distil(small, killed, STEPS, 3, state)
    assert os.listdir(tmp_path) == ["state.npz"]
    drawn = [
        list(np.random.default_rng([3, step]).choice(len(IMAGES), 10, replace=False))
        for step in range(STEPS)
    ]
    assert killed.drawn == drawn[:50]
    left = _Watched()
    assert distillation.distil(small, left, STEPS, 3, state) == undisturbed
    assert left.drawn == drawn[40:]


def test_another_seed_draws_other_images(small, undisturbed):
    other = distillation.distil(small, IMAGES, STEPS, seed=4)
    assert other.ranges != undisturbed.ranges


def test_what_is_float_is_not_distilled(small, undisturbed):
    before = Network(small.data)
    names = frozenset(n.name for n in before.nodes if n.operator == "CONV_2D")
    mixed = dataclasses.replace(small, float_nodes=names)
    distilled = distillation.distil(mixed, IMAGES, 2)
    assert distilled.float_nodes == names
    after, all_int8 = Network(distilled.data), Network(undisturbed.data)
    for node in before.nodes:
        for index in node.inputs:
            if index in before.kernels:
                arrays = [n.constants[index] for n in (before, after, all_int8)]
                assert np.array_equal(*arrays[:2]) == (node.name in names), node
                assert not np.array_equal(arrays[0], arrays[2]), node
