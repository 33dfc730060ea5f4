"""scikit-learn's handwritten digits: 1,797 real images that need no download."""

import dataclasses

import numpy as np
from PIL import Image

from keras_effnet.errors import InputError
from keras_effnet.errors import needed


@dataclasses.dataclass(frozen=True)
class Digits:
    """One split.

    Attributes:
        images: float32, `(count, size, size, 1)`, 0-255, white on black.
        labels: int64, `(count,)`, 0-9.
    """

    images: np.ndarray
    labels: np.ndarray


def load_digits(size: int = 32, held_out: float = 0.2) -> tuple[Digits, Digits]:
    """The UCI test set of handwritten digits (Alpaydin and Kaynak 1998).

    Args:
        size: Height and width in pixels; the 8 x 8 originals are resized
            (bicubic).
        held_out: The fraction kept for evaluation, the same share of each digit.

    Returns:
        `(train, test)`, two `Digits`. The split is the same on every machine:
        of each digit every n-th image in the order of the file.

    Raises:
        InputError: scikit-learn is not installed, or an argument is impossible.
    """
    message = "The digits come with scikit-learn: pip install 'keras-effnet[demo]'."
    sets = needed("sklearn.datasets", message, "digits")
    if size < 1 or not 0 < held_out < 1:
        raise InputError(
            "`size` must be positive and `held_out` between 0 and 1. "
            f"Received: size={size}, held_out={held_out}"
        )
    bunch = sets.load_digits()
    images = np.stack([_resize(image, size) for image in bunch.images])
    is_test = np.zeros(len(images), bool)
    for digit in range(10):
        of_digit = np.flatnonzero(bunch.target == digit)
        is_test[of_digit[:: round(1 / held_out)]] = True
    return (
        Digits(images[~is_test], bunch.target[~is_test]),
        Digits(images[is_test], bunch.target[is_test]),
    )


def _resize(image: np.ndarray, size: int) -> np.ndarray:
    # The originals count 0 to 16 dark pixels in each cell.
    pixels = Image.fromarray((image * (255 / 16)).astype(np.float32))
    resized = pixels.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(resized).clip(0, 255)[..., None]
