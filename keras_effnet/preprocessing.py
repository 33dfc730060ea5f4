"""What belongs to a set of weights: normalisation, crop and interpolation."""

import dataclasses

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
}


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
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"
    crop_padding: int | None = 32

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
    size = image_size or spec.image_size
    if spec.normalization == "128":
        # google/automl crops at evaluation only below 320 pixels.
        crop_padding = 32 if size < 320 else None
        return Preprocessing(mean, std, "bilinear", crop_padding)
    interpolation = "bilinear" if spec.family == "lite" else "bicubic"
    return Preprocessing(mean, std, interpolation)


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
