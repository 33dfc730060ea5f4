"""Several precisions of one model, from one trace, each with its sheet."""

import contextlib
import dataclasses
import itertools
import os
import pathlib
import tempfile
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import keras

from keras_effnet import files
from keras_effnet import made_with
from keras_effnet import saving
from keras_effnet.errors import InputError
from keras_effnet.errors import check_one_of
from keras_effnet.export import calibration as calibrating
from keras_effnet.export import converting
from keras_effnet.export import latency as measuring
from keras_effnet.export import lean
from keras_effnet.export import photographs
from keras_effnet.export import publishing
from keras_effnet.export import tracing
from keras_effnet.export.compression import layer_tensors
from keras_effnet.export.judge import Batches
from keras_effnet.export.judge import Images
from keras_effnet.export.judge import Judge
from keras_effnet.export.layer_errors import layer_errors
from keras_effnet.export.photographs import Paths
from keras_effnet.export.photographs import paths_of
from keras_effnet.export.precisions import PRECISIONS
from keras_effnet.export.precisions import check_input_type
from keras_effnet.export.precisions import engine_of
from keras_effnet.export.samples import checked_kinds
from keras_effnet.export.samples import folder_of
from keras_effnet.export.samples import write_samples
from keras_effnet.progress import silent
from keras_effnet.sheet import Sheet

# Errors of layers differ by factors; a few images tell them.
_LAYER_IMAGES = 8


def export(
    model: keras.Model,
    folder: str | os.PathLike,
    precisions: str | Sequence[str] = ("float32",),
    calibration: Batches | Paths | None = None,
    name: str | None = None,
    *,
    input_type: str | None = None,
    batch_size: int | None = 1,
    engine: str | None = None,
    evaluation: Images | str | os.PathLike | None = None,
    max_drop: float | None = None,
    description: str | None = None,
    licence: str | None = None,
    author: str | None = None,
    settings: dict | None = None,
    ranges: dict[str, tuple[float, float]] | None = None,
    reference: keras.Model | None = None,
    training: dict | None = None,
    calibration_images: int = 200,
    latency: bool = False,
    samples: bool | str | Sequence[str] = False,
    on_broken: str = "skip",
    all_images: bool = False,
    progress: Callable[[str], None] | None = None,
) -> list[publishing.ExportedFile]:
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
            resemble those of later use, and none that the file is evaluated on. Or
            paths of photographs and of folders of them.
        name: Of the files; the model's when `None`.
        input_type: `"float32"`, `"uint8"` or `"int8"`; int8 files answer in the
            same type, others in float32. `None`: int8 for int8, else float32.
        batch_size: Images at a time; `None` leaves it open.
        engine: `"tflite"`, TensorFlow's converter, or `"litert"`,
            litert-quantizer; `None` takes for each precision the better one.
        evaluation: `Images` on which each file is compared with the model. Or the
            path of a folder of one folder per class, of a list, CSV or JSON Lines,
            with file and label or class_index, or of a folder of photographs without
            classes.
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
        calibration_images: Of the photographs that `calibration` names, so many are
            used, evenly spread.
        latency: Whether the files are measured on this machine.
        samples: What is written for each file in `NAME_PRECISION_samples`, as
            `write_samples` has it: `True` is `"code"`, programs in four languages.
        on_broken: What becomes of photographs that can't be read: `"skip"` leaves them
            out and tells which, `"fail"` ends at them.
        all_images: Whether a model that knows from which photographs it learned is
            judged by those too, and calibrated with those that were held out.
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
    if isinstance(samples, bool):
        samples = ("code",) if samples else ()
    samples = checked_kinds(samples)
    tracing.check(model)
    tell = progress or silent
    batches, images, known = photographs.opened(
        model,
        calibration,
        evaluation,
        calibration_images,
        progress,
        on_broken,
        all_images,
    )
    name = publishing.checked_name(name or model.name)
    judge = Judge(reference or model, images, max_drop)
    folder = pathlib.Path(folder)
    files.check_folder(folder)
    for precision in precisions:
        publishing.refuse_another(folder / f"{name}_{precision}.tflite", settings)
    learned = saving.made_with(model)
    about = {"description": description, "licence": licence, "author": author}
    exported = []
    with tempfile.TemporaryDirectory() as temporary:
        work = pathlib.Path(temporary)
        seconds: dict[str, float] = {}
        tell("tracing")
        with _timed(seconds, "trace"):
            trace = converting.trace(model, work / "saved_model", batch_size)
        float_path = work / "float.tflite"
        float_path.write_bytes(trace.float32)
        found = None
        if batches and any(PRECISIONS[each].calibrated for each in precisions):
            tell("calibrating")
            with _timed(seconds, "calibrate"):
                found = calibrating.calibrate(trace.float32, batches())
                if ranges:
                    found = layer_tensors.with_learned(
                        trace, model, found, ranges, batches
                    )
        for precision in precisions:
            tell(f"{precision}: converting")
            calibrated = found if PRECISIONS[precision].calibrated else None
            with _timed(seconds, "convert"):
                data = converting.file_of(
                    trace, precision, input_type, engine, calibrated
                )
            sheet = Sheet(
                model=model.name,
                precision=precision,
                engine=engine_of(precision, engine),
                batch_size=batch_size,
                class_names=saving.class_names(model),
                calibration=calibrated.for_sheet() if calibrated else None,
                made_with=made_with.as_text(
                    made_with.united(learned, known if calibrated else None)
                ),
                seconds=dict(seconds),
                training=training,
                settings=settings,
            )
            path = work / f"{name}_{precision}.tflite"
            file = publishing.write(path, data, trace, sheet, **about)
            del data  # gigabytes, of the largest networks
            sheet = dataclasses.replace(file.sheet, waste=lean.waste(file.sheet))
            tell(f"{precision}: measuring")
            sheet = dataclasses.replace(sheet, **judge.verdict(file))
            source = batches or (images and images.batches)
            if source and precision != "float32":
                single = (image[None] for batch in source() for image in batch)
                few = itertools.islice(single, _LAYER_IMAGES)
                errors = layer_errors(float_path, file, few)
                sheet = dataclasses.replace(sheet, layer_errors=tuple(errors))
            del file  # it holds the weights once more
            exported.append(publishing.publish(path, folder, sheet))
    if latency:
        exported = measuring.measure(exported, progress)
    for path in [file.path for file in exported] if samples else ():
        write_samples(path, folder_of(path), samples)
    return exported


@contextlib.contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - started


def _check(
    precisions: Sequence[str],
    calibration: Any,
    input_type: str | None,
    batch_size: Any,
    engine: str | None,
) -> None:
    if not precisions:
        raise InputError(
            f"`precisions` must be of {', '.join(PRECISIONS)}. Received: none"
        )
    check_input_type(input_type)
    for precision in precisions:
        check_one_of("precision", precision, PRECISIONS)
        engine_of(precision, engine)
        if PRECISIONS[precision].calibrated and calibration is None:
            raise InputError(
                f"{precision} needs photographs to find the ranges of the activations. "
                f"Received: {precision} without `calibration`"
            )
    if not (calibration is None or callable(calibration) or paths_of(calibration)):
        raise InputError(
            "`calibration` must be a function without arguments that returns an "
            "iterable of arrays, or paths of photographs. "
            f"Received: {type(calibration).__name__}"
        )
    tracing.check_batch_size(batch_size)
