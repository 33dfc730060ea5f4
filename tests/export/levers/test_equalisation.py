"""Equalised files against what they were: the same function, flatter streams."""

import keras
import numpy as np
import peer
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from keras_effnet.errors import InputError
from keras_effnet.export import calibration
from keras_effnet.export import converting
from keras_effnet.export import flatbuffer
from keras_effnet.export.levers import fake_quantization
from keras_effnet.export.levers.draft import Draft
from keras_effnet.export.levers.network import Network
from keras_effnet.export.tuning import equalisation

IMAGES = peer.images(32, 32, batch=6)


def _model(also_read=None, between=None):
    """Two sums of linear convolutions, whose channels differ a hundredfold."""
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(8, 3, strides=2, activation="relu6")(inputs / 255)
    stream = layers.Conv2D(6, 1, name="first")(x)
    for number in range(2):
        y = layers.Conv2D(12, 3, padding="same", activation="relu6")(stream)
        y = layers.DepthwiseConv2D(3, padding="same", activation="relu6")(y)
        y = layers.Conv2D(6, 1, name=f"project{number}")(y)
        stream = layers.Add()([stream, between(y) if between else y])
    x = layers.DepthwiseConv2D(3, name="reads")(stream)
    x = layers.ReLU(6)(x)
    x = layers.GlobalAveragePooling2D()(x)
    if also_read:
        x = layers.Concatenate()(
            [x, layers.GlobalAveragePooling2D()(also_read(stream))]
        )
    model = keras.Model(inputs, layers.Dense(4, activation="softmax")(x))
    random = np.random.default_rng(0)
    for name in ("first", "project0", "project1"):
        kernel, bias = model.get_layer(name).weights
        spread = np.geomspace(0.1, 10, 6)
        kernel.assign(np.asarray(kernel) * spread)
        bias.assign(random.normal(size=6) * spread)
    return model


def _draft(model, folder):
    data = converting.trace(model, folder).float32
    ranges = calibration.calibrate(data, (image[None] for image in IMAGES))
    return Draft(data, ranges.by_tensor)


@pytest.fixture(scope="module")
def residual(tmp_path_factory):
    keras.utils.set_random_seed(0)
    return _draft(_model(), tmp_path_factory.mktemp("residual"))


@pytest.fixture(scope="module")
def equalised(residual):
    return equalisation.equalise(residual, IMAGES)


def _answers(data, images):
    interpreter = Interpreter(model_content=data)
    run = interpreter.get_signature_runner()
    (name,) = interpreter.get_signature_list()["serving_default"]["inputs"]
    return np.concatenate(
        [*(next(iter(run(**{name: i[None]}).values())) for i in images)]
    )


def _reach(data, tensor):
    """The greatest magnitude of each channel, computed by TensorFlow."""
    value = np.asarray(Network(data).run(IMAGES)[tensor])
    return np.abs(value).max(axis=(0, 1, 2))


def test_the_stream_is_found(residual):
    net = Network(residual.data)
    (group,) = equalisation.groups(net)
    kinds = {node.output: node.operator for node in net.nodes}
    assert sorted(kinds[t] for t in group.tensors) == ["ADD"] * 2 + ["CONV_2D"] * 3
    readers = sorted(node.operator for node in group.readers)
    assert readers == ["CONV_2D", "CONV_2D", "DEPTHWISE_CONV_2D"]


def test_it_computes_the_same(residual, equalised):
    images = peer.images(32, 32, batch=12)[6:]
    expected, found = (_answers(d.data, images) for d in (residual, equalised))
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()
    assert np.ptp(expected, axis=0).max() > 1e-3
    assert equalised.data != residual.data
    assert equalised.levers == ("equalisation",)


def test_channels_become_alike(residual, equalised):
    (group,) = equalisation.groups(Network(residual.data))
    for tensor in group.tensors:
        before, after = (_reach(d.data, tensor) for d in (residual, equalised))
        assert after.max() / after.min() < 0.2 * before.max() / before.min()


def test_ranges_are_those_of_the_new_file(equalised):
    again = calibration.calibrate(equalised.data, (image[None] for image in IMAGES))
    for index, expected in again.by_tensor.items():
        assert equalised.ranges[index] == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_int8_comes_nearer_to_float(residual, equalised):
    """As an int8 file computes what the streams' readers make, on unseen images."""
    net = Network(residual.data)
    (group,) = equalisation.groups(net)
    read = {node.output for node in group.readers}
    images = np.random.default_rng(1).uniform(0, 255, (8, 32, 32, 3)).astype("float32")
    true = net.run(images)
    errors = []
    for draft in (residual, equalised):
        net = Network(draft.data)
        kernels = {
            i: fake_quantization.kernel(net.constants[i], a)
            for i, a in net.kernels.items()
        }
        found = net.run(
            images, kernels, fake_quantization.rounding(net, draft.ranges, read)
        )
        errors.append([np.mean((found[i] - true[i]) ** 2) for i in sorted(read)])
    assert (np.array(errors[1]) < 0.85 * np.array(errors[0])).all()


@pytest.mark.parametrize(
    "change",
    [
        {"also_read": keras.ops.tanh},
        {"between": keras.ops.relu6},
        {"between": lambda y: y * keras.ops.sigmoid(y)},
    ],
)
def test_a_stream_with_something_nonlinear_is_left_alone(change, tmp_path):
    draft = _draft(_model(**change), tmp_path)
    assert equalisation.equalise(draft, IMAGES) is draft


def test_an_output_is_left_alone(tmp_path):
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(4, 3, strides=2, activation="relu6")(inputs)
    x = layers.Add()([layers.Conv2D(4, 1)(x), layers.Conv2D(4, 1)(x)])
    draft = _draft(keras.Model(inputs, x), tmp_path)
    assert equalisation.groups(Network(draft.data)) == []


def test_kernels_that_two_operators_read_are_left_alone(residual):
    """The converter stores what two layers share once."""
    net = Network(residual.data)
    (group,) = equalisation.groups(net)
    one, other = (n for n in group.readers if n.operator == "CONV_2D")
    model = flatbuffer.unpack(residual.data)
    for operator in flatbuffer.graph(model).operators:
        if operator.outputs[0] == other.output:
            operator.inputs = np.array(
                [other.inputs[0], one.inputs[1], other.inputs[2]]
            )
    assert equalisation.groups(Network(flatbuffer.pack(model))) == []


def test_it_is_deterministic(residual, equalised):
    assert equalisation.equalise(residual, IMAGES) == equalised


def test_images_of_another_shape_are_refused(residual):
    with pytest.raises(
        InputError, match=r"shape \(images, 32, 32, 3\).*Received: \(6, 3"
    ):
        equalisation.equalise(residual, IMAGES[..., 0, :])
