"""Photographs: found, read, cropped and resized."""

import csv
import os
import pathlib
import warnings
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence

import numpy as np
from PIL import Image
from PIL import ImageOps

from keras_effnet import files
from keras_effnet.errors import InputError
from keras_effnet.errors import explained
from keras_effnet.progress import bar
from keras_effnet.rule import Preprocessing

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}


def find_photos(paths: Iterable[str | os.PathLike]) -> list[pathlib.Path]:
    """All photographs among files and, recursively and sorted, folders; a folder
    without any is an `InputError`."""
    found = []
    for path in map(pathlib.Path, paths):
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
            if not inside:
                raise InputError(
                    "The folder holds no photographs "
                    f"({', '.join(SUFFIXES)}). Received: {str(path)!r}"
                )
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise InputError(
                f"There is no such file or folder. Received: {str(path)!r}"
            )
    return found


def read_photo(path: str | os.PathLike, channels: int = 3) -> np.ndarray:
    """One photograph, upright, whatever its colour mode: uint8, `(height, width,
    channels)`, 0-255; 3 channels for RGB, 1 for grey. One of more pixels than Pillow
    takes for honest is refused."""
    path = pathlib.Path(path)
    message = "The photograph can't be read, it may be damaged or no image: {}."
    with explained(message, path), warnings.catch_warnings():
        # Pillow warns at half of what it refuses.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(path) as image:
                return to_array(ImageOps.exif_transpose(image), channels)
        except Image.DecompressionBombError as error:
            most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
            raise InputError(
                f"The photograph has more than {most:,} pixels."
            ) from error
        except FileNotFoundError as error:
            raise InputError("There is no such file.") from error


def to_array(image: Image.Image, channels: int) -> np.ndarray:
    if image.mode.startswith("I"):
        # Pillow clips 16-bit pixels to 255 instead of scaling them.
        pixels = (np.asarray(image).astype(np.uint32) >> 8).clip(0, 255)
        image = Image.fromarray(pixels.astype(np.uint8))
    if image.mode in ("P", "LA", "PA"):
        image = image.convert("RGBA")
    image = image.convert("L" if channels == 1 else "RGB")
    array = np.asarray(image)
    return array[..., None] if channels == 1 else array


def resize_and_crop(
    photo: np.ndarray, size: tuple[int, int], preprocessing: Preprocessing
) -> np.ndarray:
    """The evaluation crop of a set of weights, of and as uint8, `(height, width,
    channels)`; `size` is `(height, width)`. Source: tensorflow/tpu `preprocessing.py`,
    `_decode_and_center_crop`."""
    height, width = photo.shape[:2]
    box = (0, 0, width, height)
    if preprocessing.crop_padding is not None:
        # The largest window of the output's shape, less the padding.
        fraction = max(size) / (max(size) + preprocessing.crop_padding)
        unit = fraction * min(height / size[0], width / size[1])
        crop_height = max(1, int(unit * size[0]))
        crop_width = max(1, int(unit * size[1]))
        top = (height - crop_height + 1) // 2
        left = (width - crop_width + 1) // 2
        box = (left, top, left + crop_width, top + crop_height)
    image = Image.fromarray(photo[..., 0] if photo.shape[-1] == 1 else photo)
    image = image.resize(size[::-1], _FILTERS[preprocessing.interpolation], box)
    return np.asarray(image).reshape(*size, photo.shape[-1])


def batches(
    paths: Sequence[str | os.PathLike],
    input_shape: tuple[int, int, int],
    preprocessing: Preprocessing,
    batch_size: int = 32,
    name: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> Iterator[np.ndarray]:
    """Reads photographs in batches, `(batch, height, width, channels)`: uint8, 0-255,
    or normalised float32 for a model that doesn't do that itself.

    `input_shape` is `(height, width, channels)`, 1 or 3 channels. `name` stands in
    front of a bar that counts the photographs where there is a `progress`.
    """
    height, width, channels = input_shape
    if channels not in (1, 3):
        raise InputError(
            f"Photographs have 1 or 3 channels. Received: input_shape={input_shape}"
        )
    with bar(name=name, unit="image", total=len(paths), shown=progress) as done:
        for start in range(0, len(paths), batch_size):
            images = np.stack(
                [
                    resize_and_crop(
                        read_photo(path, channels), (height, width), preprocessing
                    )
                    for path in paths[start : start + batch_size]
                ]
            )
            yield images if preprocessing.included else preprocessing.normalized(images)
            done.update(len(images))


def read_labels(path: str | os.PathLike) -> tuple[list[pathlib.Path], np.ndarray]:
    """`(paths, int array)`: which class each photograph belongs to, by a CSV file with
    the columns `file`, relative to the CSV's folder, and `class_index`."""
    path = pathlib.Path(path)
    try:
        with (
            files.told("The labels can't be read", path),
            open(path, newline="", encoding="utf-8") as file,
        ):
            rows = list(csv.DictReader(file))
        paths = [path.parent / row["file"] for row in rows]
        labels = np.array([int(row["class_index"]) for row in rows])
    except InputError:
        raise
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(
            "Labels are a CSV file with the columns 'file' and 'class_index', an "
            f"integer. Received: {str(path)!r}"
        ) from error
    if not paths:
        raise InputError(f"The labels name no photograph. Received: {str(path)!r}")
    return paths, labels
