"""Weights rounded so that what a layer computes changes least.

Each weight by itself is nearest to a step already. But the errors of a layer's
weights add up in its outputs, and what its inputs have in common (their second
moments) says which errors cancel: so a weight may go to the farther step where that
takes out what others left. A problem of least squares over whole numbers; solved as
in Frantar et al. 2023, "GPTQ: Accurate Post-Training Quantization for Generative
Pre-trained Transformers" (each column's error fed to the columns not yet rounded),
then by descent one weight at a time. No labels, no gradients.
"""

import numpy as np

from keras_effnet.export.levers import fake_quantization
from keras_effnet.export.levers import layer_inputs
from keras_effnet.export.levers import network
from keras_effnet.progress import bar

# Of the mean second moment, added to each: GPTQ's.
_DAMPING = 0.01
_SWEEPS = 2
# Columns whose changes reach the others at once.
_BLOCK = 64
# Second moments take its square, twice: wider layers keep the nearest steps.
_MOST_COLUMNS = 4608


def optimise(draft, images, seed=0, progress=None):
    """Rounds all kernels of a draft to the steps that the quantiser will give them.

    The mean of each output channel stays as it was: what the rounding would add to it
    goes into the bias. A kernel or bias that several operators read is left as it is,
    so is the kernel of an operator that stays in float. Do this last of all that
    changes weights; a few dozen to 200 images will do, `(images, height, width,
    channels)`.

    Kernels become whole steps of `fake_quantization.kernel_steps`, which are those of
    before. The converter's own steps are the same, except in channels whose weights are
    next to nothing (1e-6), where it makes them wider.
    """
    net = network.Network(draft.data)
    layers = _layers(net, draft.float_nodes)
    gathered = layer_inputs.second_moments(draft.data, net, layers, images, seed)
    arrays = {}
    pairs = list(zip(layers, gathered, strict=True))
    for node, halves in bar(pairs, "rounding by layer", "kernel", shown=progress):
        kernel = net.constants[node.inputs[1]]
        axis = net.kernels[node.inputs[1]]
        bias = _own_bias(net, node)
        # A bias takes out the mean: what varies is left.
        mean, moments = layer_inputs.shrunken(halves, centred=bias is not None)
        rows = _as_rows(net, node, kernel)
        steps = _as_rows(
            net,
            node,
            np.broadcast_to(fake_quantization.kernel_steps(kernel, axis), kernel.shape),
        )
        found = round_rows(rows, moments, steps[:, :, :1])
        arrays[node.inputs[1]] = _as_kernel(node, found, kernel.shape)
        if bias is not None:
            shift = np.einsum("grk,gk->gr", found - rows.astype(np.float64), mean)
            arrays[bias] = net.constants[bias] - shift.ravel().astype(np.float32)
    return draft.after("rounding", data=network.with_constants(draft.data, arrays))


def round_rows(weights, moments, steps, damping=_DAMPING):
    """Whole steps near weights, such that their products with inputs change least.

    `weights` are `(groups, rows, columns)`, rows that meet the same inputs; `moments`
    `(groups, columns, columns)`, of those inputs, float64; `steps` `(groups, rows, 1)`,
    the real value of a step; `damping`, of the mean second moment, is added to each.
    Returns float32, -127 ... 127 steps: where the greatest weight of a row is 127 steps
    it stays what it is.
    """
    power = np.einsum("gkk->gk", moments).mean(axis=1)
    power = np.where(power > 0, power, 1.0)  # inputs that are always zero
    moments = moments + damping * power[:, None, None] * np.eye(moments.shape[1])
    largest = np.abs(weights).max(axis=2, keepdims=True)
    # The quantiser reads the step off them.
    held = np.where(np.abs(weights) == largest, 127 * np.sign(weights), np.nan)
    # Columns before rows: what the loops take is contiguous.
    target, held = (np.ascontiguousarray(np.swapaxes(array, 1, 2), np.float32)
                    for array in (weights / steps, held))  # fmt: skip
    whole = _fed_forward(target, moments, held)
    whole = _descended(whole, target, moments.astype(np.float32), held)
    whole = np.swapaxes(whole, 1, 2)
    found = np.where(np.abs(whole) == 127, np.sign(whole) * largest, whole * steps)
    return found.astype(np.float32)


def _nearest(value, held):
    steps = np.minimum(np.maximum(np.rint(value), -127), 127)
    return np.where(np.isnan(held), steps, held)


def _fed_forward(target, moments, held):
    """Rounds column by column; what is left of each changes the next ones.

    With the moments as M M^T, M upper triangular, the error is the squared length of
    M^T (rounded - target), in which each column can take out what those before it
    left. It is GPTQ without its inverse.
    """
    order = np.argsort(-np.einsum("gkk->gk", moments), axis=1, kind="stable")
    moments = np.take_along_axis(moments, order[:, :, None], 1)
    moments = np.take_along_axis(moments, order[:, None, :], 2)
    factor = np.linalg.cholesky(moments[:, ::-1, ::-1])[:, ::-1, ::-1]
    share = (factor / np.einsum("gkk->gk", factor)[:, None, :]).astype(np.float32)
    target = np.take_along_axis(target, order[:, :, None], 1)
    held = np.take_along_axis(held, order[:, :, None], 1)
    value, whole = target.copy(), np.empty_like(target)
    columns = target.shape[1]
    for start in range(0, columns, _BLOCK):
        stop = min(start + _BLOCK, columns)
        for i in range(start, stop):
            whole[:, i] = _nearest(value[:, i], held[:, i])
            left = (whole[:, i] - target[:, i])[:, None]
            value[:, i:stop] -= share[:, i, i:stop, None] * left
        left = whole[:, start:stop] - target[:, start:stop]
        value[:, stop:] -= np.swapaxes(share[:, start:stop, stop:], 1, 2) @ left
    return np.take_along_axis(whole, np.argsort(order, axis=1)[:, :, None], 1)


def _descended(whole, target, moments, held):
    """Moves one weight of each row at a time to where the error is least."""
    slope = moments @ (whole - target)
    power = np.einsum("gkk->gk", moments)[:, :, None]
    columns = whole.shape[1]
    for _ in range(_SWEEPS):
        for start in range(0, columns, _BLOCK):
            stop = min(start + _BLOCK, columns)
            part, before = slope[:, start:stop].copy(), whole[:, start:stop].copy()
            for i in range(start, stop):
                best = whole[:, i] - part[:, i - start] / power[:, i]
                best = _nearest(best, held[:, i])
                move = (best - whole[:, i])[:, None]
                whole[:, i] = best
                part += moments[:, start:stop, i, None] * move
            slope += moments[:, :, start:stop] @ (whole[:, start:stop] - before)
    return whole


def _layers(net, float_nodes):
    """Nodes with a kernel of their own that will be int8."""
    return [
        node
        for node in net.nodes
        if len(node.inputs) > 1
        and node.inputs[1] in net.kernels
        and node.inputs[1] in net.constants
        and len(net.consumers(node.inputs[1])) == 1
        and node.name not in float_nodes
        and not net.is_grouped(node)
        and _columns(net, node) <= _MOST_COLUMNS
    ]


def _columns(net, node):
    """How many weights an output channel has."""
    shape = net.shapes[node.inputs[1]]
    return int(np.prod(shape)) // shape[net.kernels[node.inputs[1]]]


def _own_bias(net, node):
    bias = node.inputs[2] if len(node.inputs) > 2 else -1
    return bias if bias in net.constants and len(net.consumers(bias)) == 1 else None


def _as_rows(net, node, kernel):
    """`(groups, rows, columns)` in the order of `_windows`."""
    if node.operator != "DEPTHWISE_CONV_2D":
        return kernel.reshape(1, kernel.shape[0], -1)
    inputs = net.shapes[node.inputs[0]][-1]
    return kernel.reshape(-1, inputs, kernel.shape[3] // inputs).transpose(1, 2, 0)


def _as_kernel(node, rows, shape):
    if node.operator == "DEPTHWISE_CONV_2D":
        rows = rows.transpose(2, 0, 1)
    return rows.reshape(shape)
