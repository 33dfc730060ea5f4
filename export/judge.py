"""What a file answers on a user's images, beside the Keras model's own answers."""

import dataclasses
import functools
import itertools

import numpy as np

from keras_effnet.errors import InputError
from keras_effnet.evaluation import Evaluation
from keras_effnet.evaluation import evaluate
from keras_effnet.evaluation import load_classifier
from keras_effnet.export.layer_errors import layer_errors
from keras_effnet.paired import compare
from keras_effnet.tflite import TFLiteModel

# Errors of layers differ by factors; a few images tell them.
LAYER_IMAGES = 8


@dataclasses.dataclass(frozen=True)
class Images:
    """Images on which files are judged.

    Attributes:
        batches: A function without arguments that returns an iterable of arrays,
            `(batch, height, width, channels)`, as the model takes them.
        labels: The class index of each, or `None`.
    """

    batches: object
    labels: np.ndarray | None = None


class Judge:
    """Compares files with the Keras model that they come from.

    Args:
        model: The `keras.Model`.
        images: `Images`.
        max_drop: Percentage points of accuracy that a file may lose, or `None`.

    Raises:
        InputError: `max_drop` is no number from 0 up, or there are no labels.
    """

    def __init__(self, model, images, max_drop=None):
        if max_drop is not None:
            if isinstance(max_drop, bool) or not isinstance(max_drop, int | float):
                max_drop = float("nan")
            if not 0 <= max_drop <= 100:
                raise InputError(
                    "`max_drop` must be a number of percentage points from 0 to 100. "
                    f"Received: max_drop={max_drop!r}"
                )
            if images is None or images.labels is None:
                raise InputError(
                    "`max_drop` needs labelled images to evaluate on. Received: "
                    + ("none" if images is None else "images without labels")
                )
        if images is not None and not isinstance(images, Images):
            raise InputError(
                "`evaluation` must be `keras_effnet.export.Images`. "
                f"Received: {type(images).__name__}"
            )
        classes = model.outputs[0].shape[-1]
        if images is not None and classes < 2:
            raise InputError(
                "To be judged, a model must have two classes or more. "
                f"Received: {classes}"
            )
        self.model, self.images, self.max_drop = model, images, max_drop

    @functools.cached_property
    def reference(self):
        """What the Keras model answers, computed once for all files."""
        return self._answers(self.model)

    def figures(self, path):
        """What a sheet says of a file's answers: a dict, empty without images."""
        if self.images is None:
            return {}
        reference = self.reference
        comparison = compare(reference, self._answers(TFLiteModel(path)))
        verdict = None
        if self.max_drop is not None:
            over = comparison.drop > self.max_drop
            verdict = "over the limit" if over else "within limit"
        return {
            "evaluation": comparison.as_json(),
            "max_drop": self.max_drop,
            "verdict": verdict,
        }

    def _answers(self, source):
        if self.images.labels is not None:
            return evaluate(source, self.images.batches(), self.images.labels)
        classifier = load_classifier(source)
        rows = [classifier.predict(batch) for batch in self.images.batches()]
        if not rows:
            raise InputError("Evaluation needs at least one image. Received: none")
        return Evaluation(np.concatenate(rows), None)


def errors_of_layers(float_path, path, batches):
    """`layer_errors` on the first few images.

    Args:
        float_path: Of the float file.
        path: Of the other.
        batches: An iterable of arrays of images.
    """
    images = (image[None] for batch in batches for image in batch)
    return layer_errors(float_path, path, itertools.islice(images, LAYER_IMAGES))
