"""Where quantisation-aware training begins: where quantisation without it ends.

Ranges and rounded weights of post-training quantisation, found on the float .tflite
file and carried over to the twin's layers.
"""

import functools
import tempfile

import numpy as np
import tensorflow as tf

from keras_effnet.errors import InputError
from keras_effnet.export import calibration as calibrating
from keras_effnet.export import converting
from keras_effnet.export import crops
from keras_effnet.export.compression import layer_tensors
from keras_effnet.export.compression import twin
from keras_effnet.export.levers import fake_quantization
from keras_effnet.export.levers import objectives
from keras_effnet.export.levers import ranges as choosing
from keras_effnet.export.levers import rounding
from keras_effnet.export.levers.draft import Draft
from keras_effnet.export.levers.network import Network

# The share of each activation's values that its range holds. Training makes up for
# what is cut off, and not for the coarse steps of a wide range.
_SHARE = 0.9999
# Images that calibrate, and drawings that judge.
_CALIBRATION, _JUDGES, _BATCH = 200, 64, 8
_BEFORE_A_KERNEL = ("BatchNormalization", "Dropout", "ReLU", "SpatialDropout2D")
_TO_TWIN = {
    "CONV_2D": lambda kernel, shape: kernel.transpose(1, 2, 3, 0),
    "DEPTHWISE_CONV_2D": lambda kernel, shape: kernel.reshape(shape),
    "FULLY_CONNECTED": lambda kernel, shape: kernel.T,
}


def start(model, images, description, arrays, rounds=True):
    """Ranges, `{node: (least, greatest)}`, and weights with which to begin, from the
    twin's folded ones: `(arrays, ranges)`.

    `rounds`: whether weights may change; not where zeros or clusters are kept.
    """
    with tempfile.TemporaryDirectory() as folder:
        trace = converting.trace(model, folder)
    network = Network(trace.float32)
    chosen = images[calibrating.evenly(len(images), _CALIBRATION)].astype("float32")
    observed = choosing.observe(trace.float32, (image[None] for image in chosen))
    ranges = choosing.percentile(observed, network, _SHARE)
    draft = Draft(trace.float32, ranges, levers=("percentile",))
    if rounds:
        kind = twin.loss(description, model.outputs[0].shape[-1])
        draft = _rounded(draft, network, chosen, images, kind)
    image = layer_tensors.most_varied(chosen)
    tensors = layer_tensors.tensors_of_nodes(trace.float32, arrays, description, image)
    pinned = converting.pinned(trace, draft.ranges)
    ranges = layer_tensors.ranges_of_nodes(description, tensors, pinned)
    if draft.data is not trace.float32:
        after = Network(draft.data)
        arrays = _carried_over(description, tensors, arrays, network, after)
    return arrays, ranges


def _rounded(draft, network, chosen, images, kind):
    """With the kernels rounded layer by layer, where that brings the answers nearer."""
    try:
        network.check()
    except InputError:
        return draft  # an operator without gradients here
    _, judges = crops.draw(images, _JUDGES, np.random.default_rng(0))
    distance = functools.partial(_divergence, images=judges.numpy(), kind=kind)
    return min((draft, rounding.optimise(draft, chosen)), key=distance)


def _divergence(draft, images, kind):
    """Of a draft's answers from those of its float file, in training's arithmetic."""
    network = Network(draft.data)
    parameters = fake_quantization.kernels(network)
    activation = fake_quantization.rounding(network, draft.ranges)
    total = 0.0
    for i in range(0, len(images), _BATCH):
        batch = images[i : i + _BATCH]
        found = network.run(batch, parameters, activation)[network.logits]
        expected = network.run(batch)[network.logits]
        total += float(tf.reduce_sum(objectives.divergence(expected, found, kind)))
    return total


def _carried_over(description, tensors, arrays, before, after):
    """The twin's weights with what was done to the file's.

    The file's kernels are the twin's, some times a number for each channel: a change is
    carried over as a ratio, and a bias' as a difference.
    """
    nodes = {node["name"]: node for node in description["nodes"]}
    arrays = dict(arrays)
    for node in before.nodes:
        names = tensors.get(node.output, ())
        layer, normalisation = _owner(nodes, names)
        if node.operator not in _TO_TWIN or layer is None:
            continue
        key, index = f"{layer['name']}/0", node.inputs[1]
        old, new = before.constants[index], after.constants[index]
        ratio = np.divide(new, old, out=np.ones_like(old), where=old != 0)
        shape = arrays[key].shape
        arrays[key] = arrays[key] * _TO_TWIN[node.operator](ratio, shape)
        bias = _bias(layer, normalisation)
        if bias and len(node.inputs) > 2 and node.inputs[2] >= 0:
            shift = after.constants[node.inputs[2]] - before.constants[node.inputs[2]]
            arrays[bias] = arrays[bias] + shift
    return arrays


def _owner(nodes, names):
    """`(layer with the kernel, its normalisation)` behind what a tensor holds."""
    for name in names:
        node, normalisation = nodes.get(name), None
        while node is not None and node["kind"] in _BEFORE_A_KERNEL:
            if node["kind"] == "BatchNormalization":
                normalisation = node
            node = nodes.get(node["inputs"][0])
        if node is not None and node["kind"] in ("Conv2D", "DepthwiseConv2D", "Dense"):
            return node, normalisation
    return None, None


def _bias(layer, normalisation):
    """The key of what is added to a layer's outputs, or `None`."""
    if normalisation is not None:
        config = normalisation["config"]
        place = int(config["scale"])
        return f"{normalisation['name']}/{place}" if config["center"] else None
    return f"{layer['name']}/1" if layer["config"]["use_bias"] else None
