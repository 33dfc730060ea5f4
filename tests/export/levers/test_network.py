"""Float files as functions, and rounded numbers, against what LiteRT computes."""

import dataclasses

import keras
import numpy as np
import peer
import pytest
import tensorflow as tf
import tflite_file
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.interpreter import OpResolverType
from keras import layers

from keras_effnet.errors import InputError
from keras_effnet.export import calibration
from keras_effnet.export import converting
from keras_effnet.export import lean
from keras_effnet.export.calibration import Ranges
from keras_effnet.export.levers import fake_quantization
from keras_effnet.export.levers import islands
from keras_effnet.export.levers.draft import Draft
from keras_effnet.export.levers.network import Network
from keras_effnet.export.levers.network import with_constants

IMAGES = peer.images(32, 32, batch=6) / 255


def _mobilenet():
    model = keras.applications.MobileNetV2(
        (32, 32, 3), alpha=0.35, weights=None, classes=7
    )
    peer.randomize(model, IMAGES)
    return model


def _resnet():
    """Pooling, explicit padding, a projected shortcut, a flattened map."""
    image = keras.Input((32, 32, 3))
    x = layers.ZeroPadding2D(2)(image)
    x = layers.Conv2D(8, 5, strides=2, activation="relu")(x)
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    for filters, stride in ((8, 1), (12, 2)):
        y = layers.Conv2D(filters, 3, stride, padding="same", activation="relu")(x)
        y = layers.Conv2D(filters, 3, padding="same", use_bias=False)(y)
        short = layers.Conv2D(filters, 1, stride)(x) if stride > 1 else x
        x = layers.ReLU()(layers.Add()([short, y]))
    x = layers.AveragePooling2D(2)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(9, activation="tanh")(x)
    return keras.Model(image, layers.Dense(5, activation="softmax")(x), name="resnet")


def _hard_swish():
    """Of a MobileNetV3: squeeze and excite, and the approximated swish."""
    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="hard_silu")(image)
    y = layers.GlobalAveragePooling2D(keepdims=True)(x)
    y = layers.Conv2D(4, 1, activation="relu")(y)
    y = layers.Conv2D(8, 1, activation="hard_sigmoid")(y)
    x = layers.Multiply()([x, y])
    x = layers.DepthwiseConv2D(5, 2, padding="same", activation="hard_silu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(5, activation="softmax")(x), name="hard")


def _sigmoid(activation="tanh"):
    """Classes that do not exclude each other; streams side by side; no softmax."""
    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(6, 3, dilation_rate=2, activation="relu6")(image - 0.5)
    y = layers.Conv2D(6, 3, padding="same", activation="swish")(x)
    x = layers.Concatenate()([x, y, x / (y * y + 1), 1 - y])
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, activation=activation)(x)
    x = layers.Permute((2, 1, 3))(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(3, activation="sigmoid")(x), name="sigmoid")


MODELS = {
    "mobilenet": _mobilenet,
    "resnet": _resnet,
    "hard_swish": _hard_swish,
    "sigmoid": _sigmoid,
}


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    """A trace by the model's name, made when first asked for."""
    made = {}

    def trace(name):
        if name not in made:
            keras.utils.set_random_seed(0)
            model = MODELS[name]()
            random = np.random.default_rng(0)
            if name != "mobilenet":
                for variable in model.trainable_variables:
                    if "bias" in variable.path:
                        variable.assign(random.normal(0, 0.2, variable.shape))
            made[name] = converting.trace(model, tmp_path_factory.mktemp(name))
        return made[name]

    return trace


def _interpreter(data, keep=False):
    """LiteRT's reference kernels where all tensors are kept."""
    found = Interpreter(
        model_content=data,
        experimental_preserve_all_tensors=keep,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF
        if keep
        else OpResolverType.AUTO,
    )
    found.allocate_tensors()
    return found


def _answers(data, images=IMAGES):
    interpreter = _interpreter(data)
    (source,), (target,) = (
        interpreter.get_input_details(),
        interpreter.get_output_details(),
    )
    rows = []
    for image in images:
        interpreter.set_tensor(source["index"], image[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(target["index"]).copy())
    return np.concatenate(rows)


@pytest.mark.parametrize("name", MODELS)
def test_every_tensor_is_what_litert_computes(traces, name):
    data = traces(name).float32
    network = Network(data)
    network.check()
    found = network.run(IMAGES)
    interpreter = _interpreter(data, keep=True)
    for number, image in enumerate(IMAGES):
        interpreter.set_tensor(network.source, image[None])
        interpreter.invoke()
        for node in network.nodes:
            expected = interpreter.get_tensor(node.output)
            value = np.asarray(found[node.output][number : number + 1])
            if expected.ndim > 1:  # else the batch of one was taken away
                assert value.shape == expected.shape, node
            expected = expected.reshape(value.shape)
            error = np.abs(value - expected).max()
            assert error <= 1e-4 * max(np.abs(expected).max(), 1e-3), node


def test_operators_of_all_kinds_were_met(traces):
    met = {
        node.operator for name in MODELS for node in Network(traces(name).float32).nodes
    }
    assert met >= {
        "ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D",
        "DIV", "FULLY_CONNECTED", "HARD_SWISH", "LOGISTIC", "MAX_POOL_2D", "MEAN",
        "MUL", "PAD", "RESHAPE", "SOFTMAX", "SUB", "TANH", "TRANSPOSE",
    }  # fmt: skip


def test_the_answer_before_the_last_squashing(traces):
    for name, squash in (("resnet", tf.nn.softmax), ("sigmoid", tf.sigmoid)):
        network = Network(traces(name).float32)
        values = network.run(IMAGES)
        assert network.logits != network.target
        answers = np.asarray(values[network.target])
        np.testing.assert_allclose(squash(values[network.logits]), answers, atol=1e-6)


def test_gradients_reach_the_image_and_the_kernels(traces):
    network = Network(traces("mobilenet").float32)
    image = tf.constant(IMAGES[:1])
    parameters = {i: tf.constant(network.constants[i]) for i in network.kernels}
    with tf.GradientTape() as tape:
        tape.watch([image, *parameters.values()])
        values = network.run(image, parameters)
        loss = values[network.logits][0, 0]
    gradients = tape.gradient(loss, [image, *parameters.values()])
    assert all(np.abs(gradient).max() > 0 for gradient in gradients)


def test_an_unknown_operator_is_named(tmp_path):
    trace = converting.trace(_sigmoid("elu"), tmp_path)
    with pytest.raises(InputError, match=r"know ADD, .*\. Received: ELU$"):
        Network(trace.float32).check()


def test_other_constants(traces):
    data = traces("resnet").float32
    network = Network(data)
    index = next(iter(network.kernels))
    array = network.constants[index] * 1.5
    changed = with_constants(data, {index: array})
    expected = network.run(IMAGES, {index: array})[network.target]
    np.testing.assert_allclose(_answers(changed), expected, atol=1e-5)
    assert np.abs(_answers(changed) - _answers(data)).max() > 1e-3
    same = with_constants(data, {index: network.constants[index]})
    np.testing.assert_array_equal(_answers(same), _answers(data))


# Rounded numbers.


def _draft(trace):
    ranges = calibration.calibrate(trace.float32, (image[None] for image in IMAGES))
    return Draft(trace.float32, ranges.by_tensor)


def _pairs(trace, draft):
    """Operators of the float file, and the same ones of its int8 file.

    The int8 file has others at its ends only.
    """
    network = Network(draft.data)
    interpreter = _interpreter(draft.quantised(trace, "int8"), keep=True)
    operators = [
        operator
        for operator in interpreter._get_ops_details()
        if operator["op_name"] not in ("QUANTIZE", "DEQUANTIZE")
    ]
    names = [operator["op_name"] for operator in operators]
    assert names == [node.operator for node in network.nodes]
    details = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    return (
        network,
        interpreter,
        details,
        list(zip(network.nodes, operators, strict=True)),
    )


@pytest.mark.parametrize("name", ["mobilenet", "resnet"])
def test_kernels_are_rounded_as_in_the_file(traces, name):
    trace = traces(name)
    network, interpreter, details, pairs = _pairs(trace, _draft(trace))
    seen = 0
    for node, operator in pairs:
        if node.operator not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            continue
        kernel, axis = (
            network.constants[node.inputs[1]],
            network.kernels[node.inputs[1]],
        )
        index = int(operator["inputs"][1])
        stored, how = interpreter.get_tensor(index), details[index]
        scales = how["quantization_parameters"]["scales"]
        shape = np.ones(kernel.ndim, int)
        shape[axis] = -1
        steps = np.broadcast_to(scales, kernel.shape[axis]).reshape(shape)
        if len(scales) == 1:  # a dense kernel may have one scale in all
            continue
        np.testing.assert_allclose(
            fake_quantization.kernel_steps(kernel, axis), steps, rtol=1e-5
        )
        found = np.asarray(fake_quantization.kernel(tf.constant(kernel), axis))
        # A weight half between two steps may go to either.
        error = np.abs(found - stored * steps) / steps
        assert (error > 1e-3).mean() < 1e-3
        seen += 1
    assert seen > 4


@pytest.mark.parametrize("name", MODELS)
def test_activations_are_rounded_as_in_the_file(traces, name):
    trace = traces(name)
    draft = _draft(trace)
    network, _, details, pairs = _pairs(trace, draft)
    rounding = fake_quantization.rounding(network, draft.ranges)
    random = np.random.default_rng(0)
    for node, operator in pairs:
        scale, zero = details[int(operator["outputs"][0])]["quantization"]
        if node.output in network.fixed and network.fixed[node.output] is None:
            source = details[int(operator["inputs"][0])]["quantization"]
            assert source == (scale, zero), node
            continue
        if node.output == network.target:
            continue
        low, high = -scale * (zero + 128), scale * (127 - zero)
        value = random.uniform(low - 3 * scale, high + 3 * scale, 4000).astype("f4")
        expected = (np.clip(np.round(value / scale) + zero, -128, 127) - zero) * scale
        found = np.asarray(rounding(node.output, tf.constant(value)))
        assert (np.abs(found - expected) > 1e-3 * scale).mean() < 2e-3, node


def test_what_is_kept_is_not_rounded(traces):
    network = Network(traces("resnet").float32)
    ranges = {node.output: (-1.0, 1.0) for node in network.nodes}
    index = next(n.output for n in network.nodes if n.operator == "CONV_2D")
    value = tf.constant([0.123456])
    assert fake_quantization.rounding(network, ranges, {index})(index, value) is value
    assert fake_quantization.rounding(network, ranges)(network.target, value) is value
    assert (
        float(fake_quantization.rounding(network, ranges)(index, value)[0]) != value[0]
    )


@pytest.mark.parametrize("name", MODELS)
def test_the_rounded_network_computes_as_the_file(traces, name):
    """Far nearer to the int8 file than the float network is.

    In the first operators: later a value half between two steps has gone to the other
    side somewhere, as it does between LiteRT's own kernels.
    """
    trace = traces(name)
    draft = _draft(trace)
    network, interpreter, details, pairs = _pairs(trace, draft)
    parameters = {
        i: fake_quantization.kernel(tf.constant(network.constants[i]), axis)
        for i, axis in network.kernels.items()
    }
    rounding = fake_quantization.rounding(network, draft.ranges)
    simulated = network.run(IMAGES[:1], parameters, rounding)
    exact = network.run(IMAGES[:1])
    (source,) = interpreter.get_input_details()
    scale, zero = source["quantization"]
    image = np.clip(np.round(IMAGES[:1] / scale) + zero, -128, 127)
    interpreter.set_tensor(source["index"], image.astype(np.int8))
    interpreter.invoke()
    for node, operator in pairs[:5]:
        index = int(operator["outputs"][0])
        scale, zero = details[index]["quantization"]
        answer = (interpreter.get_tensor(index).astype(np.float32) - zero) * scale
        off, apart = (
            np.abs(np.reshape(values[node.output], answer.shape) - answer).mean()
            for values in (simulated, exact)
        )
        assert off < 0.25 * apart, node


def test_gradients_pass_through_rounding():
    value = tf.constant([-2.0, -0.51, 0.26, 0.9, 3.0])
    limits = [tf.constant(-1.0), tf.constant(1.0)]
    with tf.GradientTape() as tape:
        tape.watch([value, *limits])
        total = tf.reduce_sum(fake_quantization.activation(value, *limits))
    found, low, high = tape.gradient(total, [value, *limits])
    np.testing.assert_array_equal(found, [0, 1, 1, 1, 0])
    assert (float(low), float(high)) == (1, 1)
    kernel = tf.constant([[0.3, -0.7], [2.0, 0.1]])
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        total = tf.reduce_sum(fake_quantization.kernel(kernel, 0))
    np.testing.assert_array_equal(tape.gradient(total, kernel), np.ones((2, 2)))


def test_zero_is_always_within_a_range():
    value = tf.constant([0.0, 0.5, 1.0])
    np.testing.assert_allclose(
        fake_quantization.activation(value, 0.5, 1.0)[0], 0, atol=1e-7
    )
    kernel = np.zeros((2, 3), np.float32)
    np.testing.assert_array_equal(
        fake_quantization.kernel(tf.constant(kernel), 0), kernel
    )
    assert (fake_quantization.kernel_steps(kernel, 0) > 0).all()


# Kernels in 8 bits of operators in float.


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """Large kernels of each kind, a small one, and one that two operators read."""
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(64, 3, strides=2, padding="same", activation="relu6")(image)
    shared = layers.Conv2D(64, 1, activation="relu6")
    x = shared(shared(x))
    x = layers.DepthwiseConv2D(9, padding="same", activation="relu6")(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(80, activation="relu")(x)
    model = keras.Model(image, layers.Dense(5, activation="softmax")(x), name="wide")
    for layer in model.layers[-2:]:  # so that answers differ from image to image
        layer.kernel.assign(layer.kernel * 10)
    return converting.trace(model, tmp_path_factory.mktemp("wide"))


WIDE_IMAGES = peer.images(16, 16, batch=6) / 255


def _large(network):
    return [i for i in network.kernels if network.constants[i].size >= islands.SMALL]


def test_a_stored_kernel_answers_as_the_rounded_one(wide):
    network = Network(wide.float32)
    large = _large(network)
    assert sorted(network.shapes[i] for i in large) == [
        (1, 9, 9, 64), (64, 1, 1, 64), (80, 64),
    ]  # fmt: skip
    (shared,) = (i for i in large if network.shapes[i] == (64, 1, 1, 64))
    assert len(network.consumers(shared)) == 2
    stored = islands.with_8_bit_kernels(wide.float32)
    arrays = {
        i: np.asarray(fake_quantization.kernel(tf.constant(network.constants[i]), axis))
        for i, axis in network.kernels.items()
        if i in large
    }
    expected = _answers(with_constants(wide.float32, arrays), WIDE_IMAGES)
    np.testing.assert_allclose(_answers(stored, WIDE_IMAGES), expected, atol=1e-6)
    plain = _answers(wide.float32, WIDE_IMAGES)
    assert np.abs(plain - expected).max() > 1e-5


def test_a_file_with_stored_kernels_is_smaller_and_whole(wide, tmp_path):
    stored = islands.with_8_bit_kernels(wide.float32)
    network = Network(wide.float32)
    spared = 3 * sum(network.constants[i].size for i in _large(network))
    assert len(wide.float32) - len(stored) > 0.9 * spared - 2048
    path = tmp_path / "stored.tflite"
    path.write_bytes(stored)
    assert tflite_file.operators(path).count("DEQUANTIZE") == 3
    assert tflite_file.partitions(path) == 1
    interpreter = _interpreter(stored)
    (source,) = interpreter.get_input_details()
    operators = interpreter._get_ops_details()
    assert lean.partitions(operators, [source["index"]]) == (1, {})


def test_nothing_to_store(traces, wide):
    stored = islands.with_8_bit_kernels(wide.float32)
    assert islands.with_8_bit_kernels(stored) == stored
    data = traces("hard_swish").float32
    np.testing.assert_array_equal(
        _answers(islands.with_8_bit_kernels(data)), _answers(data)
    )


def test_a_mixed_file_is_as_small_as_int8(wide, tmp_path):
    """One operator in float: its kernel takes a byte a weight all the same."""
    ranges = calibration.calibrate(wide.float32, (i[None] for i in WIDE_IMAGES))
    draft = Draft(wide.float32, ranges.by_tensor)
    network = Network(draft.data)
    name = next(n.name for n in network.nodes if n.operator == "FULLY_CONNECTED")
    mixed = dataclasses.replace(draft, float_nodes=frozenset([name]))
    plain, small = (d.quantised(wide, "float32") for d in (draft, mixed))
    bare = converting.file_of(
        wide,
        "int8",
        "float32",
        "tflite",
        Ranges(draft.ranges, 6, ""),
        mixed.float_nodes,
    )
    assert len(small) < len(plain) + 1500
    assert len(bare) > len(small) + 80 * 64 * 2
    path = tmp_path / "mixed.tflite"
    path.write_bytes(small)
    assert tflite_file.partitions(path) == 1
    float_answers = _answers(wide.float32, WIDE_IMAGES)
    assert np.abs(_answers(small, WIDE_IMAGES) - float_answers).max() < 0.05
