"""What belongs to a set of weights: normalisation, crop and interpolation."""

import dataclasses
import os

import numpy as np

from keras_effnet.errors import InputError
from keras_effnet.specs import get_spec

# Mean and standard deviation of the pixel values, 0-255 RGB.
NORMALIZATIONS = {
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

    def __post_init__(self):
        if not self.mean or len(self.mean) != len(self.std) or min(self.std) <= 0:
            raise InputError(
                "`mean` and `std` must have as many values as each other, one or one "
                "per channel, and `std` only positive ones. "
                f"Received: mean={self.mean!r}, std={self.std!r}"
            )
        if self.interpolation not in INTERPOLATIONS:
            raise InputError(
                f"`interpolation` must be one of {', '.join(INTERPOLATIONS)}. "
                f"Received: interpolation={self.interpolation!r}"
            )
        padding = self.crop_padding
        if padding is not None and not (isinstance(padding, int) and padding >= 0):
            raise InputError(
                "`crop_padding` must be None or a number of pixels. "
                f"Received: crop_padding={padding!r}"
            )

    def normalized(self, images):
        """Pixels as a model without preprocessing takes them.

        Args:
            images: Array, `(..., channels)`, 0-255.

        Returns:
            A float32 array of the same shape.
        """
        return (np.asarray(images, "float32") - np.float32(self.mean)) / np.float32(
            self.std
        )

    def for_channels(self, channels):
        """The same for images with another number of channels.

        One channel takes the mean of the three means and of the three standard
        deviations; any other number takes `(x - 128) / 128`.
        """
        if len(self.mean) in (1, channels):
            return self
        if channels == 1:
            mean = (sum(self.mean) / len(self.mean),)
            std = (sum(self.std) / len(self.std),)
        else:
            mean, std = NORMALIZATIONS["128"]
        return dataclasses.replace(self, mean=mean, std=std)


def for_spec(spec, image_size=None):
    """The preprocessing of a network's published ImageNet weights.

    Args:
        spec: A `keras_effnet.specs.ModelSpec`.
        image_size: Pixels at evaluation; the network's own when `None`.

    Returns:
        A `Preprocessing`.
    """
    mean, std = NORMALIZATIONS[spec.normalization]
    bilinear = spec.family == "lite" or spec.normalization == "128"
    rule = Preprocessing(mean, std, "bilinear" if bilinear else "bicubic")
    return at_size(rule, image_size or spec.image_size)


def for_weights(model, weights=None, image_size=None):
    """The preprocessing that belongs to a set of weights, or to a model.

    Args:
        model: A network's name, a `keras.Model`, or the path of a `.keras` file.
        weights: A published set, `"noisy-student"`; with `None`, what the model
            or the file was given, or the ImageNet weights of the network.
        image_size: Pixels at evaluation; the set's own when `None`.

    Returns:
        A `Preprocessing`.

    Raises:
        InputError: There is no such network, set or file, or the model carries
            no preprocessing.
    """
    from keras_effnet import saving
    from keras_effnet.weights import table

    if weights is not None:
        name = get_spec(getattr(model, "name", model)).name
        found = table.find(name, weights)[0]
        return at_size(found.preprocessing, image_size or found.image_size)
    if isinstance(model, str | os.PathLike):
        if not str(model).endswith(".keras"):
            return for_spec(get_spec(model), image_size)
        rule = saving.read(model)
    else:
        rule = saving.attached(model)
    if rule is None:
        raise InputError(
            "It carries no preprocessing; `weights` names a published set's. "
            f"Received: {model!r}"
        )
    return rule


def at_size(rule, size):
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


def for_name(name, image_size):
    """The preprocessing of a model that is known by its name alone.

    Args:
        name: A model's name; of an unknown one, the crop of most networks.
        image_size: Pixels at evaluation.

    Returns:
        A `Preprocessing`.
    """
    try:
        return for_spec(get_spec(name), image_size)
    except InputError:
        return Preprocessing(*NORMALIZATIONS["imagenet"])


def normalize(x, preprocessing):
    """Adds the normalisation to a graph, as one stock Keras layer.

    Args:
        x: A Keras tensor, `(batch, height, width, channels)`, 0-255.
        preprocessing: A `Preprocessing` for as many channels.

    Returns:
        A Keras tensor of the same shape, float.
    """
    from keras import layers

    from keras_effnet.blocks import channel_axis
    from keras_effnet.blocks import float32_when_mixed

    dtype = float32_when_mixed()
    if len(preprocessing.mean) == 1:
        (mean,), (std,) = preprocessing.mean, preprocessing.std
        return layers.Rescaling(1 / std, -mean / std, dtype=dtype, name="rescaling")(x)
    return layers.Normalization(
        axis=channel_axis(),
        mean=list(preprocessing.mean),
        variance=[std**2 for std in preprocessing.std],
        dtype=dtype,
        name="normalization",
    )(x)
