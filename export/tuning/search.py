"""The fastest 8-bit file within a limit of lost accuracy."""

import contextlib
import dataclasses
import hashlib
import json
import math
import pathlib
import tempfile
import time

import numpy as np

from keras_effnet import __version__
from keras_effnet import files
from keras_effnet import made_with as digests
from keras_effnet import notes
from keras_effnet import saving
from keras_effnet.errors import InputError
from keras_effnet.errors import check_number
from keras_effnet.export import converting
from keras_effnet.export import publishing
from keras_effnet.export import tracing
from keras_effnet.export.compression.recipe import SEED
from keras_effnet.export.judge import check_images
from keras_effnet.export.latency import host_latency
from keras_effnet.export.precisions import check_input_type
from keras_effnet.export.precisions import engine_of
from keras_effnet.export.tuning import search_images
from keras_effnet.export.tuning.candidates import PLAIN
from keras_effnet.export.tuning.candidates import Candidates
from keras_effnet.export.tuning.float_reference import FloatReference
from keras_effnet.export.tuning.limits import PRECISIONS as _TRIED
from keras_effnet.export.tuning.limits import Limits
from keras_effnet.export.tuning.limits import choose
from keras_effnet.export.tuning.plan import Plan
from keras_effnet.export.tuning.store import Store
from keras_effnet.sheet import Sheet


@dataclasses.dataclass(frozen=True)
class Result:
    """What a search found.

    Attributes:
        chosen: The chosen candidate, a dict of its figures.
        candidates: All of them, in the order in which they were tried.
        met: Whether the chosen one is within the limits.
        path: Of the chosen .tflite file; its sheet stands beside it.
        folder: Of the search.
    """

    chosen: dict
    candidates: list[dict]
    met: bool
    path: pathlib.Path
    folder: pathlib.Path


def search(
    model,
    folder,
    calibration,
    *,
    evaluation=None,
    max_drop=None,
    min_agreement=None,
    budget=None,
    name=None,
    input_type=None,
    seed=0,
    settings=None,
    cost=host_latency,
    float_shares=(0.02, 0.05, 0.1, 0.2, 0.3, 0.5),
    distillation_steps=(40, 100),
    made_with=None,
    progress=None,
):
    """What `keras_effnet.export.quantize` does, with images in place of photographs.

    Calibration is a function without arguments that returns an iterable of float
    arrays, `(batch, height, width, channels)`, images as the model takes them. `cost`
    measures a list of paths of .tflite files and returns a dict for each, with
    `median_ms` and what else shall be told. `float_shares` of the network's work, 0 to
    1, ascending, are what may stay in float. `distillation_steps` are the least that
    are worth it and the most, of 10 images each. `made_with` are digests for the sheet.
    """
    limits = Limits(max_drop, min_agreement)
    _check(calibration, evaluation, limits, budget, seed)
    check_input_type(input_type)
    input_type = input_type or "float32"
    tracing.check(model)
    name = publishing.checked_name(name or model.name)
    folder = pathlib.Path(folder)
    files.check_folder(folder)
    tell = progress or (lambda line: None)
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        work = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        tell("tracing")
        trace = converting.trace(model, work / "saved_model")
        float_path = work / "float.tflite"
        float_path.write_bytes(trace.float32)
        tell("reading images")
        images = search_images.collect(work, trace, calibration, evaluation)
        key = _key(trace, images, seed, input_type)
        store = stack.enter_context(Store(folder, key))
        logits = trace.output_name != "probabilities"
        reference = FloatReference(float_path, images.judged, images.labels, logits)
        for text in reference.notes:
            notes.note(text)
        candidates = Candidates(store, trace, reference, limits, cost, input_type, tell)
        deadline = math.inf if budget is None else started + budget
        steps = None if budget is None else distillation_steps
        plan = Plan(candidates, images.calibration, seed, deadline, float_shares, steps)
        plan.run()
        candidates.measure()
        chosen = choose(candidates.found, limits)
        calibrated = {
            "images": len(images.calibration),
            "method": (chosen["levers"] or [PLAIN])[0],
            "sha256": images.sha256,
        }
        about = {"calibration": calibrated, "settings": settings}
        about["made_with"] = digests.as_text(made_with)
        about["evaluation"] = chosen["evaluation"] | {
            "learned_from": evaluation and evaluation.learned_from
        }
        path = _publish(model, trace, work, folder, name, chosen, about)
        report = {
            "model": model.name,
            "limits": dataclasses.asdict(limits),
            "met": chosen["within"],
            "chosen": chosen["name"],
            "file": path.name,
            "candidates": candidates.found,
            "sensitivity": plan.sensitivity,
            "calibration": calibrated,
            "judged_on": len(images.judged),
            "notes": reference.notes,
            "budget": budget,
            "seconds": time.monotonic() - started,
            "seed": seed,
            "settings": settings,
        }
        files.write_text(folder / "search.json", json.dumps(report, indent=1))
    return Result(chosen, candidates.found, chosen["within"], path, folder)


def _check(calibration, evaluation, limits, budget, seed):
    if not callable(calibration):
        raise InputError(
            "`calibration` must be a function without arguments that returns an "
            f"iterable of arrays. Received: {type(calibration).__name__}"
        )
    check_images(evaluation, limits.max_drop)
    if budget is not None:
        valid = "a number of seconds above 0"
        check_number("budget", budget, valid, lambda seconds: seconds > 0)
    check_number("seed", seed, *SEED, whole=True)


def _key(trace, images, seed, input_type):
    """Everything on which the candidates depend, but not the limits."""
    seen = hashlib.sha256(trace.float32)
    counts = f"{len(images.calibration)} {len(images.judged)}"
    about = f"{__version__} {images.sha256} {counts} {seed} {input_type}"
    seen.update(about.encode())
    if images.labels is not None:
        seen.update(np.asarray(images.labels, "int64").tobytes())
    return seen.hexdigest()


def _publish(model, trace, work, folder, name, chosen, about):
    """The chosen file with its metadata and sheet, as an export's."""
    precision = chosen["precision"]
    path = work / f"{name}_{precision}.tflite"
    values = {
        "model": model.name,
        "precision": precision,
        "engine": engine_of(precision),
        "batch_size": 1,
        "class_names": saving.class_names(model),
        "levers": chosen["levers"],
        **about,
    }
    data = (folder / chosen["file"]).read_bytes()
    sheet = publishing.write(path, data, trace, Sheet.from_dict(values)).sheet
    published = publishing.publish(path, folder, sheet, not chosen["within"]).path
    for other in _TRIED:
        for ending in ("", publishing.OVER_LIMIT):
            stale = folder / f"{name}_{other}{ending}.tflite"
            if stale != published:
                publishing.remove(stale)
    return published
