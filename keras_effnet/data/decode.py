"""From encoded bytes to pixels, in a TensorFlow graph."""

import tensorflow as tf


def decode(image, channels=3):
    """An image of a `Source` as uint8, `(height, width, channels)`, 0-255; alpha is
    dropped.

    JPEG, PNG (palettes and 16 bits too) and the BMP that sources turn every other
    format into are TensorFlow's own; none needs Python. A uint8 array, `(height, width,
    any)`, is only given its channels.
    """
    if image.dtype != tf.string:
        return _with_channels(image, channels)
    if channels == 3:
        pixels = tf.io.decode_image(image, 3, expand_animations=False)
    else:
        # TensorFlow decodes no BMP to grey.
        pixels = tf.cond(
            tf.strings.substr(image, 0, 2) == b"BM",
            lambda: _with_channels(tf.io.decode_bmp(image), channels),
            lambda: tf.io.decode_image(image, channels, expand_animations=False),
        )
    pixels.set_shape([None, None, channels])
    return pixels


def _with_channels(pixels, channels):
    def from_grey():
        grey = pixels[..., :1]
        return tf.image.grayscale_to_rgb(grey) if channels == 3 else grey

    def from_colour():
        colour = pixels[..., :3]
        return colour if channels == 3 else tf.image.rgb_to_grayscale(colour)

    # 1 is grey, 2 is grey and alpha, 3 is colour, 4 is colour and alpha.
    if pixels.shape[-1] is not None:
        return from_grey() if pixels.shape[-1] < 3 else from_colour()
    return tf.cond(tf.shape(pixels)[-1] < 3, from_grey, from_colour)
