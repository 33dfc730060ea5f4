"""Which operators stay in float: most error avoided for least work."""

import numpy as np

from keras_effnet.export.levers.kernels import SMALL

# What an element that an operator writes costs, in multiply-adds.
_ELEMENT = 8


def float_nodes(network, sensitivity, share):
    """Chooses operators, greedily by error avoided for their cost.

    A tensor is spared its rounding where all operators that write and read it are in
    float, a small kernel where its operator is; large ones stay in 8 bits.

    Args:
        network: A `Network`.
        sensitivity: Of it, a `Sensitivity`.
        share: Of the whole network's work, 0 to 1.

    Returns:
        A frozenset of operators' names.
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
