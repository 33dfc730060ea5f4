"""The image operations of AutoAugment and RandAugment, as TensorFlow graphs.

Each is defined as in Pillow, where it has one, after google/automl
`efficientnetv2/autoaugment.py`, and takes and returns a uint8 image, `(height,
width, channels)`, 0-255, whose shape is static. Arguments may be tensors.

Selecting and looking up cost ten times as much as arithmetic on whole rows in
TensorFlow's own kernels, and so does broadcasting along three channels: hence bit
masks instead of `tf.where`, and rows of `width * channels` values; or XLA, where an
operation can't do without, which makes one loop of it.
"""

import tensorflow as tf

_fused = tf.function(jit_compile=True, autograph=False)

BLANK = 128  # what no pixel of the photograph covers
_LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, as in Pillow's mode L


def autocontrast(image):
    """Stretches each channel so that its extremes become 0 and 255."""
    low = _of_channels(tf.reduce_min, image)
    width = _of_channels(tf.reduce_max, image) - low
    flat = width == 0.0
    scale = tf.where(flat, 1.0, 255.0 / tf.where(flat, 1.0, width))
    low = tf.where(flat, 0.0, low)
    rows = _rows(tf.cast(image, tf.float32)) - _repeated(low, image)
    # Exact quotients are 1/255 apart; without the thousandth 255 becomes 254.
    rows = rows * _repeated(scale, image) + 0.001
    return tf.reshape(tf.cast(rows, tf.uint8), image.shape)


def equalize(image):
    """Makes the histogram of each channel as even as a table of values can."""
    channels = image.shape[-1]
    offset = _repeated(tf.range(channels) * 256, image)
    histogram = tf.raw_ops.Bincount(
        arr=_rows(tf.cast(image, tf.int32)) + offset,
        size=256 * channels,
        weights=tf.constant([], tf.int32),
    )
    histogram = tf.reshape(histogram, [channels, 256])
    below = tf.cumsum(histogram, axis=1, exclusive=True)
    total = image.shape[0] * image.shape[1]
    is_last = (below + histogram == total) & (histogram > 0)
    brightest = tf.reduce_sum(tf.where(is_last, histogram, 0), axis=1, keepdims=True)
    step = (total - brightest) // 255
    table = tf.minimum((below + step // 2) // tf.maximum(step, 1), 255)
    table = tf.where(step == 0, tf.range(256)[None], table)
    return _looked_up(image, tf.cast(table, tf.uint8))


def invert(image):
    """Negative: 255 less each value."""
    return tf.bitwise.invert(image)


def posterize(image, bits):
    """Keeps the `bits` highest bits, 0 to 8, of each value."""
    bits = tf.clip_by_value(tf.cast(bits, tf.int32), 0, 8)
    kept = tf.bitwise.left_shift(255, 8 - bits)
    return tf.bitwise.bitwise_and(image, tf.cast(kept % 256, tf.uint8))


def solarize(image, threshold):
    """Inverts values from `threshold` on; above 255 it changes nothing."""
    threshold = tf.cast(threshold, tf.int32)
    is_bright = image >= tf.cast(tf.minimum(threshold, 255), tf.uint8)
    inverted = tf.where(threshold > 255, 0, 255)
    mask = tf.cast(is_bright, tf.uint8) * tf.cast(inverted, tf.uint8)
    return tf.bitwise.bitwise_xor(image, mask)


def solarize_add(image, addition):
    """Adds `addition`, 0 or more, to values below 128, up to 255."""
    addition = tf.cast(tf.clip_by_value(tf.cast(addition, tf.int32), 0, 255), tf.uint8)
    added = tf.minimum(image, 255 - addition) + addition
    is_bright = tf.bitwise.right_shift(image, tf.constant(7, tf.uint8))
    return added - is_bright * (added - image)


def color(image, factor):
    """Blends with its grey version: 0 is grey, 1 the image, above more colour.

    The grey is not rounded in between as in Pillow, so that one matrix does it
    all. An image of one channel stays as it is.
    """
    if image.shape[-1] == 1:
        return image
    factor = tf.cast(factor, tf.float32)
    grey = tf.tile(tf.constant(_LUMA)[:, None], [1, 3])
    matrix = grey + factor * (tf.eye(3) - grey)
    pixels = tf.reshape(tf.cast(image, tf.float32), [-1, 3])
    return tf.reshape(_uint8(tf.matmul(pixels, matrix)), image.shape)


def contrast(image, factor):
    """Blends with a flat image of its mean luma: 0 is flat, 1 the image.

    Pillow's definition. The official code blends with a flat image of the number
    of pixels over 256 instead: 196 at 224 pixels whatever the photograph, 255
    from 256 on.
    """
    pixels = tf.cast(image, tf.float32)
    mean = _of_channels(tf.reduce_mean, pixels)
    if image.shape[-1] == 3:
        mean = tf.reduce_sum(mean * _LUMA)
    mean = tf.floor(tf.reshape(mean, []) + 0.5)
    factor = tf.cast(factor, tf.float32)
    return _uint8(pixels * factor + mean * (1.0 - factor))


def brightness(image, factor):
    """Blends with black: 0 is black, 1 the image, above brighter."""
    return _uint8(tf.cast(image, tf.float32) * tf.cast(factor, tf.float32))


def sharpness(image, factor):
    """Blends with a smoothed version: 0 is smooth, 1 the image, above sharper.

    The kernel is Pillow's SMOOTH: 5 in the middle, 1 around, over 13. The
    outermost pixels stay as they are.
    """
    if min(image.shape[:2]) < 3:
        return image
    wide = tf.cast(image, tf.int16)
    inner = wide[1:-1, 1:-1]
    sums = wide[:-2] + wide[1:-1] + wide[2:]
    sums = sums[:, :-2] + sums[:, 1:-1] + sums[:, 2:] + inner * 4
    smooth = tf.floor(tf.cast(sums, tf.float32) * (1 / 13) + 0.5)
    factor = tf.cast(factor, tf.float32)
    blended = _uint8(smooth + factor * (tf.cast(inner, tf.float32) - smooth))
    blended = tf.concat([image[1:-1, :1], blended, image[1:-1, -1:]], axis=1)
    return tf.concat([image[:1], blended, image[-1:]], axis=0)


def rotate(image, degrees):
    """Turns counterclockwise about the middle, nearest pixels."""
    angle = tf.cast(degrees, tf.float32) * (3.14159265358979 / 180)
    cos, sin = tf.cos(angle), tf.sin(angle)
    y, x = (image.shape[0] - 1) / 2, (image.shape[1] - 1) / 2
    return _projected(
        image, [cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y]
    )


def shear_x(image, level):
    """Shifts each row by `level` times its number, nearest pixels."""
    return _projected(image, [1.0, level, 0.0, 0.0, 1.0, 0.0])


def shear_y(image, level):
    """Shifts each column by `level` times its number, nearest pixels."""
    return _projected(image, [1.0, 0.0, 0.0, level, 1.0, 0.0])


def translate(image, pixels, axis):
    """Shifts downwards (axis 0) or to the right (1), rounded; the other way below 0."""
    length = image.shape[axis]
    shift = tf.cast(tf.round(tf.cast(pixels, tf.float32)), tf.int32)
    shift = tf.clip_by_value(shift, -length, length)
    before, after = tf.maximum(shift, 0), tf.maximum(-shift, 0)
    if axis == 0:
        rest = image[after : length - before]
    else:
        rest = image[:, after : length - before]
    padding = [[0, 0]] * 3
    padding[axis] = [before, after]
    return tf.reshape(tf.pad(rest, padding, constant_values=_blank()), image.shape)


@_fused
def cutout(image, side, centre):
    """Blanks a square (DeVries and Taylor 2017); what lies outside is cut off. `side`
    is in pixels, `centre` `(2,)`, shares of height and width, in [0, 1)."""
    side = tf.cast(side, tf.int32)
    size = tf.constant(image.shape.as_list()[:2], tf.float32)
    start = tf.unstack(tf.cast(centre * size, tf.int32) - side // 2)
    rows, columns = (
        (place >= first) & (place < first + side)
        for place, first in zip(_positions(image, tf.int32), start, strict=True)
    )
    return tf.where(rows & columns, _blank(), image)


def _blank():
    return tf.constant(BLANK, tf.uint8)


def _uint8(pixels):
    # Pillow cuts the fraction off.
    return tf.cast(tf.clip_by_value(pixels, 0.0, 255.0), tf.uint8)


def _rows(image):
    height, width, channels = image.shape
    return tf.reshape(image, [height, width * channels])


def _repeated(values, image):
    return tf.tile(values, [image.shape[1]])


def _of_channels(reduce, image):
    return tf.cast(reduce(image, axis=(0, 1)), tf.float32)


def _projected(image, matrix):
    return _nearest(image, [tf.cast(value, tf.float32) for value in matrix])


@_fused
def _nearest(image, matrix):
    height, width, channels = image.shape
    y, x = _positions(image, tf.float32)
    x, y = (
        tf.cast(tf.floor(a * x + b * y + c + 0.5), tf.int32)[..., 0]
        for a, b, c in (matrix[:3], matrix[3:])
    )
    is_inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    place = tf.where(is_inside, y * width + x, 0)
    found = tf.gather(tf.reshape(image, [height * width, channels]), place)
    return tf.where(is_inside[..., None], found, _blank())


@_fused
def _looked_up(image, table):
    """`table` has 256 values for each channel."""
    offset = tf.range(image.shape[-1]) * 256
    return tf.gather(tf.reshape(table, [-1]), tf.cast(image, tf.int32) + offset)


def _positions(image, dtype):
    """Row and column numbers, `(height, 1, 1)` and `(1, width, 1)`."""
    height, width, _ = image.shape
    return tf.range(height, dtype=dtype)[:, None, None], tf.range(width, dtype=dtype)[
        None, :, None
    ]
