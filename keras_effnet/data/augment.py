"""A photograph becomes a training image or an evaluation image, in graph.

A training image is fixed by the photograph and one stateless seed, so that
training can stop anywhere and go on with the same images.

Training images aren't antialiased: the published accuracies were made with
`tf.image.resize` as it is by default. Evaluation images are where the caller says
so, as `keras_effnet.data.photos` (Pillow) always does; photographs about as large
as the input look the same in both.
"""

import tensorflow as tf

from keras_effnet.data import AUGMENTATIONS
from keras_effnet.data import image_ops
from keras_effnet.data.autoaugment import autoaugment
from keras_effnet.data.decode import decode
from keras_effnet.data.randaugment import randaugment
from keras_effnet.errors import check_one_of

_ASPECT_RATIOS = (3 / 4, 4 / 3)
_ATTEMPTS = 10


def training_image(image, seed, stage, recipe, preprocessing):
    """One augmented image of a `Stage` of a `Recipe`: uint8, `(image_size, image_size,
    channels)`, 0-255.

    `image` is an encoded photograph (scalar string: JPEG, PNG or BMP) or uint8 pixels,
    `(height, width, channels)`; `seed`, int, `(2,)`, alone decides what is random. Of
    the `Preprocessing` the interpolation is used, and its crop where the recipe has
    none of its own.
    """
    check_one_of("augmentation", recipe.augmentation, AUGMENTATIONS)
    level = AUGMENTATIONS.index(recipe.augmentation)
    size = (stage.image_size, stage.image_size)
    seeds = tf.random.experimental.stateless_split(seed, 5)

    def window(shape):
        return random_window(shape, seeds[0], recipe.crop_area)

    if level < AUGMENTATIONS.index("crop"):
        image = evaluation_image(image, size, preprocessing, recipe.channels)
    else:
        image = _read(image, window, recipe.channels)
        image = _resized(image, size, preprocessing.interpolation)
    if recipe.flip and level >= AUGMENTATIONS.index("flip"):
        image = flip(image, seeds[1])
    if recipe.augmentation == "randaugment":
        image = randaugment(
            image, seeds[2], stage.randaugment_magnitude, recipe.randaugment_layers
        )
    elif recipe.augmentation == "autoaugment":
        image = autoaugment(image, seeds[2])
    if recipe.colour:
        image = colour_jitter(image, seeds[3], recipe.colour)
    if recipe.cutout:
        centre = tf.random.stateless_uniform([2], seeds[4])
        image = image_ops.cutout(image, recipe.cutout, centre)
    return image


def evaluation_image(image, size, preprocessing, channels=3, antialias=False):
    """The evaluation crop of a set of weights: uint8, `(*size, channels)`, 0-255.

    `image` is as for `training_image`, `size` `(height, width)`. With `antialias`
    photographs are smoothed where they shrink, as
    `keras_effnet.data.photos.resize_and_crop` does; Google's published accuracies were
    made without. Weights with a `crop_fraction` always are: theirs were made with
    Pillow.
    """
    if preprocessing.crop_fraction is None:
        image = _read(
            image, lambda shape: evaluation_window(shape, size, preprocessing), channels
        )
        return _resized(image, size, preprocessing.interpolation, antialias)
    # All of it: the window begins between two pixels, and takes in those around it.
    image = _read(image, lambda shape: [0, 0, shape[0], shape[1]], channels)
    return crop_as_pillow(image, size, preprocessing)


def crop_as_pillow(image, size, preprocessing):
    """What `keras_effnet.data.photos.resize_and_crop` makes of uint8 pixels, to the
    last bit or so: one pass for each direction, with rounding between."""
    window = evaluation_window(tf.shape(image), size, preprocessing)
    top, left, height, width = tf.unstack(window, 4)
    kernel = {"bicubic": "keyscubic", "bilinear": "triangle"}
    kernel = kernel[preprocessing.interpolation]
    rows = tf.shape(image)[0]
    image = _pass(image, (rows, size[1]), (0, left), (rows, width), kernel)
    image = _pass(image, size, (top, 0), (height, size[1]), kernel)
    return tf.ensure_shape(image, [*size, image.shape[-1]])


def _pass(pixels, size, corner, window, kernel):
    """A window resized; its edges take in what lies around it, as in Pillow."""
    corner, window = (
        tf.stack([tf.cast(side, tf.float64) for side in pair])
        for pair in (corner, window)
    )
    scale = tf.cast(size, tf.float64) / window
    resized = tf.raw_ops.ScaleAndTranslate(
        images=pixels[None],
        size=size,
        scale=tf.cast(scale, tf.float32),
        translation=tf.cast(-corner * scale, tf.float32),
        kernel_type=kernel,
        antialias=True,
    )[0]
    return tf.cast(tf.clip_by_value(tf.floor(resized + 0.5), 0, 255), tf.uint8)


def random_window(shape, seed, smallest):
    """A window of random size, shape and place (tensorflow/tpu, google/automl): int32,
    top, left, height, width.

    Takes the photograph's shape and the smallest share of its area, above 0, up to 1.
    (The code of V1 has .08, but asks besides that a tenth of the photograph is seen: in
    effect .1.) Aspect ratios are between 3/4 and 4/3; a photograph so long that ten
    attempts find none gives its largest square in the middle.
    """
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        shape,
        tf.zeros([1, 0, 4]),
        seed,
        min_object_covered=0.0,
        aspect_ratio_range=_ASPECT_RATIOS,
        area_range=(smallest, 1.0),
        max_attempts=_ATTEMPTS,
        use_image_if_no_bounding_boxes=True,
    )
    window = tf.concat([begin[:2], size[:2]], axis=0)
    # After the last attempt the operation returns the whole photograph.
    short = tf.reduce_min(shape[:2])
    failed = 3 * tf.reduce_max(size[:2]) > 4 * short + 4
    failed &= tf.reduce_all(size[:2] == shape[:2])
    square = tf.concat([(shape[:2] - short) // 2, [short, short]], axis=0)
    return tf.where(failed, square, window)


def evaluation_window(shape, size, preprocessing):
    """The part of a photograph that the evaluation crop of `(height, width)` keeps, the
    same as `Preprocessing.box`: top, left, height, width; int32, or, where there is a
    `crop_fraction`, float64."""
    # In integers: TensorFlow reorders a graph's products and quotients of floats,
    # and where the exact result is whole their last bit decides a pixel.
    whole = tf.cast(shape[:2], tf.int64)
    if preprocessing.whole:
        return tf.cast(tf.concat([tf.zeros_like(whole), whole], axis=0), tf.int32)
    inner = tf.constant(size, tf.int64)
    target = preprocessing.resized(size)
    is_tall = whole[0] * target[1] > whole[1] * target[0]
    unit = tf.where(is_tall, whole[1], whole[0])
    per = tf.where(is_tall, *(tf.constant(target[side], tf.int64) for side in (1, 0)))
    if preprocessing.crop_fraction is not None:
        resized = whole * per // unit
        spare = resized - inner
        corner = spare // 2 + tf.cast(spare % 4 == 3, tf.int64)  # Python's rounding
        edges = tf.stack([corner, inner]) * whole
        return tf.reshape(edges / resized, [4])
    longest = max(size)
    per *= longest + preprocessing.crop_padding
    kept = tf.maximum(unit * longest * inner // per, 1)
    return tf.cast(tf.concat([(whole - kept + 1) // 2, kept], axis=0), tf.int32)


def flip(image, seed):
    """Mirrors left and right half of the images."""
    mirrored = tf.random.stateless_uniform([], seed) < 0.5
    result = tf.cond(mirrored, lambda: tf.reverse(image, [1]), lambda: image)
    return tf.ensure_shape(result, image.shape)


def colour_jitter(image, seed, strength):
    """Changes brightness, contrast and saturation of a uint8 image, in this order, by
    factors uniform between 1 - strength and 1 + strength, which is 0 to 1."""
    factors = tf.random.stateless_uniform([3], seed, 1 - strength, 1 + strength)
    image = image_ops.brightness(image, factors[0])
    image = image_ops.contrast(image, factors[1])
    return image_ops.color(image, factors[2])


def _read(image, window, channels):
    """The pixels inside `window(shape)`; of a JPEG no others are decoded."""
    image = tf.convert_to_tensor(image)
    if image.dtype != tf.string:
        pixels = tf.ensure_shape(decode(image, channels), [None, None, channels])
        return _sliced(pixels, window)

    def of_jpeg():
        box = window(tf.image.extract_jpeg_shape(image))
        return tf.image.decode_and_crop_jpeg(image, box, channels)

    def of_another():
        return _sliced(decode(image, channels), window)

    pixels = tf.cond(tf.io.is_jpeg(image), of_jpeg, of_another)
    return tf.ensure_shape(pixels, [None, None, channels])


def _sliced(pixels, window):
    top, left, height, width = tf.unstack(window(tf.shape(pixels)))
    return pixels[top : top + height, left : left + width]


def _resized(image, size, interpolation, antialias=False):
    image = tf.image.resize(image, size, interpolation, antialias=antialias)
    if interpolation != "bilinear":
        image = tf.clip_by_value(image, 0.0, 255.0)
    return tf.cast(image + 0.5, tf.uint8)
