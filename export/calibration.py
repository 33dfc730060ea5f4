"""The range of every activation, from images: min-max calibration.

The float file itself runs, in XNNPACK, with every activation declared an output of
its graph: seven times faster than TensorFlow's calibrator, once for all precisions.
"""

import dataclasses
import hashlib

import numpy as np

from keras_effnet.errors import InputError
from keras_effnet.export import flatbuffer
from keras_effnet.export.watching import Watched
from keras_effnet.sheet import Calibration

# Fewer leave the ranges to chance: a note, not an error.
FEW_IMAGES = 50


def evenly(count, most) -> list[int]:
    """Indices of `most` of `count` things, or of all, evenly spread: photographs come
    class by class, and the first ones would be of one class."""
    taken = min(count, most)
    return [i * count // taken for i in range(taken)]


@dataclasses.dataclass(frozen=True)
class Ranges:
    """What calibration found."""

    by_tensor: dict[int, tuple[float, float]]  # least and greatest value
    images: int
    sha256: str  # of all their values, float32
    method: str = "min-max"

    def for_sheet(self) -> Calibration:
        """What a sheet says of it."""
        return Calibration(self.images, self.method, self.sha256)


def calibrate(data: bytes, images, each=None) -> Ranges:
    """The ranges of a float file's activations on images.

    Images come in batches, `(batch, height, width, channels)`, values as the file takes
    them. `each` is called with the index and the values of each activation, for every
    image; the array is LiteRT's own and must be copied to be kept.
    """
    model = flatbuffer.unpack(data)
    tensors = flatbuffer.graph(model).tensors
    watched = flatbuffer.activations(model)
    file = Watched(model, watched[1:], 2)
    shape = file.shape
    low = dict.fromkeys(watched, np.inf)
    high = dict.fromkeys(watched, -np.inf)
    count, seen = 0, hashlib.sha256()
    for batch in images:
        batch = np.asarray(batch, "float32")
        if batch.ndim != 4 or batch.shape[1:] != shape:
            raise InputError(
                f"Calibration images must have the shape (batch, {shape[0]}, "
                f"{shape[1]}, {shape[2]}). Received: {batch.shape}"
            )
        for image in batch:
            seen.update(image.tobytes())
            file.run(image[None])
            count += 1
            for index in watched:
                # A view, not a copy; it must not outlive the next `invoke`. NumPy's
                # minimum, unlike Python's, keeps a NaN.
                value = file.interpreter.tensor(index)()
                low[index] = np.minimum(low[index], value.min())
                high[index] = np.maximum(high[index], value.max())
                if each:
                    each(index, value)
                del value
    if not count:
        raise InputError("Calibration needs at least one image. Received: none")
    for index in watched:
        if not np.isfinite([low[index], high[index]]).all():
            raise InputError(
                "Every value must be a finite number, in the calibration images and "
                "in what the network makes of them. Received: NaN or infinity in "
                f"{tensors[index].name.decode()!r}"
            )
    found = {index: (float(low[index]), float(high[index])) for index in watched}
    return Ranges(found, count, seen.hexdigest())
