"""Which images can be decoded, and which need more than TensorFlow's decoders."""

import concurrent.futures
import contextlib
import dataclasses
import io
import logging
import pathlib
import warnings

import numpy as np
import tensorflow as tf
from PIL import Image
from PIL import ImageOps

from keras_effnet.data import cached
from keras_effnet.data import photos
from keras_effnet.errors import InputError
from keras_effnet.errors import first_line
from keras_effnet.progress import bar
from keras_effnet.progress import silent

NATIVE = 0
CONVERT = 1
BROKEN = 2

_NAMED = 5
_ORIENTATION = 0x0112


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What became of one image.

    `code` is `NATIVE`: TensorFlow decodes it; `CONVERT`: only Pillow decodes it as it
    should be seen (TIFF, WebP, GIF, CMYK, Exif orientation); or `BROKEN`, for a
    `reason`. `size` is in bytes.
    """

    code: int
    size: int
    reason: str = ""


def inspect(data):
    """Decodes one image to see whether that works. A JPEG is decoded by TensorFlow at
    an eighth of its size, which reads every byte at less than half the cost: about
    2,300 photographs of 256 pixels a second."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            upright = image.getexif().get(_ORIENTATION, 1) in (0, 1)
            if upright and _native(data, image.format, image.mode):
                return Verdict(NATIVE, len(data))
            image.load()
            return Verdict(CONVERT, len(data))
    # Pillow's plug-ins fail on damaged bytes in every way there is.
    except Exception as error:
        # The message names the buffer's address, of no use to anybody.
        unknown = isinstance(error, Image.UnidentifiedImageError)
        return Verdict(BROKEN, len(data), "no image" if unknown else first_line(error))


@contextlib.contextmanager
def pool():
    """Threads for `inspect`, with Pillow's warnings about odd files silenced; not in
    `inspect` itself: what is silenced holds for all threads at once."""
    with warnings.catch_warnings(), concurrent.futures.ThreadPoolExecutor() as threads:
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield threads


def _native(data, image_format, mode):
    try:
        # MPO is a JPEG with further pictures behind it.
        if image_format in ("JPEG", "MPO") and mode in ("L", "RGB"):
            tf.io.decode_jpeg(data, ratio=8)
        elif image_format == "PNG":
            tf.io.decode_png(data)
        else:
            return False
    except tf.errors.OpError:
        return False
    return True


def converted(data):
    """An image of any format that Pillow reads, as a BMP, which TensorFlow decodes: it
    loses nothing, and costs next to nothing to write and to read again."""
    with Image.open(io.BytesIO(data)) as image:
        image = ImageOps.exif_transpose(image)
        grey = image.mode in ("1", "L") or image.mode.startswith("I")
        array = photos.to_array(image, 1 if grey else 3)
    buffer = io.BytesIO()
    Image.fromarray(array[..., 0] if grey else array).save(buffer, "BMP")
    return buffer.getvalue()


def convert_where(flag, data):
    """`converted` in a graph, where a flag says so."""

    def convert():
        image = tf.numpy_function(converted, [data], tf.string, stateful=False)
        image.set_shape([])
        return image

    return tf.cond(flag, convert, lambda: data)


def scan(paths, progress=None, cache=None):
    """A `Verdict` of each image file, several decoded at a time; `cache` is a JSON file
    that keeps them by name, size and time of change."""
    paths = [pathlib.Path(path) for path in paths]
    known = _known(cache)
    found = {}

    def look(path):
        try:
            status = path.stat()
            stamp = [status.st_size, status.st_mtime_ns]
            entry = known.get(str(path))
            if entry and entry[:2] == stamp:
                return Verdict(entry[2], entry[0], entry[3])
            verdict = inspect(path.read_bytes())
        except OSError as error:
            return Verdict(BROKEN, 0, error.strerror or str(error))
        found[str(path)] = [*stamp, verdict.code, verdict.reason]
        return verdict

    (progress or silent)(f"checking {len(paths)} images")
    with pool() as threads:
        found_all = threads.map(look, paths)
        verdicts = list(bar(found_all, "checking", "image", len(paths), progress))
    if found:
        cached.write(cache, known | found)
    return verdicts


def _known(cache):
    try:
        return {
            name: [int(size), int(changed), int(code), str(reason)]
            for name, (size, changed, code, reason) in cached.read(cache).items()
        }
    except (ValueError, TypeError):
        return {}


def sound(names, verdicts, on_broken):
    """Which images to use, a bool array, after saying which not, by their `names`:
    `"skip"` leaves broken ones out with one warning through the logger `keras_effnet`;
    `"fail"` ends at them, and so does either where no others are left."""
    if on_broken not in ("skip", "fail"):
        raise InputError(
            f"`on_broken` must be 'skip' or 'fail'. Received: {on_broken!r}"
        )
    good = np.array([verdict.code != BROKEN for verdict in verdicts], bool)
    broken = np.flatnonzero(~good)
    if not len(broken):
        return good
    first = f"{names[broken[0]]} ({verdicts[broken[0]].reason})"
    if on_broken == "fail" or not good.any():
        raise InputError(
            f"{len(broken)} of {len(good)} images can't be decoded, the first is "
            f"{first}. on_broken='skip' leaves them out if there are others. "
            f"Received: on_broken={on_broken!r}"
        )
    listed = ", ".join(str(names[i]) for i in broken[:_NAMED])
    more = f" and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
    logging.getLogger("keras_effnet").warning(
        "%d of %d images can't be decoded and are left out: %s%s",
        len(broken),
        len(good),
        listed,
        more,
    )
    return good
