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
# google/automl crops images for its own sets only below 320 pixels; see `at_size`.
AUTOML_CROPS = ((0, 32), (320, None))


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
        crop_fraction: `None`, or, in place of `crop_padding`, what the centre crop
            takes of a photograph that was resized before, its short side to
            `floor(size / crop_fraction)` pixels; timm and torchvision do so.
        crops: Of weights that are cropped otherwise at other sizes, pairs of the
            least size and the `crop_fraction` there or, without one, the
            `crop_padding`; `at_size` chooses.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"
    crop_padding: int | None = 32
    included: bool = True
    crop_fraction: float | None = None
    crops: tuple[tuple[int, float | None], ...] = ()

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
        field, own = self._crop
        sizes = [size for size, _ in self.crops]
        if not all(map(self._is_crop, (own, *(crop for _, crop in self.crops)))) or (
            sizes != sorted(sizes)
        ):
            valid = {
                "crop_padding": "None or a number of pixels",
                "crop_fraction": "None or above 0 and at most 1",
            }
            raise InputError(
                f"`{field}` must be {valid[field]}, and so must those of `crops`, by "
                f"ascending sizes. Received: {field}={own!r}, crops={self.crops!r}"
            )

    @property
    def _crop(self) -> tuple[str, float | None]:
        """The name of the field that tells the crop, and its value."""
        field = "crop_padding" if self.crop_fraction is None else "crop_fraction"
        return field, getattr(self, field)

    def _is_crop(self, value: Any) -> bool:
        if self.crop_fraction is None:
            return value is None or (isinstance(value, int) and value >= 0)
        return isinstance(value, int | float) and 0 < value <= 1

    @property
    def whole(self) -> bool:
        """Whether photographs are resized whole, without a crop."""
        return self.crop_fraction is None and self.crop_padding is None

    def resized(self, size: tuple[int, int]) -> tuple[int, int]:
        """What a photograph of the shape of `size`, `(height, width)`, is resized to
        before it is cropped to it, where there is a `crop_fraction`."""
        fraction = self.crop_fraction or 1
        return math.floor(size[0] / fraction), math.floor(size[1] / fraction)

    def box(
        self, height: int, width: int, size: tuple[int, int]
    ) -> tuple[float, float, float, float]:
        """The part of a photograph of `height` times `width` pixels that becomes an
        image of `size`, `(height, width)`: `(left, top, right, bottom)`; whole numbers
        but with a `crop_fraction`."""
        if self.whole:
            return 0, 0, width, height
        if self.crop_fraction is not None:
            # The same part as of torchvision's Resize and CenterCrop, which cut whole
            # pixels of the resized photograph.
            rows, columns = self.resized(size)
            if height * columns <= width * rows:
                columns = width * rows // height
            else:
                rows = height * columns // width
            top, left = round((rows - size[0]) / 2), round((columns - size[1]) / 2)
            return (
                left * width / columns,
                top * height / rows,
                (left + size[1]) * width / columns,
                (top + size[0]) * height / rows,
            )
        # The largest window of the output's shape, less the padding. Source:
        # tensorflow/tpu `preprocessing.py`, `_decode_and_center_crop`.
        fraction = max(size) / (max(size) + (self.crop_padding or 0))
        unit = fraction * min(height / size[0], width / size[1])
        rows, columns = max(1, int(unit * size[0])), max(1, int(unit * size[1]))
        top, left = (height - rows + 1) // 2, (width - columns + 1) // 2
        return left, top, left + columns, top + rows

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
    """The same rule for evaluation at another size: with the crop of `crops` there.

    Args:
        rule: A `Preprocessing`.
        size: Pixels.

    Returns:
        A `Preprocessing`.
    """
    there: list[Any] = [crop for least, crop in rule.crops if least <= size]
    return dataclasses.replace(rule, **{rule._crop[0]: there[-1]}) if there else rule


def as_json(rule: Preprocessing) -> dict[str, Any]:
    """A `Preprocessing` as a dict of plain values, those of most weights as ever."""
    values = dataclasses.asdict(rule)
    for key in ("crop_fraction", "crops"):
        if not values[key]:
            del values[key]
    return values


def from_json(values: Any) -> Preprocessing:
    """The reverse of `as_json`; fields that this version doesn't know are left.

    Raises:
        KeyError, TypeError, ValueError: The values are no preprocessing.
    """
    mean, std = (tuple(map(float, values[key])) for key in ("mean", "std"))
    # Files of earlier versions are silent about what is google/automl's.
    silent = AUTOML_CROPS if (mean, std) == NORMALIZATIONS["128"] else ()
    return Preprocessing(
        mean=mean,
        std=std,
        interpolation=values["interpolation"],
        crop_padding=values["crop_padding"],
        included=bool(values["included"]),
        crop_fraction=values.get("crop_fraction"),
        crops=tuple((int(size), crop) for size, crop in values.get("crops", silent)),
    )
