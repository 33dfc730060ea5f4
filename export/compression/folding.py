"""Batch normalisation folded into the weights before it; the architecture stays.

A .tflite file has no batch normalisation: the converter multiplies it into the kernel,
each output channel by a number of its own. Done before the training, TF-MOT sees the
kernels that the file will hold: 16 clusters stay 16, and one learning rate suits all
channels. What is left of each normalisation adds a bias.
"""

import numpy as np

from keras_effnet.export.compression.twin import PREPROCESSING


def without_scale(description, arrays):
    """Moves the scale of a normalisation of pixels into the first convolution.

    The export does the same: the file subtracts the mean, rounds what is left, and has
    the scale in its kernel. Of `twin.describe` and `twin.weights` makes a twin that
    answers as before, `(description, arrays, undo)`, and a function that takes its
    weights back to the first one's.
    """
    nodes = description["nodes"]
    first = nodes[0]
    readers = [node for node in nodes if first["name"] in node["inputs"]]
    scale = np.float32(first["config"].get("scale", 0))
    if (
        first["kind"] != PREPROCESSING
        or len(readers) != 1
        or readers[0]["kind"] != "Conv2D"
        or readers[0]["config"]["groups"] != 1
        or not scale.all()
    ):
        return description, arrays, lambda found: found
    key = f"{readers[0]['name']}/0"
    factor = np.broadcast_to(scale, description["shape"][-1:])[:, None]
    offset = np.float32(first["config"]["offset"]) / scale
    plain = first | {"config": {"scale": 1.0, "offset": offset.tolist()}}

    def undo(found):
        return found | {key: found[key] / factor}

    changed = arrays | {key: arrays[key] * factor}
    return description | {"nodes": [plain, *nodes[1:]]}, changed, undo


def fold(description: dict, arrays: dict) -> tuple[dict, list[str]]:
    """Moves the scales of batch normalisations into the layers before them.

    `(arrays, folded)`: weights by which the model answers as before, and the names of
    the normalisations that now only add.
    """
    arrays, folded = dict(arrays), []
    nodes = {node["name"]: node for node in description["nodes"]}
    readers = {}
    for node in description["nodes"]:
        for name in node["inputs"]:
            readers[name] = readers.get(name, 0) + 1
    for name, node in nodes.items():
        source = nodes.get(node["inputs"][0])
        if node["kind"] != "BatchNormalization" or source is None:
            continue
        if source["kind"] not in _KERNELS or readers[source["name"]] != 1:
            continue
        if node["config"]["axis"] not in (-1, 3, [-1], [3], (-1,), (3,)):
            continue  # not of the channels
        parts = _Parts(node["config"], name, arrays)
        kernel = f"{source['name']}/0"
        scale = parts.gamma / np.sqrt(parts.variance + parts.epsilon)
        arrays[kernel] = _KERNELS[source["kind"]](arrays[kernel], scale)
        if source["config"]["use_bias"]:
            arrays[f"{source['name']}/1"] = arrays[f"{source['name']}/1"] * scale
        parts.leave(parts.beta - parts.mean * scale)
        folded.append(name)
    return arrays, folded


class _Parts:
    """The numbers of one batch normalisation, in its order of weights."""

    def __init__(self, config, name, arrays):
        self._arrays = arrays
        present = [
            part
            for part, key in (("gamma", "scale"), ("beta", "center"))
            if config[key]
        ]
        present += ["mean", "variance"]
        self._keys = {part: f"{name}/{i}" for i, part in enumerate(present)}
        self.epsilon = np.float32(config["epsilon"])
        self.mean, self.variance = self._get("mean"), self._get("variance")
        self.gamma = self._get("gamma", np.ones_like(self.mean))
        self.beta = self._get("beta", np.zeros_like(self.mean))

    def _get(self, part, default=None):
        key = self._keys.get(part)
        return default if key is None else self._arrays[key]

    def leave(self, bias):
        """Sets the numbers so that the layer adds a bias, and nothing else."""
        one = np.ones_like(self.mean)
        self._set("gamma", one)
        self._set("variance", one * _one_less(self.epsilon))
        if "beta" in self._keys:
            self._set("beta", bias)
            self._set("mean", 0 * one)
        else:
            self._set("mean", -bias)

    def _set(self, part, value):
        if part in self._keys:
            self._arrays[self._keys[part]] = value.astype(np.float32)


def _one_less(epsilon):
    """The variance that gives exactly one, once `epsilon` is added in float32."""
    variance = np.float32(1) - epsilon
    while variance + epsilon < 1:
        variance = np.nextafter(variance, np.float32(2))
    while variance + epsilon > 1:
        variance = np.nextafter(variance, np.float32(0))
    return variance


def _depthwise(kernel, scale):
    return kernel * scale.reshape(kernel.shape[2:])


_KERNELS = {
    "Conv2D": lambda kernel, scale: kernel * scale,
    "Dense": lambda kernel, scale: kernel * scale,
    "DepthwiseConv2D": _depthwise,
}
