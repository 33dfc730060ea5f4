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
        """What a file's answers are worth, beside the float file's.

        Args:
            path: Of the .tflite file.

        Returns:
            A dict: `evaluation`, a `Comparison.as_json()`; `expected_agreement`, see
            `expected_agreement`; `divergence`, Kullback-Leibler's from the float
            answers, a mean in nats.
        """
        found = TFLiteModel(path, threads=2).predict(self._images)
        comparison = compare(self._reference, Evaluation(found, self._reference.labels))
        true, other = _positive(self._reference.probabilities), _positive(found)
        return {
            "evaluation": comparison.as_json(),
            "expected_agreement": expected_agreement(true, other),
            "divergence": float((true * np.log(true / other)).sum(axis=1).mean()),
        }


def expected_agreement(reference, other):
    """The agreement that the sizes of the errors let expect on more images.

    To count changed answers takes many images: one in a hundred changes. How far a
    file moves the distance between the first two classes is seen on every image, and
    so is the distance that it would have to overcome; an answer changes where the
    one exceeds the other. All pairs of images are tried, the error of one on the
    distance of the other.

    Args:
        reference: Probabilities above 0, `(images, classes)`.
        other: Those of a file, of the same shape.

    Returns:
        A share, 0 to 1.
    """
    if reference.shape[1] < 2:
        return 1.0
    rows = np.arange(len(reference))
    second, first = np.argsort(reference, axis=1)[:, -2:].T
    distance = np.log(reference[rows, first] / reference[rows, second])
    moved = np.log(other[rows, first] / other[rows, second]) - distance
    return float((distance[:, None] + moved[None] > 0).mean())


def _positive(probabilities):
    raised = np.maximum(probabilities.astype(np.float64), _LEAST)
    return raised / raised.sum(axis=1, keepdims=True)


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
