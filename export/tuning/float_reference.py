"""What a candidate's answers are worth beside the float file's."""

import numpy as np

from keras_effnet.errors import InputError
from keras_effnet.evaluation import Evaluation
from keras_effnet.evaluation import evaluate
from keras_effnet.export.judge import check_classes
from keras_effnet.paired import compare
from keras_effnet.sheet import Sheet
from keras_effnet.tflite import TFLiteModel

# A probability of 0 that is 1/512 rounded must not count as infinitely wrong; of many
# classes nearly all are below it.
_LEAST, _LEAST_OF_EVEN = 1e-3, 0.1


class FloatReference:
    """The answers of the float file, with which those of others are compared.

    `notes` are lines about images or a model that can't tell much.
    """

    def __init__(self, float_path, images, labels=None, logits=False):
        self._images, self._logits = images, logits
        file = TFLiteModel(float_path, threads=2, sheet=Sheet())
        self._reference = evaluate(file, [images], labels)
        probabilities = self._reference.probabilities
        wrong = int((~np.isfinite(probabilities)).any(axis=1).sum())
        if wrong:
            raise InputError(
                "The float model must answer with finite numbers before it can be "
                f"quantised. Received: NaN or infinity for {wrong} of {len(images)} "
                "images"
            )
        check_classes(probabilities.shape[1])
        self.notes = _notes(self._reference, self._positive(probabilities))

    def figures(self, file: TFLiteModel) -> dict:
        """What a file's answers are worth, beside the float file's.

        `evaluation` is a `Comparison.as_json()`, `divergence` Kullback-Leibler's from
        the float answers, a mean in nats.
        """
        found = file.predict(self._images)
        comparison = compare(self._reference, Evaluation(found, self._reference.labels))
        true = self._positive(self._reference.probabilities)
        other = self._positive(found)
        return {
            "evaluation": comparison.as_json(),
            "expected_agreement": expected_agreement(true, other),
            "divergence": float((true * np.log(true / other)).sum(axis=1).mean()),
        }

    def _positive(self, answers):
        values = answers.astype(np.float64)
        if self._logits:
            values = np.exp(values - values.max(axis=1, keepdims=True))
            values /= values.sum(axis=1, keepdims=True)
        least = min(_LEAST, _LEAST_OF_EVEN / values.shape[1])
        values = np.maximum(values, least)
        return values / values.sum(axis=1, keepdims=True)


def expected_agreement(reference, other) -> float:
    """The share of agreement that the sizes of the errors let expect on more images.

    To count changed answers takes many images: one in a hundred changes. How far a file
    moves the distance between the first two classes is seen on every image, and so is
    the distance that it would have to overcome; an answer changes where the one exceeds
    the other. All pairs of images are tried, the error of one on the distance of the
    other.

    Both are probabilities above 0, `(images, classes)`.
    """
    rows = np.arange(len(reference))
    second, first = np.argsort(reference, axis=1)[:, -2:].T
    distance = np.log(reference[rows, first] / reference[rows, second])
    moved = np.log(other[rows, first] / other[rows, second]) - distance
    return float((distance[:, None] + moved[None] > 0).mean())


# Fewer images leave an agreement of one half uncertain by ten points.
_FEW = 50


def _notes(reference, probabilities):
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
    confidence = float(probabilities.max(axis=1).mean())
    chance = labels is not None and reference.top1 <= 1.5 / classes and count >= _FEW
    if chance or confidence < 1.5 / classes:
        notes.append(
            "the float model answers like one that is not trained: its classes are "
            "near to chance, and any rounding changes them"
        )
    return notes
