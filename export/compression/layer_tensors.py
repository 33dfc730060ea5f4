"""Which tensor of a .tflite file holds what a layer answers."""

import dataclasses
import itertools

import keras
import numpy as np

from keras_effnet.export import calibration
from keras_effnet.export.compression import twin

# Of the greatest value: the converter folds scales and adds in another order.
_TOLERANCE = 1e-3
_OF_PIXELS = ("scale", "offset")
_BATCHES = 16


def most_varied(images):
    """The image that tells tensors apart best, `(1, height, width, channels)`.

    Of a black one many layers make the same.
    """
    spread = [np.std(image) for image in images]
    return np.asarray(images[int(np.argmax(spread))], "float32")[None]


def tensors_of_nodes(data, arrays, description, image) -> dict[int, list[str]]:
    """Finds each node's tensor by what a float file and the twin of its model make of
    one image, `(1, height, width, channels)`: `{index of the tensor: names of the
    nodes}`.

    Names are of no use: the converter fuses layers and renames them. Nodes that answer
    the same (a dropout and what it reads) share a tensor, and nodes that the converter
    fused into the next have none.
    """
    body = twin.build(description, keras)
    twin.assign(body, arrays)
    names = [description["input"], *(node["name"] for node in description["nodes"])]
    outputs = [body.get_layer(name).output for name in names]
    answers = keras.Model(body.input, outputs)(image, training=False)
    by_size = {}
    for name, answer in zip(names, answers, strict=True):
        value = np.ravel(keras.ops.convert_to_numpy(answer))
        by_size.setdefault(value.size, []).append((name, value))
    found = {}

    def compare(index, value):
        flat = np.ravel(value)
        largest = np.abs(flat).max()
        found[index] = [
            name
            for name, answer in by_size.get(flat.size, ())
            if largest and np.abs(answer - flat).max() <= _TOLERANCE * largest
        ]

    calibration.calibrate(data, [image], each=compare)
    return {index: names for index, names in found.items() if names}


def ranges_of_nodes(description, tensors, by_tensor):
    """`{node: (least, greatest)}` of what a twin's layers answer, from
    `tensors_of_nodes` and ranges by tensor."""
    found = {
        name: by_tensor[index] for index, names in tensors.items() for name in names
    }
    for node in description["nodes"]:
        source = node["inputs"][0]
        known = node["name"] in found or source not in found
        if node["kind"] == twin.PREPROCESSING and not known:
            # The converter took it apart; no tensor holds its values.
            scale, offset = (np.atleast_1d(node["config"][k]) for k in _OF_PIXELS)
            ends = np.multiply.outer(found[source], scale) + offset
            found[node["name"]] = (float(ends.min()), float(ends.max()))
    return found


def with_learned(trace, model, found, learned, images) -> calibration.Ranges:
    """Calibrated ranges with those, by node, that a training learned in their place.

    One image of the first batches tells which tensor is whose.
    """
    batches = itertools.islice(images(), _BATCHES)
    image = most_varied([image for batch in batches for image in np.asarray(batch)])
    description, arrays = twin.describe(model), twin.weights(model)
    tensors = tensors_of_nodes(trace.float32, arrays, description, image)
    by_tensor = dict(found.by_tensor)
    for index, names in tensors.items():
        if known := [learned[name] for name in names if name in learned]:
            by_tensor[index] = known[0]
    return dataclasses.replace(found, by_tensor=by_tensor, method="learned")
