"""The images of a search: those that calibrate and those that judge."""

import dataclasses
import hashlib
import pathlib

import numpy as np

from keras_effnet.errors import InputError
from keras_effnet.export import flatbuffer

# Of the calibration images, where there are no others to judge by.
_EVERY = 3


@dataclasses.dataclass(frozen=True)
class SearchImages:
    """Images in float32, `(images, height, width, channels)`, on disk."""

    calibration: np.ndarray  # those that levers learn from
    judged: np.ndarray  # those that candidates are judged on, none of the others
    labels: np.ndarray | None  # of `judged`
    sha256: str  # of all values


def collect(folder: pathlib.Path, trace, calibration, evaluation=None) -> SearchImages:
    """Reads all images once, into arrays in a folder; without `evaluation` every third
    image of `calibration` judges."""
    graph = flatbuffer.graph(flatbuffer.unpack(trace.float32))
    shape = tuple(int(side) for side in graph.tensors[graph.inputs[0]].shape[1:])
    seen = hashlib.sha256()
    first = _Kept(folder / "calibration", shape, seen)
    judging = _Kept(folder / "judged", shape, seen)
    for number, image in enumerate(_images(calibration())):
        kept_out = evaluation is None and number % _EVERY == _EVERY - 1
        (judging if kept_out else first).add(image, number)
    if evaluation is not None:
        for number, image in enumerate(_images(evaluation.batches())):
            judging.add(image, number)
    if not first.count or not judging.count:
        least = _EVERY if evaluation is None else 1
        raise InputError(
            f"The search needs at least {least} calibration images"
            + (", of which a third judges" if evaluation is None else "")
            + (", and one to judge by. " if evaluation is not None else ". ")
            + f"Received: {first.count + (evaluation is None) * judging.count}"
        )
    labels = None if evaluation is None else evaluation.labels
    return SearchImages(first.array(), judging.array(), labels, seen.hexdigest())


def _images(batches):
    for batch in batches:
        yield from np.asarray(batch, np.float32)


class _Kept:
    """Images that go to disk one by one: thousands would fill the memory."""

    def __init__(self, path, shape, seen):
        self._path, self._shape, self._seen = pathlib.Path(path), shape, seen
        self.count = 0
        self._path.touch()

    def add(self, image, number):
        if image.shape != self._shape:
            raise InputError(
                "Images must have the shape (batch, "
                f"{', '.join(map(str, self._shape))}). Received: (batch, "
                f"{', '.join(map(str, image.shape))})"
            )
        if not np.isfinite(image).all():
            raise InputError(
                "Every value of an image must be a finite number. Received: NaN or "
                f"infinity in image {number}"
            )
        data = np.ascontiguousarray(image).tobytes()
        self._seen.update(data)
        with open(self._path, "ab") as file:
            file.write(data)
        self.count += 1

    def array(self):
        return np.memmap(self._path, np.float32, "r", shape=(self.count, *self._shape))
