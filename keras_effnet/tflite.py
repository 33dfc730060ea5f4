"""A .tflite file as a classifier: pixels in, probabilities out."""

import functools
import json
import pathlib

import numpy as np

from keras_effnet import preprocessing
from keras_effnet import saving
from keras_effnet.errors import InputError
from keras_effnet.quiet import native_stderr_held_back


def check_file(path):
    """Tells a .tflite file from anything else before LiteRT sees it.

    Args:
        path: Path of a file.

    Returns:
        A `pathlib.Path`.

    Raises:
        InputError: There is no such file, or it is no .tflite file.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise InputError(f"There is no such .tflite file. Received: {str(path)!r}")
    try:
        with open(path, "rb") as file:
            header = file.read(8)
    except OSError as error:
        raise InputError(
            f"The file can't be read: {error.strerror}. Received: {str(path)!r}"
        ) from error
    if header[4:] != b"TFL3":
        raise InputError(
            "This is no .tflite file: its identifier is not 'TFL3'. "
            f"Received: {str(path)!r}"
        )
    return path


class TFLiteModel:
    """Runs a .tflite image classifier with LiteRT.

    Args:
        path: Path of the file: one image input, one output of probabilities.
        threads: CPU threads.

    Attributes:
        interpreter: The `ai_edge_litert.interpreter.Interpreter`.
        input: LiteRT's details of the input tensor.
        output: LiteRT's details of the output tensor.

    Raises:
        InputError: There is no such file, or LiteRT can't run it.
    """

    def __init__(self, path, threads=1):
        from ai_edge_litert.interpreter import Interpreter

        self.path = check_file(path)
        try:
            with native_stderr_held_back():
                self.interpreter = Interpreter(str(self.path), num_threads=threads)
                self.interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise InputError(
                "LiteRT can't run the file, it may be cut off or hold operators "
                f"that it does not know: {str(error).splitlines()[0].rstrip('.')}. "
                f"Received: {str(path)!r}"
            ) from error
        inputs = self.interpreter.get_input_details()
        outputs = self.interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1 or len(inputs[0]["shape"]) != 4:
            raise InputError(
                "The file is no image classifier: it must have one input of the "
                "shape (batch, height, width, channels) and one output. Received: "
                f"inputs={[i['shape'].tolist() for i in inputs]}, "
                f"outputs={[o['shape'].tolist() for o in outputs]} in {str(path)!r}"
            )
        self.input, self.output = inputs[0], outputs[0]

    @property
    def name(self):
        """The model's name, if the file is named as `export` names it."""
        return self.path.stem.rpartition("_")[0] or self.path.stem

    @property
    def preprocessing(self):
        """What the .json file beside it says, else what its name tells."""
        try:
            return saving.from_json(self._sheet["preprocessing"])
        except (ValueError, TypeError, KeyError):
            return preprocessing.for_name(self.name, self.input_shape[0])

    @property
    def class_names(self):
        """The names of its classes from the .json file beside it, or `None`."""
        names = self._sheet.get("class_names")
        return tuple(names) if isinstance(names, list) else None

    @property
    def classes(self):
        """How many classes it has."""
        return int(self.output["shape"][-1])

    @functools.cached_property
    def _sheet(self):
        try:
            text = self.path.with_suffix(".json").read_text(encoding="utf-8")
            sheet = json.loads(text)
        except (OSError, ValueError):
            return {}
        return sheet if isinstance(sheet, dict) else {}

    @property
    def input_shape(self):
        """`(height, width, channels)`."""
        return tuple(int(side) for side in self.input["shape"][1:])

    @property
    def takes_pixels(self):
        """Whether an integer input stores a pixel as it is (int8: minus 128).

        The scale and zero point may say more: that the pixel's mean is in them.
        """
        said = self._sheet.get("input", {})
        if isinstance(said, dict) and "pixels" in said:
            return bool(said["pixels"])
        return self.preprocessing.included

    def stored(self, images):
        """Images as the input tensor stores them.

        Args:
            images: As for `predict`.

        Returns:
            An array of the input's dtype.
        """
        dtype = self.input["dtype"]
        if self.takes_pixels and dtype in (np.uint8, np.int8):
            pixels = np.round(np.asarray(images, np.float32)).clip(0, 255)
            return (pixels + np.iinfo(dtype).min).astype(dtype)
        return quantize(images, self.input)

    def predict(self, images):
        """Probabilities of a batch, image by image if the file says so.

        Args:
            images: Array, `(batch, height, width, channels)`, in the value
                range of the float model's input (0-255 with preprocessing).

        Returns:
            A float32 array, `(batch, classes)`.
        """
        size = int(self.input["shape"][0])
        rows = []
        for start in range(0, len(images), size):
            batch = self.stored(images[start : start + size])
            missing = size - len(batch)
            if missing:
                batch = np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)])
            self.interpreter.set_tensor(self.input["index"], batch)
            self.interpreter.invoke()
            output = self.interpreter.get_tensor(self.output["index"])
            rows.append(dequantize(output, self.output)[: size - missing])
        return np.concatenate(rows)


def quantize(values, details):
    """Real values as the tensor stores them (rounded and clipped)."""
    values = np.asarray(values)
    dtype = details["dtype"]
    if not np.issubdtype(dtype, np.integer):
        return values.astype(dtype)
    scale, zero_point = details["quantization"]
    info = np.iinfo(dtype)
    stored = np.round(values / scale) + zero_point
    return stored.clip(info.min, info.max).astype(dtype)


def dequantize(stored, details):
    """The real values of a stored tensor, float32."""
    if not np.issubdtype(details["dtype"], np.integer):
        return stored.astype(np.float32)
    scale, zero_point = details["quantization"]
    return (stored.astype(np.float32) - zero_point) * scale
