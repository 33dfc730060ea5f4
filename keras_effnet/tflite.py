"""A .tflite file as a classifier: pixels in, probabilities out."""

import dataclasses
import functools
import os
import pathlib
import re
import subprocess
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_effnet import children
from keras_effnet import files
from keras_effnet import made_with
from keras_effnet import notes
from keras_effnet import preprocessing
from keras_effnet import sheet as sheets
from keras_effnet.errors import InputError
from keras_effnet.errors import explained
from keras_effnet.quiet import native_stderr_held_back
from keras_effnet.rule import Preprocessing
from keras_effnet.sheet import Sheet
from keras_effnet.tflite_metadata import check_file
from keras_effnet.tflite_metadata import read_metadata

_TRY = pathlib.Path(__file__).with_name("try_tflite.py")
_tried: set[str] = set()  # sha256 of files that were run


class Classifier:
    """What a Keras model, a SavedModel and a .tflite file have in common.

    Attributes:
        name: The model's.
        rule: The `Preprocessing` that it says it was made with, or `None`.
        input_shape: `(height, width, channels)`.
        classes: How many it tells apart; of one output, a probability, two.
        class_names: Their names, a tuple, or `None` where it has none.
        assumed_size: Whether the model takes any height and width, so that those of
            `input_shape` are an assumption.
        has_logits: Whether its graph is known to end without a softmax or sigmoid.
        made_with: Digests of the photographs that it was made with, by
            `keras_effnet.made_with`, or `None` where that is not known.
    """

    name: str
    rule: Preprocessing | None
    input_shape: tuple[Any, ...]
    classes: int
    class_names: tuple[str, ...] | None
    assumed_size: bool = False
    has_logits: bool = False
    made_with: np.ndarray | None = None

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Answers: `(batch, height, width, channels)` to `(batch, outputs)`."""
        raise NotImplementedError

    @property
    def preprocessing(self) -> Preprocessing:
        """Its rule, else what its name tells."""
        return self.rule or preprocessing.for_name(self.name, self.input_shape[0])

    def note_guess(self) -> None:
        """Tells, by `keras_effnet.notes`, of preprocessing that is only a guess."""
        if self.assumed_size:
            height, width, _ = self.input_shape
            notes.note(
                f"{self.name} takes images of any size; {height} x {width} pixels are "
                "assumed; a model built with an `input_shape` says otherwise"
            )
        if not self.rule:
            notes.note(
                f"{self.name} doesn't tell how photographs go in; guessed from its "
                f"name: {preprocessing.told(self.preprocessing)}"
            )

    def probabilities(self, answers: np.ndarray) -> np.ndarray:
        """What `predict` returned, as probabilities.

        Logits go through a softmax, one output through a sigmoid, which
        `keras_effnet.notes` tells.

        Args:
            answers: Float array, `(images, outputs)`.

        Returns:
            A float array, `(images, classes)`.
        """
        single = answers.shape[1] == 1
        finite = answers[np.isfinite(answers).all(axis=1)]
        logits = finite.min(initial=0) < 0 or finite.max(initial=1) > 1.001
        if self.has_logits and not logits:
            # Where something follows a softmax, the sum is 1 still.
            logits = single or not np.allclose(finite.sum(axis=1), 1, atol=0.05)
        if logits:
            notes.note(
                f"{self.name} answers with logits, not with probabilities: they go "
                f"through a {'sigmoid' if single else 'softmax'}; a model with an "
                "activation at its end says otherwise"
            )
            values = np.concatenate([np.zeros_like(answers), answers][not single :], 1)
            powers = np.exp(values - values.max(axis=1, keepdims=True))
            return powers / powers.sum(axis=1, keepdims=True)
        return np.concatenate([1 - answers, answers], 1) if single else answers


def check_classifier(inputs: Sequence, outputs: Sequence, received: object) -> None:
    """One image in, one row out: what every form of a classifier must be.

    Args:
        inputs: The shape of each input, `None` where it is unknown.
        outputs: The shape of each output.
        received: What a message calls the model.

    Raises:
        InputError: It is no such model.
    """
    images = len(inputs) == 1 and inputs[0] and len(inputs[0]) == 4 and inputs[0][3]
    rows = len(outputs) == 1 and outputs[0] and len(outputs[0]) == 2 and outputs[0][1]
    if not (images and rows):
        raise InputError(
            "This is no image classifier: it must have one input of the shape (batch, "
            "height, width, channels) and one output of the shape (batch, classes). "
            f"Received: inputs={_shapes(inputs)}, outputs={_shapes(outputs)} of "
            f"{str(received)!r}"
        )


def _shapes(shapes: Sequence) -> str:
    found = ("unknown" if s is None else str(tuple(s)) for s in shapes)
    return f"[{', '.join(found)}]"


class TFLiteModel(Classifier):
    """Runs a .tflite image classifier with LiteRT.

    How images go into it tells its sheet; without one its own metadata; without that
    the network's name, or what is common.

    Args:
        path: Path of the file: one image input, one output of probabilities.
        threads: CPU threads.
        sheet: Its `keras_effnet.sheet.Sheet`; the one beside the file when `None`. A
            file without a sheet, or not the one that its sheet is of, is first run in
            a process of its own, which half a second is paid for once.

    Attributes:
        interpreter: The `ai_edge_litert.interpreter.Interpreter`.
        input: LiteRT's details of the input tensor.
        output: LiteRT's details of the output tensor.
        sheet: A `keras_effnet.sheet.Sheet`; it knows nothing where there is none.

    Raises:
        InputError: There is no such file, or LiteRT can't run it.
    """

    def __init__(
        self, path: str | os.PathLike, threads: int = 1, sheet: Sheet | None = None
    ) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.path = check_file(path)
        self.sheet = sheet or sheets.read(self.path) or Sheet()
        message = (
            "LiteRT can't run the file, it may be cut off or hold operators that it "
            "does not know: {}."
        )
        with explained(message, path), native_stderr_held_back():
            if sheet is None:
                _try(self.path, self.sheet.sha256)
            self.interpreter = Interpreter(str(self.path), num_threads=threads)
            self.interpreter.allocate_tensors()
        inputs = self.interpreter.get_input_details()
        outputs = self.interpreter.get_output_details()
        shapes = [[d["shape"].tolist() for d in side] for side in (inputs, outputs)]
        check_classifier(shapes[0], shapes[1], path)
        self.input, self.output = inputs[0], outputs[0]
        if -1 in self.input["shape_signature"][1:]:
            raise InputError(
                "The height, width and channels of the input must be fixed numbers. "
                f"Received: {self.input['shape_signature'].tolist()} in {str(path)!r}"
            )
        if not _is_stored(self.output):
            raise InputError(
                "An output of whole numbers must have a scale. "
                f"Received: {np.dtype(self.output['dtype']).name} in {str(path)!r}"
            )

    @property
    def name(self) -> str:  # type: ignore[override]
        """The model's name, of its sheet or as `export` names files."""
        return self.sheet.model or self.path.stem.rpartition("_")[0] or self.path.stem

    @property
    def rule(self) -> Preprocessing | None:  # type: ignore[override]
        """The `Preprocessing` of its sheet, else by its metadata, or `None`."""
        return self.sheet.preprocessing or self._described

    @functools.cached_property
    def class_names(  # type: ignore[override]
        self,
    ) -> tuple[str, ...] | None:
        """The names of its classes from the sheet or the metadata, or `None`."""
        names = self.sheet.class_names or self._metadata.get("class_names") or ()
        return tuple(names) if len(names) == self.classes else None

    @functools.cached_property
    def made_with(self) -> np.ndarray | None:  # type: ignore[override]
        """Digests of the photographs that it was made with, of its sheet."""
        return made_with.from_text(self.sheet.made_with)

    @property
    def classes(self) -> int:  # type: ignore[override]
        """How many classes it has."""
        return max(2, int(self.output["shape"][-1]))

    @property
    def has_logits(self) -> bool:  # type: ignore[override]
        """Whether the last operator that computes makes no probabilities."""
        casts = ("DELEGATE", "DEQUANTIZE", "QUANTIZE")
        moves = (*casts, "RESHAPE", "SLICE", "SQUEEZE", "STRIDED_SLICE")
        names = [op["op_name"] for op in self.interpreter._get_ops_details()]
        last = [name for name in names if name not in moves][-1:]
        return last not in (["SOFTMAX"], ["LOGISTIC"])

    @functools.cached_property
    def _metadata(self) -> dict[str, Any]:
        try:
            return read_metadata(self.path) or {}
        except InputError:  # damaged, as none; the network itself runs
            return {}

    @functools.cached_property
    def _described(self) -> Preprocessing | None:
        """The rule that the metadata tells, or `None`.

        Crop and interpolation have no place there.
        """
        mean, std = (self._metadata.get(key) for key in ("mean", "std"))
        if not mean or not std:
            return None
        name = self._metadata["name"] or self.name
        guess = preprocessing.for_name(name, self.input_shape[0])
        if self._stores_pixels or (set(mean), set(std)) == ({0.0}, {1.0}):
            return dataclasses.replace(guess, included=True)
        try:
            return dataclasses.replace(
                guess, mean=tuple(mean), std=tuple(std), included=False
            )
        except InputError:
            return None

    @property
    def _stores_pixels(self) -> bool:
        """Whether the metadata's normalisation, quantised, is the pixel itself."""
        dtype, (scale, zero_point) = self.input["dtype"], self.input["quantization"]
        if not np.issubdtype(dtype, np.integer):
            return False
        zero_pixel = float(zero_point - np.iinfo(dtype).min)
        factors = [*self._metadata["std"], scale]
        return np.allclose(factors, 1, rtol=1e-4) and set(self._metadata["mean"]) == {
            zero_pixel
        }

    @property
    def input_shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """`(height, width, channels)`."""
        return tuple(int(side) for side in self.input["shape"][1:])

    @property
    def takes_pixels(self) -> bool:
        """Whether an integer input stores a pixel as it is (int8: minus 128).

        The scale and zero point may say more: that the pixel's mean is in them.
        """
        said = self.sheet.input and self.sheet.input.pixels
        if said is not None:
            return bool(said)
        return self._stores_pixels if self._described else self.preprocessing.included

    def stored(self, images: np.ndarray) -> np.ndarray:
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

    def predict(self, images: np.ndarray) -> np.ndarray:
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


def _try(path: pathlib.Path, expected: str | None) -> None:
    """Runs a file of unknown origin in a process of its own, once for its bytes."""
    digest = files.checksum(path)
    if digest == expected or digest in _tried:
        return
    gigabytes = 3 + 8 * path.stat().st_size // 2**30
    try:
        children.ask(_TRY, path, gigabytes, timeout=20 + 20 * gigabytes)
    except InputError as error:  # what LiteRT says, once more without the process
        raise ValueError(str(error)) from error
    except children.ChildError as error:
        raise ValueError(
            f"it is damaged, a process that ran it ended with {error.last_line}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ValueError("it doesn't come to an end") from error
    _tried.add(digest)


def _is_stored(details: dict[str, Any]) -> bool:
    """Whether the tensor says what its values are worth."""
    return not np.issubdtype(details["dtype"], np.integer) or bool(
        details["quantization"][0]
    )


def quantize(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    """Real values as the tensor stores them (rounded and clipped).

    One of whole numbers without a scale stores the values themselves.
    """
    values = np.asarray(values)
    dtype = details["dtype"]
    if not np.issubdtype(dtype, np.integer):
        return values.astype(dtype)
    scale, zero_point = details["quantization"]
    info = np.iinfo(dtype)
    stored = np.round(values / (scale or 1)) + zero_point
    return stored.clip(info.min, info.max).astype(dtype)


def dequantize(stored: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    """The real values of a stored tensor, float32."""
    if not np.issubdtype(details["dtype"], np.integer):
        return stored.astype(np.float32)
    scale, zero_point = details["quantization"]
    return (stored.astype(np.float32) - zero_point) * scale


def layer_name(tensor: str) -> str:
    """The Keras layer that a tensor is the output of: `block1a_dwconv` of
    `block1a_bn_1/batchnorm/mul_1;block1a_dwconv_1/depthwise`. Of those fused into one
    operator the last, but a normalisation; tracing numbers each name once more."""
    fused = tensor.split(";")
    own = [name for name in fused if "/batchnorm/" not in name] or fused
    scopes = [s for s in own[-1].split("/")[:-1] if s != "batchnorm"] or own[-1:]
    return re.sub(r"_\d+$", "", scopes[-1])
