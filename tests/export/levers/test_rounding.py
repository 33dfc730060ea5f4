"""Rounded weights against nearest rounding and against the int8 file."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_effnet.export import calibration
from keras_effnet.export import converting
from keras_effnet.export import flatbuffer
from keras_effnet.export.levers import fake_quantization
from keras_effnet.export.levers import layer_inputs
from keras_effnet.export.levers import rounding
from keras_effnet.export.levers.draft import Draft
from keras_effnet.export.levers.network import Network


def _smooth(seed, images=24):
    """Neighbouring pixels and colours go together, as in photographs."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(0, 255, (images, 6, 6, 1)) + random.normal(
        0, 20, (images, 6, 6, 3)
    )
    fine = tf.image.resize(coarse, (32, 32), "bicubic").numpy()
    return fine.clip(0, 255).astype("float32")


IMAGES = _smooth(0)


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    """Every kind of kernel and padding; a stride; a channel that is always zero."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu6")(inputs / 64)
    x = layers.DepthwiseConv2D(5, strides=2, padding="same", activation="relu6")(x)
    x = layers.Conv2D(24, 1, activation="relu6")(x)
    x = layers.Conv2D(12, 3, padding="valid", activation="relu6", dilation_rate=2)(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same")(x)
    x = layers.Activation("relu6")(x)
    x = layers.GlobalAveragePooling2D()(x)
    outputs = layers.Dense(5, activation="softmax")(x)
    model = keras.Model(inputs, outputs)
    random = np.random.default_rng(0)
    weighted = [layer for layer in model.layers if layer.weights]
    for layer in weighted[:-1]:  # the last has none left in the file
        layer.weights[1].assign(random.uniform(-0.5, 1, layer.weights[1].shape))
    kernel, bias = weighted[0].weights
    kernel.assign(np.asarray(kernel) * (np.arange(8) > 0))
    bias.assign(np.where(np.arange(8) > 0, bias, -1.0))
    return converting.trace(model, tmp_path_factory.mktemp("trace"))


@pytest.fixture(scope="module")
def draft(trace):
    ranges = calibration.calibrate(trace.float32, (image[None] for image in IMAGES))
    return Draft(trace.float32, ranges.by_tensor)


@pytest.fixture(scope="module")
def better(draft):
    return rounding.optimise(draft, IMAGES)


def _outputs(node, net, value, kernel, bias=None):
    """What a node makes of inputs, before its activation, by TensorFlow."""
    bias = (bias or net).constants.get(node.inputs[2])
    return np.asarray(net.compute(node, [value, kernel, bias]))


def _kernel_nodes(net):
    return [n for n in net.nodes if len(n.inputs) > 1 and n.inputs[1] in net.kernels]


def test_every_kind_of_kernel_is_there(draft):
    nodes = _kernel_nodes(Network(draft.data))
    kinds = [node.operator for node in nodes]
    assert kinds.count("CONV_2D") == 3
    assert kinds.count("DEPTHWISE_CONV_2D") == 2
    assert kinds.count("FULLY_CONNECTED") == 1
    strides = {node.options.strideH for node in nodes[:-1]}
    assert strides == {1, 2}


def test_layers_on_unseen_images_err_less_than_by_nearest_rounding(draft, better):
    old, new = Network(draft.data), Network(better.data)
    values = old.run(_smooth(1))
    for node in _kernel_nodes(old):
        value, index = values[node.inputs[0]], node.inputs[1]
        true = _outputs(node, old, value, old.constants[index])
        near = fake_quantization.kernel(old.constants[index], old.kernels[index])
        near = _outputs(node, old, value, near)
        ours = fake_quantization.kernel(new.constants[index], new.kernels[index])
        ours = _outputs(node, old, value, ours, new)
        ratio = np.mean((ours - true) ** 2) / np.mean((near - true) ** 2)
        assert ratio < 0.8, node.name


def test_the_mean_of_each_channel_stays(draft, better):
    old, new = Network(draft.data), Network(better.data)
    values = old.run(IMAGES)
    nodes = [node for node in _kernel_nodes(old) if node.inputs[2] >= 0]
    assert len(nodes) == 5
    for node in nodes:
        value, index = values[node.inputs[0]], node.inputs[1]
        axes = tuple(range(len(old.shapes[node.output]) - 1))
        true = _outputs(node, old, value, old.constants[index]).mean(axes)
        ours = _outputs(node, old, value, new.constants[index], new).mean(axes)
        plain = _outputs(node, old, value, new.constants[index]).mean(axes)
        left = np.abs(ours - true).mean() / np.abs(plain - true).mean()
        assert left < 0.3, node.name


def test_steps_are_the_same_and_weights_are_whole_steps(draft, better):
    old, new = Network(draft.data), Network(better.data)
    moved = 0
    for index, axis in old.kernels.items():
        step = fake_quantization.kernel_steps(old.constants[index], axis)
        assert (
            fake_quantization.kernel_steps(new.constants[index], axis) == step
        ).all()
        steps = new.constants[index] / step
        assert np.abs(steps - np.round(steps)).max() < 1e-4
        assert np.abs(steps).max() <= 127.001
        moved += np.sum(np.round(steps) != np.round(old.constants[index] / step))
    assert moved > 100
    assert better.levers == ("rounding",)


def test_the_int8_file_stores_these_weights(trace, better):
    """Its stored numbers times its scales."""
    net = Network(better.data)
    names = {n.name: n for n in _kernel_nodes(net)}
    data = better.quantised(trace, "float32")
    model = flatbuffer.unpack(data)
    tensors, checked = flatbuffer.graph(model).tensors, 0
    for operator in flatbuffer.graph(model).operators:
        node = names.get(tensors[operator.outputs[0]].name.decode())
        if node is None:
            continue
        tensor = tensors[operator.inputs[1]]
        stored = model.buffers[tensor.buffer].data.view(np.int8).reshape(tensor.shape)
        shape = [1] * len(tensor.shape)
        shape[net.kernels[node.inputs[1]]] = -1
        real = stored * tensor.quantization.scale.reshape(shape)
        ours = net.constants[node.inputs[1]]
        assert np.abs(real - ours).max() <= 1e-5 * np.abs(ours).max()
        checked += 1
    assert checked == len(names) == 6


def test_rows_find_the_best_of_all_roundings():
    """Of four weights every choice of whole steps can be tried."""
    random = np.random.default_rng(0)
    inputs = random.normal(size=(1, 200, 4)) @ random.normal(size=(1, 4, 4))
    second = np.swapaxes(inputs, 1, 2) @ inputs / 200
    weights = random.normal(size=(1, 50, 4)).astype("float32")
    steps = fake_quantization.kernel_steps(weights[0], 0)[None]
    found = rounding.round_rows(weights, second, steps, damping=0)

    def error(rows):
        left = rows - weights[0]
        return np.einsum("...k,kl,...l->...", left, second[0], left)

    choices = np.stack(np.meshgrid(*[range(-3, 4)] * 4), -1).reshape(-1, 1, 4)
    near = np.round(weights[0] / steps[0])
    tried = near + choices
    held = np.abs(near) == 127
    tried = np.where(held, near, tried)
    best = error(tried * steps[0]).min(0)
    assert (error(found[0]) >= best * 0.999).all()
    assert error(found[0]).sum() < 1.3 * best.sum()
    assert error(near * steps[0]).sum() > 1.5 * best.sum()


def test_operators_in_float_keep_their_kernels(draft):
    net = Network(draft.data)
    node = _kernel_nodes(net)[2]
    draft = dataclasses.replace(draft, float_nodes=frozenset({node.name}))
    after = Network(rounding.optimise(draft, IMAGES[:2]).data)
    for other in _kernel_nodes(net):
        same = (
            net.constants[other.inputs[1]] == after.constants[other.inputs[1]]
        ).all()
        assert same == (other is node)


def test_it_is_deterministic_and_tells_how_far_it_is(draft, better, capsys):
    assert rounding.optimise(draft, IMAGES, progress="always") == better
    assert "/6 [" in capsys.readouterr().err


def test_the_seed_chooses_positions(draft, monkeypatch):
    monkeypatch.setattr(layer_inputs, "_MOST_POSITIONS", 500)
    one, same, other = (rounding.optimise(draft, IMAGES, seed) for seed in (0, 0, 1))
    assert one == same
    assert one.data != other.data


def test_one_image_is_enough_to_run(draft):
    """Nothing tells chance from what is common: nearest rounding."""
    found = Network(rounding.optimise(draft, IMAGES[:1]).data)
    net = Network(draft.data)
    for index, axis in net.kernels.items():
        near = np.asarray(fake_quantization.kernel(net.constants[index], axis))
        assert np.abs(found.constants[index] - near).max() < 1e-5 * np.abs(near).max()
