"""A model trained through TF-MOT, and its files, in one call."""

import os
import pathlib
import shutil
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import keras

from keras_effnet import files
from keras_effnet import made_with
from keras_effnet import saving
from keras_effnet.data import photos
from keras_effnet.errors import check_one_of
from keras_effnet.export import exporting
from keras_effnet.export import photographs
from keras_effnet.export.calibration import evenly
from keras_effnet.export.compression import techniques
from keras_effnet.export.compression.compressing import check_model
from keras_effnet.export.compression.recipe import CompressionRecipe
from keras_effnet.export.judge import Judge
from keras_effnet.export.photographs import Paths
from keras_effnet.export.precisions import PRECISIONS
from keras_effnet.export.precisions import check_input_type
from keras_effnet.export.publishing import ExportedFile
from keras_effnet.export.publishing import checked_name
from keras_effnet.progress import silent

# Images from which the ranges of the files are taken.
_CALIBRATION = 250


def train_and_export(
    model: keras.Model,
    technique: str,
    train: Paths,
    folder: str | os.PathLike,
    precisions: Sequence[str],
    *,
    train_images: int = 2000,
    recipe: CompressionRecipe | None = None,
    evaluation: str | os.PathLike | None = None,
    max_drop: float | None = None,
    input_type: str | None = None,
    name: str | None = None,
    latency: bool = False,
    settings: dict | None = None,
    on_broken: str = "skip",
    all_images: bool = False,
    progress: Callable[[str], None] | None = None,
    **options: Any,
) -> list[ExportedFile]:
    """Trains a model on photographs while it is compressed, and exports it.

    Args:
        model: A `keras.Model` as `keras_effnet.export.qat` takes it.
        technique: `"qat"`, `"prune"` or `"cluster"`, functions of
            `keras_effnet.export`.
        train: Paths of photographs and of folders of them; for a recipe whose
            distillation is below 1 the path of a folder of one folder per class, or
            of a list, CSV or JSON Lines, with file and label or class_index.
        folder: Where the files go: `NAME.keras`, the trained model, and what
            `keras_effnet.export.export` writes. The same call again goes on from the
            last checkpoint.
        precisions: Of the .tflite files.
        train_images: So many of the photographs are used, evenly spread.
        recipe: A `CompressionRecipe`; its defaults when `None`.
        evaluation: Path of photographs, none of them trained on, by which each file
            is compared with the model that came in; as for `export`.
        max_drop: As for `keras_effnet.export.export`.
        input_type: As for `keras_effnet.export.export`.
        name: Of the files; the model's when `None`.
        latency: Whether the files are measured on this machine.
        settings: A dict for the sheets, how to make the files again.
        on_broken: What becomes of photographs that can't be read: `"skip"` leaves them
            out and tells which, `"fail"` ends at them.
        all_images: Whether a model that knows from which photographs it learned is
            judged by those too, and trained on those that were held out.
        progress: Called with a line of text before each step.
        **options: Of the technique.

    Returns:
        A list of `ExportedFile`.

    Raises:
        InputError: The model, a photograph or an argument can't be taken.
    """
    for precision in precisions:
        check_one_of("precision", precision, PRECISIONS)
    check_input_type(input_type)
    check_model(model)
    recipe = recipe or CompressionRecipe()
    folder, name = pathlib.Path(folder), checked_name(name or model.name)
    labelled = recipe.distillation < 1
    paths, labels = photographs.training(
        model, train, train_images, labelled, progress, on_broken, all_images
    )
    known = photos.digests(paths)
    judged = None
    if evaluation is not None:
        judged = photographs.judging(
            model, evaluation, known, progress, on_broken, all_images
        )
    Judge(model, judged, max_drop)  # refuses what can't be judged
    files.check_folder(folder)
    images = photographs.in_one_array(model, paths, progress)
    work = folder / f"{name}-training"
    result = getattr(techniques, technique)(
        model,
        images,
        labels=labels,
        recipe=recipe,
        folder=work,
        progress=progress and silent,
        **options,
    )
    rule, names = saving.attached(model), saving.class_names(model)
    learned = made_with.united(saving.made_with(model), known)
    saving.attach(result.model, rule, names, learned)
    with files.replacing(folder / f"{name}.keras") as temporary:
        result.model.save(temporary)
    exported = exporting.export(
        result.model,
        folder,
        precisions,
        lambda: (images[i : i + 1] for i in evenly(len(images), _CALIBRATION)),
        name,
        input_type=input_type,
        evaluation=judged,
        max_drop=max_drop,
        settings=settings,
        ranges=result.ranges,
        reference=model,
        training=result.figures,
        latency=latency,
        progress=progress,
    )
    shutil.rmtree(work)
    return exported
