"""What a file answers on a user's images, beside the Keras model's own answers."""

import dataclasses
from collections.abc import Callable
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from keras_effnet.errors import InputError
from keras_effnet.errors import check_number
from keras_effnet.evaluation import Evaluation
from keras_effnet.evaluation import evaluate
from keras_effnet.paired import compare
from keras_effnet.sheet import OVER_LIMIT
from keras_effnet.sheet import WITHIN_LIMIT
from keras_effnet.tflite import TFLiteModel

Batches = Callable[[], Iterable[np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Images:
    """Images on which files are judged.

    Attributes:
        batches: A function without arguments that returns an iterable of arrays,
            `(batch, height, width, channels)`, as the model takes them.
        labels: The class index of each, or `None`.
        learned_from: How many of them the model learned from, 0 where such were left
            out; `None` where nothing is known of that.
    """

    batches: Batches
    labels: np.ndarray | None = None
    learned_from: int | None = None


def check_images(images: Any, max_drop: float | None) -> None:
    """Raises an `InputError` unless these are `Images`, or `None`, and have labels
    where an accuracy is asked for."""
    if images is not None and not isinstance(images, Images):
        raise InputError(
            "`evaluation` must be `keras_effnet.export.Images`. "
            f"Received: {type(images).__name__}"
        )
    if max_drop is not None and (images is None or images.labels is None):
        raise InputError(
            "`max_drop` needs labelled images to evaluate on. Received: "
            + ("none" if images is None else "images without labels")
        )


def check_classes(classes: int) -> None:
    """Raises an `InputError` for a model whose answers are always the same."""
    if classes < 2:
        raise InputError(
            f"To be judged, a model must have two classes or more. Received: {classes}"
        )


class Judge:
    """Compares files with the Keras model that they come from."""

    def __init__(
        self, model: keras.Model, images: Images | None, max_drop: float | None = None
    ) -> None:
        if max_drop is not None:
            valid = "a number of percentage points from 0 to 100"
            check_number("max_drop", max_drop, valid, lambda points: 0 <= points <= 100)
        check_images(images, max_drop)
        self.model, self.images, self.max_drop = model, images, max_drop
        self._reference: Evaluation | None = None

    def verdict(self, file: TFLiteModel) -> dict[str, Any]:
        """What a file loses: a dict of fields of a `Sheet`, empty without images."""
        if self.images is None:
            return {}
        if self._reference is None:  # once for all files
            self._reference = _answers(self.model, self.images)
        comparison = dataclasses.replace(
            compare(self._reference, _answers(file, self.images)),
            learned_from=self.images.learned_from,
        )
        verdict = None
        if self.max_drop is not None and comparison.drop is not None:
            over = comparison.drop > self.max_drop
            verdict = OVER_LIMIT if over else WITHIN_LIMIT
        return {
            "evaluation": comparison,
            "max_drop": self.max_drop,
            "verdict": verdict,
        }


def _answers(source: Any, images: Images) -> Evaluation:
    return evaluate(source, images.batches(), images.labels)
