"""Which images can be decoded, and which need more than TensorFlow's decoders."""

import dataclasses
import io
import pathlib

import tensorflow as tf
from PIL import Image

from keras_effnet import made_with
from keras_effnet.data import cached
from keras_effnet.data import photos
from keras_effnet.errors import InputError
from keras_effnet.progress import bar
from keras_effnet.progress import silent

NATIVE = 0
CONVERT = 1
BROKEN = 2
CODES = (NATIVE, CONVERT, BROKEN)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What became of one image.

    `code` is `NATIVE`: TensorFlow decodes it; `CONVERT`: only Pillow decodes it as it
    should be seen (TIFF, WebP, GIF, CMYK, Exif orientation); or `BROKEN`, for a
    `reason`. `size` is in bytes; `digest` is `made_with.digest`'s, or 0.
    """

    code: int
    size: int
    reason: str = ""
    digest: int = 0


def inspect(data):
    """Decodes one image to see whether that works. A JPEG is decoded by TensorFlow at
    an eighth of its size, which reads every byte at less than half the cost: about
    2,300 photographs of 256 pixels a second."""
    try:
        with photos.opened(data) as image:
            upright = photos.orientation(image) == 1
            if upright and _native(data, image.format, image.mode):
                return Verdict(NATIVE, len(data), digest=made_with.digest(data))
            photos.load(image)
            return Verdict(CONVERT, len(data), digest=made_with.digest(data))
    # Pillow's plug-ins fail on damaged bytes in every way there is.
    except Exception as error:
        return Verdict(BROKEN, len(data), photos.reason(error))


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
    with photos.silenced(), photos.opened(data) as image:
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
    known = cached.read(cache, _known) or {}
    found = {}

    def look(path):
        try:
            status = path.stat()
            stamp = [status.st_size, status.st_mtime_ns]
            entry = known.get(str(path))
            if entry and entry[:2] == stamp:
                return entry[2]
            verdict = inspect(photos.read_file(path))
        except (OSError, InputError) as error:
            return Verdict(BROKEN, 0, photos.reason(error))
        found[str(path)] = [*stamp, verdict]
        return verdict

    (progress or silent)(f"checking {len(paths)} images")
    with photos.pool() as threads:
        found_all = threads.map(look, paths)
        verdicts = list(bar(found_all, "checking", "image", len(paths), progress))
    if found:
        rows = (known | found).items()
        content = {k: [*stamp, v.code, v.reason, v.digest] for k, (*stamp, v) in rows}
        cached.write(cache, content)
    return verdicts


def _known(content):
    return {
        name: [int(size), int(changed), kept(code, size, reason, digest)]
        for name, (size, changed, code, reason, digest) in content.items()
    }


def kept(code, size, reason, digest):
    """The verdict that a cache holds; a `ValueError` for one that can be none."""
    if (code == BROKEN) != bool(reason) or not 0 <= digest < 2**64:
        raise ValueError
    return Verdict(CODES[CODES.index(code)], int(size), str(reason), int(digest))
