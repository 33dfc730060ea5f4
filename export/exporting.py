"""Several precisions of one model, from one trace, with their numbers."""

import dataclasses
import json
import pathlib
import tempfile
import time

from keras_effnet import files
from keras_effnet import saving
from keras_effnet.errors import InputError
from keras_effnet.export import sheet
from keras_effnet.export.convert import check_precision
from keras_effnet.export.convert import convert
from keras_effnet.export.freeze import freeze
from keras_effnet.quiet import native_stderr_held_back


@dataclasses.dataclass(frozen=True)
class ExportedFile:
    """A file that was written.

    Attributes:
        path: Of the .tflite file; its numbers stand beside it in a .json file.
        precision: `"float32"` or `"int8"`.
        numbers: What the .json file holds.
    """

    path: pathlib.Path
    precision: str
    numbers: dict


def export(model, folder, precisions=("float32",), calibration=None, name=None):
    """Writes a model as .tflite files, one for each precision.

    Args:
        model: A functional `keras.Model` with one image input of a fixed size.
        folder: Where the files go: `NAME_PRECISION.tflite` and `.json`.
        precisions: Of `"float32"` and `"int8"`.
        calibration: For int8: a function without arguments that returns an
            iterable of arrays, `(1, height, width, channels)`, images as the
            model takes them. A few hundred that resemble those of later use,
            and none that the file is evaluated on.
        name: Of the files; the model's when `None`.

    Returns:
        A list of `ExportedFile`.

    Raises:
        InputError: A precision is unknown, int8 has no calibration images, or
            the model has several inputs or no fixed size. No file is left then.
    """
    for precision in precisions:
        check_precision(precision)
    if "int8" in precisions and calibration is None:
        raise InputError(
            "int8 needs calibration images, photographs as the model will see them. "
            "Received: calibration=None"
        )
    folder = pathlib.Path(folder)
    rule = saving.attached(model)
    exported = []
    with tempfile.TemporaryDirectory() as saved_model:
        started = time.perf_counter()
        with native_stderr_held_back():
            freeze(model, saved_model)
        trace_seconds = time.perf_counter() - started
        for precision in precisions:
            started = time.perf_counter()
            with native_stderr_held_back():
                images = calibration() if precision == "int8" else None
                data = convert(saved_model, precision, images)
            path = folder / f"{name or model.name}_{precision}.tflite"
            with files.replacing(path) as temporary:
                temporary.write_bytes(data)
                numbers = {
                    "model": model.name,
                    "precision": precision,
                    "preprocessing": rule and saving.as_json(rule),
                    "class_names": saving.class_names(model),
                    "trace_seconds": trace_seconds,
                    "convert_seconds": time.perf_counter() - started,
                    **sheet.describe(temporary),
                }
                files.write_text(
                    path.with_suffix(".json"), json.dumps(numbers, indent=2) + "\n"
                )
            exported.append(ExportedFile(path, precision, numbers))
    return exported
