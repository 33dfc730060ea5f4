"""How far each layer of a quantised file is from the float file."""

import math
import re

import numpy as np

from keras_effnet.errors import InputError
from keras_effnet.export import flatbuffer
from keras_effnet.export.watching import Watched
from keras_effnet.sheet import LayerError
from keras_effnet.tflite import TFLiteModel

# Numbers: small arrays stay in the cache, twice as fast as whole tensors.
_PART = 8192


def layer_errors(float_file, other_file, batches) -> list[LayerError]:
    """Compares two .tflite files of one model, operator by operator.

    Both, paths or `TFLiteModel`s, run whole, as they would in use, so that an error is
    what has gathered up to that operator. Operators are paired by what they are, their
    output's name and its shape; those that only one file has (QUANTIZE) are left out.
    An image takes about twice as long as both files take for it in use; int16x8 has
    slow kernels alone, about 1 s for an image in EfficientNet-B0. Batches are `(batch,
    height, width, channels)`, in the value range of the float model's input.

    Returns the figures of each operator's output, in the order of the float file's
    operators.
    """
    first, second = _Recorder(float_file), _Recorder(other_file)
    pairs = _paired(first.outputs, second.outputs)
    if not pairs:
        raise InputError(
            "The files must be of the same model and batch size: no operator of one "
            "has the name and shape of one of the other. Received: "
            f"{str(first.path)!r}, {str(second.path)!r}"
        )
    sums, elements = np.zeros((len(pairs), 3)), np.zeros(len(pairs))
    for images in batches:
        for start in range(0, len(images), first.batch_size):
            chunk = np.asarray(images[start : start + first.batch_size])
            first.run(chunk)
            second.run(chunk)
            for row, (one, other) in enumerate(pairs):
                expected = first.values(one, len(chunk))
                found = second.values(other, len(chunk))
                for one_part, other_part in zip(expected, found, strict=True):
                    noise = other_part - one_part
                    sums[row] += one_part.sum(), one_part @ one_part, noise @ noise
                    elements[row] += one_part.size
    if not elements.all():
        raise InputError("There must be at least one image. Received: no images")
    rows = zip(pairs, sums / elements[:, None], strict=True)
    return [_figures(one, second.scale(other), *means) for (one, other), means in rows]


def _figures(output, scale, mean, square, noise):
    deviation = math.sqrt(max(0.0, square - mean**2))
    # What the float sums leave of a tensor that is constant.
    constant = deviation <= 1e-7 * math.sqrt(square)
    return {
        "name": output["name"],
        "operator": output["operator"],
        "scale": scale,
        "rms": math.sqrt(square),
        "error": None if constant else math.sqrt(noise) / deviation,
        "sqnr": 10 * math.log10(square / noise) if square and noise else None,
        "rmse_over_scale": math.sqrt(noise) / scale if scale else None,
    }


class _Recorder:
    """A file that keeps the output of each operator."""

    def __init__(self, file):
        self._file = file if isinstance(file, TFLiteModel) else TFLiteModel(file)
        self.path = self._file.path
        model = flatbuffer.unpack(self.path.read_bytes())
        self.outputs = list(_activations(model))
        self._watched = Watched(model, [output["index"] for output in self.outputs])
        self.batch_size = self._watched.batch_size
        self._details = {
            details["index"]: details
            for details in self._watched.interpreter.get_output_details()
        }

    def run(self, images):
        """Runs up to `batch_size` images, float."""
        if images.shape[1:] != self._watched.shape:
            raise InputError(
                f"The file takes images of the shape {self._watched.shape}. "
                f"Received: {images.shape[1:]} for {str(self.path)!r}"
            )
        self._watched.run(self._file.stored(images))

    def scale(self, output):
        """The real value of one step, `None` where the tensor is float."""
        return float(self._details[output["index"]]["quantization"][0]) or None

    def values(self, output, images):
        """An output's real values of the first images, float64, part by part."""
        details = self._details[output["index"]]
        stored = self._watched.interpreter.get_tensor(output["index"])[:images].ravel()
        scale, zero_point = details["quantization"]
        for start in range(0, len(stored), _PART):
            part = stored[start : start + _PART].astype(np.float64)
            yield (part - zero_point) * scale if scale else part


def _activations(model):
    """Outputs of the operators, less weights that are unpacked (float16's)."""
    graph = flatbuffer.graph(model)
    constant = {
        index
        for index, tensor in enumerate(graph.tensors)
        if model.buffers[tensor.buffer].data is not None
    }
    for operator in graph.operators:
        if all(index in constant for index in operator.inputs if index >= 0):
            constant.update(operator.outputs)
            continue
        for index in operator.outputs:
            tensor = graph.tensors[index]
            if tensor.type not in flatbuffer.TENSOR_TYPES.values():
                continue  # arithmetic of shapes
            yield {
                "index": int(index),
                "name": tensor.name.decode(),
                "operator": flatbuffer.operator_name(model, operator),
                "shape": tuple(tensor.shape),
            }


def _paired(outputs, others):
    """Pairs of outputs: of the same name, else of the same but for its ending.

    The converter numbers names that collide (float16's unpacked weights take the
    float file's, `convolution1` becomes `convolution3`), and int16x8 ends in
    `_int16` where it goes back to float.
    """
    left = list(outputs)
    found = {}
    for spelling in (str, _without_ending):
        waiting = {}
        for other in others:
            waiting.setdefault(_key(other, spelling), []).append(other)
        for output in list(left):
            if candidates := waiting.get(_key(output, spelling)):
                found[output["index"]] = candidates.pop(0)
                left.remove(output)
        taken = {other["index"] for other in found.values()}
        others = [other for other in others if other["index"] not in taken]
    return [(o, found[o["index"]]) for o in outputs if o["index"] in found]


def _key(output, spelling):
    return output["operator"], spelling(output["name"]), output["shape"]


def _without_ending(name):
    return re.sub(r"\d*(_int16)?$", "", name)
