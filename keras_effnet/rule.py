"""The preprocessing rule: how a photograph becomes a network's input."""

import dataclasses
import math
from typing import Any

import numpy as np

from keras_effnet.errors import InputError
from keras_effnet.errors import check_one_of

# Mean and standard deviation of the pixel values, 0-255 RGB.
NORMALIZATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    # tensorflow/tpu `preprocessing.py`: MEAN_RGB, STDDEV_RGB.
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    # tensorflow/tpu `lite/` and `edgetpu/`.
    "127": ((127.0,), (128.0,)),
    # google/automl `preprocessing.py`, every size but B0-B3.
    "128": ((128.0,), (128.0,)),
    # tensorflow/tpu `--advprop_preprocessing`: x / 127.5 - 1.
    "127.5": ((127.5,), (127.5,)),
}
INTERPOLATIONS = ("bicubic", "bilinear")


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How a photograph becomes the input that a set of weights expects.

    Attributes:
        mean: Subtracted from 0-255 pixels: one value, or one per channel.
        std: Divides what is left: as many values as `mean`.
        interpolation: `"bicubic"` or `"bilinear"`, of the resize.
        crop_padding: The centre crop takes `size / (size + crop_padding)` of
            the short side before it is resized; `None` resizes the whole
            photograph and ignores its aspect ratio.
        included: Whether the model normalises 0-255 pixels itself; otherwise
            it is given `normalized` ones.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"
    crop_padding: int | None = 32
    included: bool = True

    def __post_init__(self) -> None:
        finite = all(map(math.isfinite, (*self.mean, *self.std)))
        counts = {len(self.mean), len(self.std)}
        if not self.mean or len(counts) > 1 or not finite or min(self.std) <= 0:
            raise InputError(
                "`mean` and `std` must have as many finite values as each other, one "
                "or one per channel, and `std` only positive ones. "
                f"Received: mean={self.mean!r}, std={self.std!r}"
            )
        check_one_of("interpolation", self.interpolation, INTERPOLATIONS)
        padding = self.crop_padding
        if padding is not None and not (isinstance(padding, int) and padding >= 0):
            raise InputError(
                "`crop_padding` must be None or a number of pixels. "
                f"Received: crop_padding={padding!r}"
            )

    def normalized(self, images: np.ndarray) -> np.ndarray:
        """Pixels as a model without preprocessing takes them.

        Args:
            images: Array, `(..., channels)`, 0-255.

        Returns:
            A float32 array of the same shape.
        """
        mean, std = np.array(self.mean, "float32"), np.array(self.std, "float32")
        return (np.asarray(images, "float32") - mean) / std

    def for_channels(self, channels: int) -> "Preprocessing":
        """The same for images with another number of channels.

        One channel takes the mean of the three means and of the three standard
        deviations; any other number takes `(x - 128) / 128`.
        """
        if len(self.mean) in (1, channels):
            return self
        mean, std = NORMALIZATIONS["128"]
        if channels == 1:
            mean = (sum(self.mean) / len(self.mean),)
            std = (sum(self.std) / len(self.std),)
        return dataclasses.replace(self, mean=mean, std=std)


def at_size(rule: Preprocessing, size: int) -> Preprocessing:
    """The same rule for evaluation at another size.

    google/automl crops images for its own sets only below 320 pixels.

    Args:
        rule: A `Preprocessing`.
        size: Pixels.

    Returns:
        A `Preprocessing`.
    """
    if (rule.mean, rule.std) != NORMALIZATIONS["128"]:
        return rule
    return dataclasses.replace(rule, crop_padding=32 if size < 320 else None)


def as_json(rule: Preprocessing) -> dict[str, Any]:
    """A `Preprocessing` as a dict of plain values."""
    return dataclasses.asdict(rule)


def from_json(values: Any) -> Preprocessing:
    """The reverse of `as_json`; fields that this version doesn't know are left.

    Raises:
        KeyError, TypeError, ValueError: The values are no preprocessing.
    """
    return Preprocessing(
        mean=tuple(map(float, values["mean"])),
        std=tuple(map(float, values["std"])),
        interpolation=values["interpolation"],
        crop_padding=values["crop_padding"],
        included=bool(values["included"]),
    )
