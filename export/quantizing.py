"""The fastest 8-bit file within a limit, from photographs to a page, in one call."""

import os
import typing
from collections.abc import Callable

import keras

from keras_effnet import files
from keras_effnet import made_with
from keras_effnet import saving
from keras_effnet.export import photographs
from keras_effnet.export.judge import Batches
from keras_effnet.export.judge import Images

if typing.TYPE_CHECKING:
    from keras_effnet.export.tuning.search import Result


def quantize(
    model: keras.Model,
    folder: str | os.PathLike,
    calibration: Batches | photographs.Paths,
    *,
    evaluation: Images | str | os.PathLike | None = None,
    max_drop: float | None = None,
    min_agreement: float | None = None,
    budget: float | None = None,
    name: str | None = None,
    input_type: str | None = None,
    calibration_images: int = 250,
    seed: int = 0,
    settings: dict | None = None,
    on_broken: str = "skip",
    all_images: bool = False,
    progress: Callable[[str], None] | None = None,
) -> "Result":
    """Finds the fastest 8-bit file of a model that loses no more than it may.

    Tried in this order, each on top of what paid so far: calibration by minimum and
    maximum, other ranges, rounding by layer. Where no file that is all int8 is within
    the limits, growing parts of the network in float follow, chosen by the sensitivity
    of each tensor, until one is; then distillation. All candidates stay in
    `folder/candidates`; the same call again goes on where this one was stopped.

    Args:
        model: As `keras_effnet.export.export` takes it.
        folder: Where everything goes.
        calibration: Images without labels, two hundred that resemble those of later
            use, as `keras_effnet.export.export` takes them: paths of photographs and
            of folders of them, or a function.
        evaluation: By which the candidates are judged, none of it used for
            calibration, as `keras_effnet.export.export` takes it: a path, or
            `Images`. `None`: every third calibration image is kept out and judges.
        max_drop: Percentage points of accuracy that the file may lose; needs
            `evaluation` with labels.
        min_agreement: The least share of images, 0 to 1, on which the file names the
            float model's class; needs no labels.
        budget: Seconds after which nothing new is begun, or `None`. Distillation,
            which takes as long as it is given, is done with a budget alone.
        name: Of the file; the model's when `None`.
        input_type: `"float32"` (also when `None`), `"uint8"` or `"int8"`. The file
            answers in the same type; in 8 bits classes of equal rounded
            probability can't be told apart.
        calibration_images: Of the photographs that `calibration` names, so many are
            used, evenly spread.
        seed: Of all that is drawn.
        settings: A dict for `search.json`, how to search again.
        on_broken: What becomes of photographs that can't be read: `"skip"` leaves them
            out and tells which, `"fail"` ends at them.
        all_images: As for `keras_effnet.export.export`.
        progress: Called with a line of text before each step.

    Returns:
        A `keras_effnet.export.tuning.search.Result`. `folder/NAME_int8.tflite` is the
        chosen file (or `NAME_weight-only.tflite`, where no int8 file is within the
        limits; with `-over-limit` in its name where none is), `folder/search.json`
        holds everything, and `folder/search.html` shows it.

    Raises:
        InputError: An argument is out of range, an image has another shape or is not
            finite, the float model answers NaN, or the model can't be converted.
    """
    # The search's modules are many, and an export needs none of them.
    from keras_effnet.export.tuning import search_page
    from keras_effnet.export.tuning.search import search

    batches, images, known = photographs.opened(
        model,
        calibration,
        evaluation,
        calibration_images,
        progress,
        on_broken,
        all_images,
    )
    result = search(
        model,
        folder,
        batches,
        evaluation=images,
        max_drop=max_drop,
        min_agreement=min_agreement,
        budget=budget,
        name=name,
        input_type=input_type,
        seed=seed,
        settings=settings,
        made_with=made_with.united(saving.made_with(model), known),
        progress=progress,
    )
    search_page.write(result.folder, files.read_json(result.folder / "search.json"))
    return result
