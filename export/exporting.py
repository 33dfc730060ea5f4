"""Several precisions of one model, from one trace, with their numbers."""

import dataclasses
import json
import pathlib
import tempfile
import time

from keras_effnet import files
from keras_effnet import saving
from keras_effnet.errors import InputError
from keras_effnet.export import calibration as calibrating
from keras_effnet.export import converting
from keras_effnet.export import freeze
from keras_effnet.export import lean
from keras_effnet.export import sheet
from keras_effnet.export.precisions import PRECISIONS
from keras_effnet.export.precisions import check_input_type
from keras_effnet.export.precisions import check_precision
from keras_effnet.export.precisions import engine_of


@dataclasses.dataclass(frozen=True)
class ExportedFile:
    """A file that was written.

    Attributes:
        path: Of the .tflite file; its numbers stand beside it in a .json file.
        precision: A key of `PRECISIONS`.
        numbers: What the .json file holds.
    """

    path: pathlib.Path
    precision: str
    numbers: dict


def export(
    model,
    folder,
    precisions=("float32",),
    calibration=None,
    name=None,
    *,
    input_type=None,
    batch_size=1,
    engine=None,
):
    """Writes a model as .tflite files, one for each precision.

    Args:
        model: A functional or sequential `keras.Model` with one image input of a
            fixed size and one output.
        folder: Where the files go: `NAME_PRECISION.tflite` and `.json`.
        precisions: Of `"float32"`, `"float16"`, `"dynamic"` (weights in 8 bits,
            activations quantised while it runs), `"weight-only"` (weights in 8
            bits, computed in float), `"int8"` and `"int16x8"` (weights in 8 bits,
            activations in 16).
        calibration: For int8 and int16x8: a function without arguments that
            returns an iterable of float arrays, `(batch, height, width,
            channels)`, images as the model takes them. A few hundred that
            resemble those of later use, and none that the file is evaluated on.
        name: Of the files; the model's when `None`.
        input_type: `"float32"`, `"uint8"` or `"int8"`; int8 files answer in the
            same type, others in float32. `None`: int8 for int8, else float32.
        batch_size: Images at a time; `None` leaves it open.
        engine: `"tflite"`, TensorFlow's converter, or `"litert"`,
            litert-quantizer; `None` takes for each precision the better one.

    Returns:
        A list of `ExportedFile`.

    Raises:
        InputError: An argument is out of range, a calibration image is of another
            shape or not finite, or the model can't be converted. Files that were
            finished before stay; none is left half-written.
    """
    precisions = tuple(dict.fromkeys(precisions))
    _check(precisions, calibration, input_type, batch_size, engine)
    freeze.check(model)
    folder = pathlib.Path(folder)
    exported = []
    with tempfile.TemporaryDirectory() as saved_model:
        started = time.perf_counter()
        trace = converting.trace(model, saved_model, batch_size)
        trace_seconds = time.perf_counter() - started
        started = time.perf_counter()
        ranges = None
        if any(PRECISIONS[precision].calibrated for precision in precisions):
            ranges = calibrating.calibrate(trace.float32, calibration())
        calibrate_seconds = time.perf_counter() - started
        for precision in precisions:
            started = time.perf_counter()
            data = converting.file_of(trace, precision, input_type, engine, ranges)
            seconds = {
                "trace": trace_seconds,
                "convert": time.perf_counter() - started,
            }
            calibrated = PRECISIONS[precision].calibrated
            if calibrated:
                seconds["calibrate"] = calibrate_seconds
            rule = trace.rule
            numbers = {
                "model": model.name,
                "precision": precision,
                "engine": engine_of(precision, engine),
                "batch_size": batch_size,
                "preprocessing": rule and saving.as_json(rule),
                "class_names": saving.class_names(model),
                "calibration": ranges.as_json() if calibrated else None,
                "seconds": seconds,
            }
            path = folder / f"{name or model.name}_{precision}.tflite"
            with files.replacing(path) as temporary:
                temporary.write_bytes(data)
                numbers |= sheet.describe(temporary) | {"file": path.name}
                numbers["input"]["pixels"] = converting.takes_pixels(trace)
                _check_lean(model, numbers, batch_size)
                files.write_text(
                    path.with_suffix(".json"), json.dumps(numbers, indent=2) + "\n"
                )
            exported.append(ExportedFile(path, precision, numbers))
    return exported


def _check(precisions, calibration, input_type, batch_size, engine):
    if not precisions:
        raise InputError(
            f"`precisions` must be of {', '.join(PRECISIONS)}. Received: none"
        )
    check_input_type(input_type)
    for precision in precisions:
        check_precision(precision)
        engine_of(precision, engine)
        if PRECISIONS[precision].calibrated and calibration is None:
            raise InputError(
                f"{precision} needs calibration images, photographs as the model will "
                "see them. Received: calibration=None"
            )
    if batch_size is not None and (not isinstance(batch_size, int) or batch_size < 1):
        raise InputError(
            "`batch_size` must be a whole number from 1, or None for an open one. "
            f"Received: {batch_size!r}"
        )


def _check_lean(model, numbers, batch_size):
    """A network of lean layers that leaves waste was converted wrongly."""
    found = lean.waste(numbers) if batch_size else []
    if found and lean.is_lean(model):
        raise InputError(
            "The converted graph must be lean: this is a defect of the exporter, "
            f"please report it. Received: {', '.join(found)}"
        )
    numbers["waste"] = found
