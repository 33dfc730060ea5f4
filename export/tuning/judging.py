"""What a candidate answers, beside the float file, on images kept for it."""

import numpy as np

from keras_effnet.errors import InputError
from keras_effnet.evaluation import Evaluation
from keras_effnet.paired import compare
from keras_effnet.tflite import TFLiteModel

# A probability of 0 that is 1/512 rounded must not count as infinitely wrong.
_LEAST = 1e-3


class Judge:
    """Compares files with the float file that they come from.

    Args:
        float_path: Of the float .tflite file.
        images: A float array, `(images, height, width, channels)`, as it takes them.
        labels: The class index of each, or `None`.

    Attributes:
        notes: Lines about images or a model that can't tell much.

    Raises:
        InputError: An answer of the float file is NaN or infinite, or there are
            fewer or more labels than images, or a label is no class.
    """

    def __init__(self, float_path, images, labels=None):
        self._images = images
        probabilities = TFLiteModel(float_path, threads=2).predict(images)
        wrong = int((~np.isfinite(probabilities)).any(axis=1).sum())
        if wrong:
            raise InputError(
                "The float model must answer with finite numbers before it can be "
                f"quantised. Received: NaN or infinity for {wrong} of {len(images)} "
                "images"
            )
        if labels is not None:
            labels = np.asarray(labels)
            classes = probabilities.shape[1]
            if (
                len(labels) != len(images)
                or not ((labels >= 0) & (labels < classes)).all()
            ):
                raise InputError(
                    f"There must be one label, a class from 0 to {classes - 1}, for "
                    f"each image. Received: {len(labels)} labels for {len(images)} "
                    "images"
                )
        self._reference = Evaluation(probabilities, labels)
        self.notes = _notes(self._reference)

    def figures(self, path):
        """`{"evaluation": Comparison.as_json(), "divergence": nats}` of a file."""
        found = TFLiteModel(path, threads=2).predict(self._images)
        comparison = compare(self._reference, Evaluation(found, self._reference.labels))
        true = np.maximum(self._reference.probabilities.astype(np.float64), _LEAST)
        other = np.maximum(found.astype(np.float64), _LEAST)
        true /= true.sum(axis=1, keepdims=True)
        other /= other.sum(axis=1, keepdims=True)
        divergence = float((true * np.log(true / other)).sum(axis=1).mean())
        return {"evaluation": comparison.as_json(), "divergence": divergence}


# Fewer images leave an agreement of one half uncertain by ten points.
_FEW = 50


def _notes(reference):
    notes = []
    count, classes = reference.probabilities.shape
    if count < _FEW:
        notes.append(
            f"judged on {count} images alone, which tells little: one of them is "
            f"{100 / count:.1f} points"
        )
    answered = len(np.unique(reference.predictions))
    labels = reference.labels
    if labels is not None and len(np.unique(labels)) == 1 < classes:
        notes.append("all images that judge are of one class: others may lose more")
    elif answered == 1 < count and classes > 1:
        notes.append(
            "the float model gives all images that judge one class: others may lose "
            "more"
        )
    confidence = float(reference.probabilities.max(axis=1).mean())
    chance = labels is not None and reference.top1 <= 1.5 / classes and count >= _FEW
    if chance or confidence < 1.5 / classes:
        notes.append(
            "the float model answers like one that is not trained: its classes are "
            "near to chance, and any rounding changes them"
        )
    return notes
