"""Photographs as the images that a model is calibrated, judged and trained on."""

import os
from collections.abc import Sequence

import numpy as np

from keras_effnet.data import finding
from keras_effnet.data import photos
from keras_effnet.errors import InputError
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
    model, calibration, evaluation, most, progress=None, on_broken="skip"
) -> tuple[Batches | None, Images | None]:
    """Opens what a user gave as paths; anything else stays as it is.

    `most` of the photographs to calibrate with are used, evenly spread. Returns
    `(calibration, evaluation)` as `exporting.export` takes them. An `InputError` where
    there are no photographs, or one is in both.
    """
    known = []
    if paths := paths_of(calibration):
        known = _calibration_photos(paths, most, progress, on_broken)
        calibration = _batches(model, known, 1, "calibrating", progress)
    if paths_of(evaluation):
        evaluation = judging(
            model, evaluation, known, "calibration", progress, on_broken
        )
    return calibration, evaluation


def judging(model, source, known, argument, progress=None, on_broken="skip") -> Images:
    """Photographs to judge a file by, from a path.

    None may be among the `known` ones, with which the file was made; `argument` names
    how those were given.
    """
    paths, labels = labelled_photos(source, load_classifier(model), optional=True)
    known = {path.resolve() for path in known}
    both = [path for path in paths if path.resolve() in known]
    if both:
        raise InputError(
            "A file is never judged on photographs that it was made with: "
            f"{len(both)} are in `{argument}` and in `evaluation`. "
            f"Received: {str(both[0])!r}"
        )
    paths, labels = photos.readable(paths, labels, on_broken, progress)
    return Images(_batches(model, paths, _BATCH, "evaluating", progress), labels)


def training(model, source, most, labelled, progress=None, on_broken="skip"):
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
    chosen = evenly(len(found), most)
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


def _calibration_photos(paths, most, progress, on_broken):
    if most < 1:
        raise InputError(f"`calibration_images` must be at least 1. Received: {most}")
    found = _made_with(paths)
    chosen = [found[i] for i in evenly(len(found), most)]
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
