"""Which operators stay in float: most error avoided for least work.

Their kernels are stored in 8 bits all the same: what hurts is the rounding of
activations.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_effnet.export import flatbuffer
from keras_effnet.export.levers import fake_quantization
from keras_effnet.export.levers.network import CHANNEL_AXIS

# Weights: a smaller kernel costs no bytes to speak of, and stays exact.
SMALL = 1 << 12
# What an element that an operator writes costs, in multiply-adds.
_ELEMENT = 8


def float_nodes(network, sensitivity, share) -> frozenset[str]:
    """Chooses operators by name, greedily by error avoided for their cost, for a share,
    0 to 1, of the whole network's work.

    A tensor is spared its rounding where all operators that write and read it are in
    float, a small kernel where its operator is; large ones stay in 8 bits.
    """
    costs = _costs(network)
    left = share
    chosen = set()
    groups = _groups(network)
    gains = _Gains(network, sensitivity, groups)
    while True:
        best, rate = None, 0.0
        for group in groups.values():
            new = group - chosen
            cost = sum(costs[name] for name in new)
            if new and cost <= left and (found := gains.of(chosen, new) / cost) > rate:
                best, rate = new, found
        if not best:
            return frozenset(chosen)
        chosen |= best
        left -= sum(costs[name] for name in best)


def float_share(network, names):
    """The share of all multiply-adds that operators compute."""
    macs = {node.name: _macs(network, node) for node in network.nodes}
    return sum(macs[name] for name in names) / max(1, sum(macs.values()))


def float_tensors(network, names):
    """Indices of tensors that only operators in float write and read."""
    found = set()
    for node in network.nodes:
        readers = network.consumers(node.output)
        if readers and all(n.name in names for n in (node, *readers)):
            found.add(node.output)
    return found


def with_8_bit_kernels(data: bytes) -> bytes:
    """Stores the kernels of a mixed file that are in float with 8 bits a weight.

    XNNPACK unpacks them once, when it loads the file: the operators stay as fast as in
    float, and the file as small as in int8.
    """
    model = flatbuffer.unpack(data)
    graph = flatbuffer.graph(model)
    unpacked, operators = {}, []
    for operator in graph.operators:
        axis = CHANNEL_AXIS.get(flatbuffer.operator_name(model, operator))
        index = None if axis is None else int(operator.inputs[1])
        if index is not None and _is_large(model, graph.tensors[index]):
            unpacked[index] = _packed(model, index, axis)
            operators.append(
                flatbuffer.cast_operator(
                    model, index, unpacked[index], quantize=False, version=5
                )
            )
        if index in unpacked:  # by this operator, or by one before it
            operator.inputs = np.array(operator.inputs)
            operator.inputs[1] = unpacked[index]
        operators.append(operator)
    graph.operators = operators
    return flatbuffer.pack(model)


class _Gains:
    def __init__(self, network, sensitivity, groups):
        self._touching = {}
        for index, group in groups.items():
            for name in group:
                tensors = self._touching.setdefault(name, {})
                tensors[index] = group, sensitivity.activations.get(index, 0.0)
        self._kernels = {
            node.name: sum(
                sensitivity.kernels.get(i, 0.0)
                for i in node.inputs
                if i in network.kernels and network.constants[i].size < SMALL
            )
            for node in network.nodes
        }

    def of(self, chosen, new):
        after = chosen | new
        touched = {}
        for name in new:
            touched |= self._touching.get(name, {})
        spared = sum(nats for group, nats in touched.values() if group <= after)
        return spared + sum(self._kernels[name] for name in new)


def _groups(network):
    """`{tensor: names of the operators that must be in float to spare it}`.

    The last softmax is left out: a file that answers in float has it in float.
    """
    groups = {}
    for node in network.nodes:
        readers = network.consumers(node.output)
        if readers and network.nodes[-1] not in readers:
            groups[node.output] = {node.name, *(reader.name for reader in readers)}
        kernel = next((i for i in node.inputs if i in network.kernels), None)
        if kernel is not None:
            groups[kernel] = {node.name}
    return groups


def _costs(network):
    work = {
        node.name: _macs(network, node)
        + _ELEMENT * int(np.prod(network.shapes[node.output]))
        for node in network.nodes
    }
    total = sum(work.values())
    return {name: cost / total for name, cost in work.items()}


def _macs(network, node):
    kernel = next((i for i in node.inputs if i in network.kernels), None)
    if kernel is None:
        return 0
    shape = network.shapes[kernel]
    inner = np.prod(shape) / shape[network.kernels[kernel]]
    return int(np.prod(network.shapes[node.output]) * inner)


def _is_large(model, tensor):
    stored = model.buffers[tensor.buffer].data
    in_float = tensor.type == flatbuffer.TENSOR_TYPES["float32"]
    return in_float and stored is not None and len(stored) >= 4 * SMALL


def _packed(model, index, axis):
    """Makes the kernel int8; returns the tensor into which it is unpacked."""
    tensor = flatbuffer.graph(model).tensors[index]
    stored = bytes(model.buffers[tensor.buffer].data)
    kernel = np.frombuffer(stored, np.float32).reshape(tensor.shape)
    target = flatbuffer.add_tensor(
        model, tensor, f"{tensor.name.decode()}_unpacked", "float32"
    )
    steps = fake_quantization.kernel_steps(kernel, axis)
    flatbuffer.set_data(model, tensor, np.round(kernel / steps).astype(np.int8))
    tensor.type = flatbuffer.TENSOR_TYPES["int8"]
    tensor.quantization = schema.QuantizationParametersT()
    tensor.quantization.scale = steps.ravel().astype(np.float32)
    tensor.quantization.zeroPoint = np.zeros(steps.size, np.int64)
    tensor.quantization.quantizedDimension = axis
    return target
