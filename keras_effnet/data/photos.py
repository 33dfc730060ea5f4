"""Photographs: opened, in one place for all, looked at, cropped and resized."""

import concurrent.futures
import contextlib
import functools
import io
import os
import pathlib
import warnings
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence

import numpy as np
from PIL import Image

from keras_effnet import files
from keras_effnet import made_with
from keras_effnet.errors import InputError
from keras_effnet.errors import check_one_of
from keras_effnet.errors import explained
from keras_effnet.errors import first_line
from keras_effnet.notes import note
from keras_effnet.progress import bar
from keras_effnet.rule import Preprocessing

# All else that Pillow opens is no photograph, and some of it starts programs.
_FORMATS = [
    "JPEG",
    "MPO",
    "PNG",
    "WEBP",
    "BMP",
    "DIB",
    "GIF",
    "TIFF",
    "AVIF",
    "HEIF",
    "JPEG2000",
    "PPM",
]
_FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}
_ORIENTATION = 0x0112
# Larger than any photograph that Pillow takes for an honest one.
_MOST_BYTES = 2**30
_STRIP = 256
_NAMED = 5


@functools.cache
def formats() -> tuple[str, ...]:
    """The names of the formats that are read, those of installed plug-ins too."""
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


@functools.cache
def suffixes() -> tuple[str, ...]:
    """What photographs' names end in, lower case, a tuple."""
    known = Image.registered_extensions().items()
    return tuple(suffix for suffix, name in known if name in formats())


def read_file(path: str | os.PathLike) -> bytes:
    """The bytes of a photograph's file; a pipe, a device and a file larger than any
    photograph are an `InputError`."""
    return files.read_bytes(path, _MOST_BYTES)


def opened(data: bytes) -> Image.Image:
    """A Pillow image of encoded bytes, which are those of one of `formats()`."""
    try:
        return Image.open(io.BytesIO(data), formats=formats())
    except Image.UnidentifiedImageError as error:
        raise ValueError("no image") from error  # its own tells the buffer's address


def load(image: Image.Image) -> None:
    """Has Pillow decode an image; one of 32-bit pixels, of which nothing tells what is
    white, is refused."""
    # Pillow has no other mode for 16 bits of some formats, and scales them.
    if image.mode == "F" or (image.mode == "I" and image.format == "TIFF"):
        raise ValueError("its pixels have 32 bits, and nothing tells which is white")
    image.load()


def read_photo(path: str | os.PathLike, channels: int = 3) -> np.ndarray:
    """One photograph, upright, whatever its colour mode: uint8, `(height, width,
    channels)`, 0-255; 3 channels for RGB, 1 for grey. One of more pixels than Pillow
    takes for honest is refused."""
    with explained("The photograph can't be read: {}.", path), silenced():
        try:
            with opened(read_file(path)) as image:
                return to_array(image, channels)
        except Image.DecompressionBombError as error:
            most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
            raise InputError(
                f"The photograph has more than {most:,} pixels."
            ) from error
        except FileNotFoundError as error:
            raise InputError("There is no such file.") from error


def orientation(image: Image.Image) -> int:
    """How the camera was held, 1 to 8; 1 where EXIF is silent or damaged. Nothing else
    of it is read: `ImageOps.exif_transpose` writes all of it anew."""
    if image.format == "PNG":
        # EXIF may follow the pixels, whose damage must not be taken for its.
        load(image)
    # Pillow's reader of EXIF fails on damage in every way there is.
    with contextlib.suppress(Exception):
        found = image.getexif().get(_ORIENTATION)
        return found if isinstance(found, int) and 1 <= found <= 8 else 1
    return 1


def to_array(image: Image.Image, channels: int) -> np.ndarray:
    """The pixels of a Pillow image, upright: uint8, `(height, width, channels)`. Taken
    in strips: several large photographs at a time would fill the memory else."""
    load(image)
    width, height = image.size
    array = np.empty((height, width, channels), np.uint8)
    for top in range(0, height, _STRIP):
        strip = image.crop((0, top, width, min(top + _STRIP, height)))
        if strip.mode.startswith("I"):
            # Pillow clips 16-bit pixels to 255 instead of scaling them.
            high = np.asarray(strip).clip(0, 0xFFFF) >> 8
            strip = Image.fromarray(high.astype(np.uint8))
        if strip.mode in ("P", "LA", "PA"):
            strip = strip.convert("RGBA")
        strip = strip.convert("L" if channels == 1 else "RGB")
        rows = array[top : top + _STRIP]
        rows[:] = np.asarray(strip).reshape(rows.shape)
    turned = orientation(image)
    if turned in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if turned in (3, 4, 7, 8):
        array = array[::-1]
    if turned in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def fault(path: str | os.PathLike) -> str:
    """Why a photograph can't be read; an empty string where it can. A JPEG is decoded
    at an eighth of its size, which reads every byte of it."""
    try:
        with opened(read_file(path)) as image:
            image.draft(None, (image.width // 8, image.height // 8))
            load(image)
    except Exception as error:
        return reason(error)
    return ""


def reason(error: Exception) -> str:
    """What Pillow or the file system says of a photograph that can't be read."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return first_line(error)


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Without Pillow's warnings about odd files."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


@contextlib.contextmanager
def pool() -> Iterator[concurrent.futures.ThreadPoolExecutor]:
    """Threads that look at images, with Pillow's warnings about odd files silenced; not
    in each look: what is silenced holds for all threads at once."""
    with silenced(), concurrent.futures.ThreadPoolExecutor() as threads:
        yield threads


def readable(
    paths: Sequence[pathlib.Path],
    labels: np.ndarray | None = None,
    on_broken: str = "skip",
    progress: Callable[[str], None] | None = None,
) -> tuple[list[pathlib.Path], np.ndarray | None]:
    """`(paths, labels)` of the photographs that can be read, found out before the work
    on them begins; `on_broken` as for `sound`."""
    check_one_of("on_broken", on_broken, ("skip", "fail"))
    with pool() as threads:
        looked = threads.map(fault, paths)
        faults = list(bar(looked, "checking", "image", len(paths), progress))
    good = sound(paths, faults, on_broken)
    kept = [path for path, is_good in zip(paths, good, strict=True) if is_good]
    return kept, None if labels is None else labels[good]


def digests(
    paths: Sequence[pathlib.Path], progress: Callable[[str], None] | None = None
) -> np.ndarray:
    """The digest of each photograph, `keras_effnet.made_with`'s, uint64; 0 of those
    that can't be read, which is told elsewhere."""

    def look(path: pathlib.Path) -> int:
        try:
            return made_with.digest(read_file(path))
        except (OSError, InputError):
            return 0

    with pool() as threads:
        found = threads.map(look, paths)
        looked = bar(found, "recognising", "image", len(paths), progress)
        return np.fromiter(looked, np.uint64, len(paths))


def sound(
    names: Sequence | np.ndarray, faults: Sequence[str], on_broken: str
) -> np.ndarray:
    """Which images to use, a bool array; `faults` has an empty string for those that
    can be decoded. `on_broken="skip"` leaves the others out, in one note that counts
    and names them, `"fail"` ends at them, and so does either where all are broken."""
    check_one_of("on_broken", on_broken, ("skip", "fail"))
    good = np.array([not fault for fault in faults], bool)
    broken = np.flatnonzero(~good)
    if not len(broken):
        return good
    first = f"{names[broken[0]]} ({faults[broken[0]]})"
    if on_broken == "fail" or not good.any():
        raise InputError(
            f"{len(broken)} of {len(good)} images can't be decoded, the first is "
            f"{first}. `on_broken` 'skip' leaves them out if there are others. "
            f"Received: {on_broken!r}"
        )
    listed = ", ".join(str(names[i]) for i in broken[:_NAMED])
    more = f" and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
    note(
        f"{len(broken)} of {len(good)} images can't be decoded and are left out: "
        f"{listed}{more}"
    )
    return good


def resize_and_crop(
    photo: np.ndarray, size: tuple[int, int], preprocessing: Preprocessing
) -> np.ndarray:
    """The evaluation crop of a set of weights, of and as uint8, `(height, width,
    channels)`; `size` is `(height, width)`."""
    box = preprocessing.box(photo.shape[0], photo.shape[1], size)
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
