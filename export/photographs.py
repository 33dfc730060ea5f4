"""Photographs as the images that a model is calibrated, judged and trained on."""

import os
from collections.abc import Sequence

import numpy as np

from keras_effnet import saving
from keras_effnet.data import finding
from keras_effnet.data import photos
from keras_effnet.errors import InputError
from keras_effnet.evaluation import held_out_photos
from keras_effnet.evaluation import labelled_photos
from keras_effnet.evaluation import load_classifier
from keras_effnet.evaluation import photo_batches
from keras_effnet.export.calibration import FEW_IMAGES
from keras_effnet.export.calibration import evenly
from keras_effnet.export.judge import Batches
from keras_effnet.export.judge import Images
from keras_effnet.notes import note

Paths = str | os.PathLike | Sequence[str | os.PathLike]

_BATCH = 32


def opened(
    model,
    calibration,
    evaluation,
    most,
    progress=None,
    on_broken="skip",
    all_images=False,
) -> tuple[Batches | None, Images | None, np.ndarray | None]:
    """Opens what a user gave as paths; anything else stays as it is.

    `most` of the photographs to calibrate with are used, evenly spread. Returns
    `(calibration, evaluation)` as `exporting.export` takes them, and the digests of
    those to calibrate with. None of them judges, and none that the model learned from
    unless `all_images`; an `InputError` where there are no others.
    """
    known = None
    if paths := paths_of(calibration):
        chosen = _calibration_photos(
            model, paths, most, progress, on_broken, all_images
        )
        calibration = _batches(model, chosen, 1, "calibrating", progress)
        known = photos.digests(chosen)
    if paths_of(evaluation):
        evaluation = judging(model, evaluation, known, progress, on_broken, all_images)
    return calibration, evaluation, known


def judging(
    model, source, known, progress=None, on_broken="skip", all_images=False
) -> Images:
    """Photographs to judge a file by, from a path; `known` are the digests of those
    with which the file is made, none of which judges."""
    paths, labels, learned = held_out_photos(
        source,
        load_classifier(model),
        on_broken,
        all_images,
        optional=True,
        known=known,
        progress=progress,
    )
    batches = _batches(model, paths, _BATCH, "evaluating", progress)
    return Images(batches, labels, learned)


def _learned_from(model, paths, progress, all_images):
    """Places of the photographs that a file may be made with: of a folder that a model
    learned from in part, that part, so that the held-out one can judge."""
    everything, known = np.arange(len(paths)), saving.made_with(model)
    if known is None or all_images:
        return everything
    learned = np.isin(photos.digests(paths, progress), known)
    if learned.all() or not learned.any():
        return everything
    note(
        f"{model.name} learned from {learned.sum()} of {len(paths)} photographs, and "
        f"its files are made with these too: the other {(~learned).sum()} can judge "
        "them, where --evaluate names the folder; --all-images takes all"
    )
    return np.flatnonzero(learned)


def training(
    model, source, most, labelled, progress=None, on_broken="skip", all_images=False
):
    """`most` photographs to train on, at least 2, evenly spread, and their labels where
    they are needed: one path with classes then, as for evaluation."""
    if most < 2:
        raise InputError(f"`train_images` must be at least 2. Received: {most}")
    source = paths_of(source)
    if not labelled:
        found, labels = _made_with(source), None
    elif len(source) > 1:
        raise InputError(
            "`distillation` below 1 needs labels: one folder of one folder per class, "
            f"or one CSV file. Received: `train` {' '.join(map(str, source))}"
        )
    else:
        classifier = load_classifier(model)
        found, labels = labelled_photos(source[0], classifier, split="train")
    allowed = _learned_from(model, found, progress, all_images)
    chosen = allowed[evenly(len(allowed), most)]
    labels = None if labels is None else labels[chosen]
    return photos.readable([found[i] for i in chosen], labels, on_broken, progress)


def in_one_array(model, paths, progress=None):
    """All photographs as the model takes them, `(images, height, width, channels)`."""
    return np.concatenate(list(_batches(model, paths, _BATCH, "reading", progress)()))


def paths_of(source):
    """A list of the paths that a user gave, or `None` where it is none."""
    several = isinstance(source, list | tuple) and len(source) > 0
    found = list(source) if several else [source]
    return found if all(isinstance(part, str | os.PathLike) for part in found) else None


def _made_with(paths):
    return finding.find_photos([finding.of_kind(path, "train") for path in paths])


def _calibration_photos(model, paths, most, progress, on_broken, all_images):
    if most < 1:
        raise InputError(f"`calibration_images` must be at least 1. Received: {most}")
    found = _made_with(paths)
    allowed = _learned_from(model, found, progress, all_images)
    chosen = [found[i] for i in allowed[evenly(len(allowed), most)]]
    # A damaged one is better found now than in the middle of a conversion.
    chosen, _ = photos.readable(chosen, None, on_broken, progress)
    if len(chosen) < FEW_IMAGES:
        note(
            f"few photographs ({len(chosen)}) leave the ranges of the "
            "activations to chance; a hundred and more are usual"
        )
    return chosen


def _batches(model, paths, batch_size, what, progress):
    load_classifier(model).note_guess()
    return lambda: photo_batches(model, paths, what, progress, batch_size)
