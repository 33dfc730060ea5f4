"""A float .tflite file as a TensorFlow function that has gradients.

What the levers of accuracy need and the interpreter doesn't give: the influence of
each tensor on the answer, and the answer as it would be with rounded numbers.
"""

import dataclasses

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from keras_effnet.errors import InputError
from keras_effnet.export import flatbuffer

# What the LiteRT quantization specification fixes: 1/256 and 1/128 a step.
_FIXED_RANGES = {
    "LOGISTIC": (0.0, 255 / 256),
    "SOFTMAX": (0.0, 255 / 256),
    "TANH": (-1.0, 127 / 128),
}
# Of these the output has the input's scale and zero point (the same source).
_SAME_SCALE = (
    "AVERAGE_POOL_2D",
    "MAX_POOL_2D",
    "PAD",
    "RESHAPE",
    "SQUEEZE",
    "TRANSPOSE",
)
# The axis along which each kernel has a scale of its own: that of its outputs.
CHANNEL_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
_DTYPES = {0: np.float32, 2: np.int32, 4: np.int64}
_ACTIVATIONS = {
    schema.ActivationFunctionType.NONE: tf.identity,
    schema.ActivationFunctionType.RELU: tf.nn.relu,
    schema.ActivationFunctionType.RELU6: tf.nn.relu6,
    schema.ActivationFunctionType.TANH: tf.tanh,
    schema.ActivationFunctionType.RELU_N1_TO_1: lambda x: tf.clip_by_value(x, -1, 1),
}


@dataclasses.dataclass(frozen=True)
class Node:
    """An operator, and the indices of the tensors that it reads and writes."""

    operator: str  # its kind, "CONV_2D"
    inputs: tuple[int, ...]  # -1 for an absent one
    output: int
    name: str  # the output's, by which engines know the operator
    options: object  # of the schema, strides and the like


class Network:
    """The graph of a float .tflite file.

    Attributes:
        nodes: All `Node`s in graph order.
        source: Index of the input tensor.
        target: Index of the output tensor.
        logits: Index of what a last softmax or sigmoid reads, else `target`.
        kind: `"sigmoid"` or `"softmax"`, what makes probabilities of the logits.
        constants: `{index: array}` of weights, biases and shapes.
        kernels: `{index: axis}` of the weights that are quantised per channel, and
            the axis of their output channels.
        biases: A set of the indices of what is added to kernels' products.
        joined: `{index: index of the concatenation's output}` of what is joined: a
            quantiser gives it the range of the whole.
        fixed: `{index: (least, greatest)}` of outputs whose range a quantiser does
            not choose; `None` where it is that of the operator's input.
    """

    def __init__(self, data: bytes):
        model = flatbuffer.unpack(data)
        graph = flatbuffer.graph(model)
        self.shapes = [tuple(map(int, tensor.shape)) for tensor in graph.tensors]
        self.constants = {}
        for index, tensor in enumerate(graph.tensors):
            stored = model.buffers[tensor.buffer].data
            if stored is not None and tensor.type in _DTYPES:
                array = np.frombuffer(bytes(stored), _DTYPES[tensor.type])
                self.constants[index] = array.reshape(self.shapes[index])
        self.nodes = tuple(
            Node(
                flatbuffer.operator_name(model, operator),
                tuple(map(int, operator.inputs)),
                int(operator.outputs[0]),
                graph.tensors[operator.outputs[0]].name.decode(),
                operator.builtinOptions,
            )
            for operator in graph.operators
        )
        self.source, self.target = int(graph.inputs[0]), int(graph.outputs[0])
        last = self.nodes[-1]
        squashed = last.operator in ("SOFTMAX", "LOGISTIC")
        self.logits = last.inputs[0] if squashed else self.target
        self.kind = "sigmoid" if last.operator == "LOGISTIC" else "softmax"
        self.kernels, self.biases, self.fixed, self.joined = {}, set(), {}, {}
        for node in self.nodes:
            if node.operator in CHANNEL_AXIS:
                self.kernels[node.inputs[1]] = CHANNEL_AXIS[node.operator]
                if len(node.inputs) > 2 and node.inputs[2] >= 0:
                    self.biases.add(node.inputs[2])
            if node.operator == "CONCATENATION":
                self.joined |= dict.fromkeys(node.inputs, node.output)
            if node.operator in _FIXED_RANGES:
                self.fixed[node.output] = _FIXED_RANGES[node.operator]
            elif node.operator in _SAME_SCALE:
                self.fixed[node.output] = None

    def check(self):
        """Raises an `InputError` where an operator can't be computed here."""
        unknown = sorted({node.operator for node in self.nodes} - set(_OPERATORS))
        if any(map(self.is_grouped, self.nodes)):
            unknown.append("CONV_2D in groups")
        if unknown:
            raise InputError(
                f"Levers that need gradients know {', '.join(sorted(_OPERATORS))}. "
                f"Received: {', '.join(unknown)}"
            )

    def is_grouped(self, node):
        """Whether a node is a convolution in groups of channels."""
        return (
            node.operator == "CONV_2D"
            and self.shapes[node.inputs[1]][3] != self.shapes[node.inputs[0]][-1]
        )

    def consumers(self, index):
        """The nodes that read a tensor."""
        return [node for node in self.nodes if index in node.inputs]

    def run(self, images, parameters=None, activation=None):
        """Computes every tensor: `{index: tensor}` of the input and of all outputs.

        Images are `(batch, height, width, channels)`, float32, any batch. `parameters`
        are `{index: array}` in place of constants; `activation` is a function of a
        tensor's index and value that returns the value with which to go on, the input's
        too.
        """
        activation = activation or (lambda index, value: value)
        known = self.constants | (parameters or {})
        values = {self.source: activation(self.source, images)}
        for node in self.nodes:
            read = [
                None if i < 0 else values[i] if i in values else known[i]
                for i in node.inputs
            ]
            kind = getattr(node.options, "fusedActivationFunction", 0)
            value = _ACTIVATIONS[kind](self.compute(node, read))
            values[node.output] = activation(node.output, value)
        return values

    def compute(self, node, read):
        """An operator's output, without an activation that is fused to it, from the
        values of its inputs, `None` for an absent one."""
        return _OPERATORS[node.operator](node, read, self.shapes[node.output])


def with_constants(data: bytes, arrays) -> bytes:
    """A float file with other weights, `{index of the tensor: array of its shape}`."""
    model = flatbuffer.unpack(data)
    for index, array in arrays.items():
        tensor = flatbuffer.graph(model).tensors[index]
        flatbuffer.set_data(model, tensor, np.asarray(array, np.float32))
    return flatbuffer.pack(model)


def _padding(node):
    return "SAME" if node.options.padding == schema.Padding.SAME else "VALID"


def _strides(node):
    return [1, node.options.strideH, node.options.strideW, 1]


def _dilations(node):
    return [node.options.dilationHFactor, node.options.dilationWFactor]


def _plus(value, bias):
    return value if bias is None else value + bias


def _conv(node, read, shape):
    kernel = tf.transpose(read[1], [1, 2, 3, 0])
    dilations = [1, *_dilations(node), 1]
    value = tf.nn.conv2d(
        read[0], kernel, _strides(node), _padding(node), "NHWC", dilations
    )
    return _plus(value, read[2])


def _depthwise(node, read, shape):
    kernel = tf.reshape(read[1], [*read[1].shape[1:3], read[0].shape[-1], -1])
    value = tf.nn.depthwise_conv2d(
        read[0], kernel, _strides(node), _padding(node), "NHWC", _dilations(node)
    )
    return _plus(value, read[2])


def _dense(node, read, shape):
    value = tf.matmul(
        tf.reshape(read[0], [-1, read[1].shape[1]]), read[1], transpose_b=True
    )
    return tf.reshape(
        _plus(value, read[2] if len(read) > 2 else None), [-1, *shape[1:]]
    )


def _pool(function):
    def pool(node, read, shape):
        size = [1, node.options.filterHeight, node.options.filterWidth, 1]
        return function(read[0], size, _strides(node), _padding(node))

    return pool


def _mean(node, read, shape):
    return tf.reshape(tf.reduce_mean(read[0], tuple(read[1].ravel())), [-1, *shape[1:]])


def _reshape(node, read, shape):
    if len(shape) == 1:  # the converter's, of a 1 x 1 map: without its batch of one
        shape = (1,) * (len(read[0].shape) - 1) + shape
    return tf.reshape(read[0], [-1, *shape[1:]])


_OPERATORS = {
    "ADD": lambda node, read, shape: read[0] + read[1],
    "AVERAGE_POOL_2D": _pool(tf.nn.avg_pool2d),
    "CONCATENATION": lambda node, read, shape: tf.concat(read, node.options.axis),
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "DIV": lambda node, read, shape: read[0] / read[1],
    "FULLY_CONNECTED": _dense,
    "HARD_SWISH": lambda node, read, shape: read[0] * tf.nn.relu6(read[0] + 3) / 6,
    "LOGISTIC": lambda node, read, shape: tf.sigmoid(read[0]),
    "MAX_POOL_2D": _pool(tf.nn.max_pool2d),
    "MEAN": _mean,
    "MUL": lambda node, read, shape: read[0] * read[1],
    "PAD": lambda node, read, shape: tf.pad(read[0], read[1]),
    "RELU": lambda node, read, shape: tf.nn.relu(read[0]),
    "RELU6": lambda node, read, shape: tf.nn.relu6(read[0]),
    "RESHAPE": _reshape,
    "SOFTMAX": lambda node, read, shape: tf.nn.softmax(read[0]),
    "SQUEEZE": _reshape,
    "SUB": lambda node, read, shape: read[0] - read[1],
    "TANH": lambda node, read, shape: tf.tanh(read[0]),
    "TRANSPOSE": lambda node, read, shape: tf.transpose(read[0], read[1]),
}
