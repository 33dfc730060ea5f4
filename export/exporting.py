"""Several precisions of one model, from one trace, each with its sheet."""

import dataclasses
import pathlib
import shutil
import tempfile
import time

from keras_effnet import __version__
from keras_effnet import files
from keras_effnet import saving
from keras_effnet.class_names import names_of
from keras_effnet.errors import InputError
from keras_effnet.export import calibration as calibrating
from keras_effnet.export import converting
from keras_effnet.export import lean
from keras_effnet.export import sheet
from keras_effnet.export import tracing
from keras_effnet.export.compression import layer_tensors
from keras_effnet.export.judge import Judge
from keras_effnet.export.judge import errors_of_layers
from keras_effnet.export.metadata import with_metadata
from keras_effnet.export.precisions import PRECISIONS
from keras_effnet.export.precisions import check_input_type
from keras_effnet.export.precisions import check_precision
from keras_effnet.export.precisions import engine_of

OVER_LIMIT = "-over-limit"


@dataclasses.dataclass(frozen=True)
class ExportedFile:
    """A file that was written.

    Attributes:
        path: Of the .tflite file; its sheet stands beside it, .json and .html.
        precision: A key of `PRECISIONS`.
        numbers: What the .json file holds.
    """

    path: pathlib.Path
    precision: str
    numbers: dict

    @property
    def over_limit(self):
        """Whether it lost more accuracy than it may."""
        return self.numbers.get("verdict") == "over the limit"


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
    evaluation=None,
    max_drop=None,
    description=None,
    licence=None,
    author=None,
    settings=None,
    ranges=None,
    reference=None,
    training=None,
    progress=None,
):
    """Writes a model as .tflite files, one for each precision.

    Args:
        model: A functional or sequential `keras.Model` with one image input of a
            fixed size and one output.
        folder: Where the files go: `NAME_PRECISION.tflite`, `.json` and `.html`.
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
        evaluation: `Images` on which each file is compared with the model.
        max_drop: Percentage points of accuracy that a file may lose there; one
            that loses more is named `NAME_PRECISION-over-limit.tflite`.
        description: What the model does, a sentence for the file's metadata.
        licence: Of the model, its name or its text, for the metadata.
        author: Of the model, for the metadata.
        settings: A dict for the sheet, how to make the file again.
        ranges: `{layer: (least, greatest)}` of activations that a training learned,
            `compression.Compressed.ranges`; the others are calibrated.
        reference: The `keras.Model` with which the files are compared; `model` when
            `None`.
        training: A dict for the sheet, how the model was trained for its file,
            `compression.Compressed.figures`.
        progress: Called with a line of text before each step.

    Returns:
        A list of `ExportedFile`.

    Raises:
        InputError: An argument is out of range, a calibration image is of another
            shape or not finite, or the model can't be converted. Files that were
            finished before stay; none is left half-written.
    """
    if isinstance(precisions, str):
        precisions = (precisions,)
    precisions = tuple(dict.fromkeys(precisions))
    _check(precisions, calibration, input_type, batch_size, engine)
    tracing.check(model)
    name = checked_name(name or model.name)
    judge = Judge(reference or model, evaluation, max_drop)
    folder = pathlib.Path(folder)
    files.check_folder(folder)
    tell = progress or (lambda line: None)
    about = {"description": description, "licence": licence, "author": author}
    exported = []
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        tell("tracing")
        started = time.perf_counter()
        trace = converting.trace(model, work / "saved_model", batch_size)
        seconds = {"trace": time.perf_counter() - started}
        float_path = work / "float.tflite"
        float_path.write_bytes(trace.float32)
        found = None
        if any(PRECISIONS[precision].calibrated for precision in precisions):
            tell("calibrating")
            started = time.perf_counter()
            found = calibrating.calibrate(trace.float32, calibration())
            if ranges:
                found = layer_tensors.with_learned(
                    trace, model, found, ranges, calibration
                )
            seconds["calibrate"] = time.perf_counter() - started
        for precision in precisions:
            tell(f"{precision}: converting")
            started = time.perf_counter()
            data = converting.file_of(trace, precision, input_type, engine, found)
            numbers = {
                "model": model.name,
                "precision": precision,
                "engine": engine_of(precision, engine),
                "batch_size": batch_size,
                "preprocessing": trace.rule and saving.as_json(trace.rule),
                "class_names": saving.class_names(model),
                "calibration": None,
                "seconds": seconds | {"convert": time.perf_counter() - started},
                "training": training,
                "settings": settings,
            }
            if PRECISIONS[precision].calibrated:
                numbers["calibration"] = found.as_json()
            path = work / f"{name}_{precision}.tflite"
            numbers |= write_described(path, data, trace, numbers, about)
            del data  # gigabytes, of the largest networks
            _check_lean(model, numbers, batch_size)
            sheet.write(path, numbers)  # by which the file is read
            tell(f"{precision}: measuring")
            numbers |= judge.figures(path)
            batches = calibration or (evaluation and evaluation.batches)
            if batches and precision != "float32":
                numbers["layer_errors"] = errors_of_layers(float_path, path, batches())
            over = numbers.get("verdict") == "over the limit"
            exported.append(publish(path, folder, numbers, over))
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
    if calibration is not None and not callable(calibration):
        raise InputError(
            "`calibration` must be a function without arguments that returns an "
            f"iterable of arrays. Received: {type(calibration).__name__}"
        )
    tracing.check_batch_size(batch_size)


def checked_name(name):
    """A file's name; an `InputError` for one with folders in it."""
    if pathlib.PurePath(name).name != name:
        raise InputError(
            f"`name` must be a file's name, without folders. Received: name={name!r}"
        )
    return name


def write_described(path, data, trace, numbers, about):
    """Writes a file with its metadata.

    Args:
        path: Where to.
        data: The bytes of the .tflite file.
        trace: The `converting.Trace` that it comes from.
        numbers: With `model` and `class_names`.
        about: Of the metadata: `description`, `licence`, `author`.

    Returns:
        A dict for the sheet: what `sheet.describe` reads from the file.
    """
    mean, std = converting.pixel_statistics(trace, data)
    names = names_of(converting.classes(data), numbers["class_names"])
    path.write_bytes(
        with_metadata(
            data,
            name=numbers["model"],
            version=__version__,
            mean=mean,
            std=std,
            class_names=names,
            **about,
        )
    )
    found = sheet.describe(path)
    found["input"]["pixels"] = converting.takes_pixels(trace)
    return found


def _check_lean(model, numbers, batch_size):
    """A network of lean layers that leaves waste was converted wrongly."""
    found = lean.waste(numbers) if batch_size else []
    if found and lean.is_lean(model):
        raise InputError(
            "The converted graph must be lean: this is a defect of the exporter, "
            f"please report it. Received: {', '.join(found)}"
        )
    numbers["waste"] = found


def publish(path, folder, numbers, over=False):
    """Puts a finished file where the user wants it, its sheet first.

    Args:
        path: Of the file, `NAME_PRECISION.tflite`.
        folder: Where to.
        numbers: For its sheet, with `precision`.
        over: Whether it is over a limit and must be named so.

    Returns:
        An `ExportedFile`.
    """
    target = folder / f"{path.stem}{OVER_LIMIT if over else ''}.tflite"
    numbers["file"] = target.name
    older = folder / f"{path.stem}{'' if over else OVER_LIMIT}.tflite"
    with files.locked(folder), files.replacing(target) as temporary:
        shutil.copyfile(path, temporary)
        # No file of an earlier export stays beside the newer sheet, or says that
        # there is one within the limit.
        for stale in (target, older, *_sheets(older)):
            stale.unlink(missing_ok=True)
        sheet.write(target, numbers)
    return ExportedFile(target, numbers["precision"], numbers)


def _sheets(path):
    return path.with_suffix(".json"), path.with_suffix(".html")
