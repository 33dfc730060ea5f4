"""RandAugment (Cubuk et al. 2019): as many operations, drawn, as one strength.

Operations, levels and arguments are those of google/automl
`efficientnetv2/autoaugment.py`: a level of 10 is the full strength of AutoAugment,
and RandAugment's magnitudes go on to 30.
"""

import functools

import tensorflow as tf

from keras_effnet.data import image_ops

# In the official order. Each takes an image, an argument and the place of a hole.
OPERATIONS = {
    "AutoContrast": lambda image, _, __: image_ops.autocontrast(image),
    "Equalize": lambda image, _, __: image_ops.equalize(image),
    "Invert": lambda image, _, __: image_ops.invert(image),
    "Rotate": lambda image, value, _: image_ops.rotate(image, value),
    "Posterize": lambda image, value, _: image_ops.posterize(image, value),
    "Solarize": lambda image, value, _: image_ops.solarize(image, value),
    "Color": lambda image, value, _: image_ops.color(image, value),
    "Contrast": lambda image, value, _: image_ops.contrast(image, value),
    "Brightness": lambda image, value, _: image_ops.brightness(image, value),
    "Sharpness": lambda image, value, _: image_ops.sharpness(image, value),
    "ShearX": lambda image, value, _: image_ops.shear_x(image, value),
    "ShearY": lambda image, value, _: image_ops.shear_y(image, value),
    "TranslateX": lambda image, value, _: image_ops.translate_x(image, value),
    "TranslateY": lambda image, value, _: image_ops.translate_y(image, value),
    "Cutout": image_ops.cutout,
    "SolarizeAdd": lambda image, value, _: image_ops.solarize_add(image, value),
}
NAMES = tuple(OPERATIONS)
_SIGNED = ("Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY")
_NONE = ("AutoContrast", "Equalize", "Invert")
_ENHANCE = ("Color", "Contrast", "Brightness", "Sharpness")


def argument(name, level, cutout=40, translate=100):
    """What an operation of `image_ops` is given at a level.

    Args:
        name: One of `NAMES`.
        level: 0 to 30; 10 is the full strength of AutoAugment.
        cutout: Half the side of Cutout's square at level 10, in pixels.
        translate: The shift at level 10, in pixels.

    Returns:
        A float: degrees, bits, a threshold, a factor, pixels; 0 for operations
        without an argument. Turns, shears and shifts have a random sign besides.
    """
    share = level / 10
    if name in _NONE:
        return 0.0
    if name in _ENHANCE:
        return share * 1.8 + 0.1
    return {
        "Rotate": share * 30,
        "Posterize": float(min(8, int(share * 4))),
        "Solarize": float(int(share * 256)),
        "SolarizeAdd": float(int(share * 110)),
        "ShearX": share * 0.3,
        "ShearY": share * 0.3,
        "TranslateX": share * translate,
        "TranslateY": share * translate,
        "Cutout": 2.0 * int(share * cutout),
    }[name]


def randaugment(image, seed, magnitude, layers=2):
    """Applies drawn operations one after the other.

    Args:
        image: uint8, `(height, width, channels)`, static shape.
        seed: Int tensor, `(2,)`.
        magnitude: 0 to 30 (M in the paper), the level of every operation.
        layers: How many operations (N in the paper).

    Returns:
        A uint8 image of the same shape.
    """
    arguments = tf.constant([argument(name, magnitude) for name in NAMES], tf.float32)
    draws = tf.random.stateless_uniform([layers, 4], seed)
    for layer in range(layers):
        index = tf.cast(draws[layer, 0] * len(NAMES), tf.int32)
        image = apply(image, index, arguments[index], draws[layer, 1:])
    return image


def apply(image, index, value, draws):
    """Applies one operation to an image; no other one runs.

    Args:
        image: uint8, `(height, width, channels)`, static shape.
        index: Int scalar, of `NAMES`; anything else does nothing.
        value: Float scalar, its argument without the sign.
        draws: Float tensor, `(3,)`, uniform between 0 and 1: the sign, and the
            place of Cutout's square.
    """
    sign = tf.where(draws[0] < 0.5, -1.0, 1.0)
    # `tf.switch_case` becomes a graph in which every operation of every branch
    # is visited; the bare operation calls one function.
    (result,) = tf.raw_ops.StatelessCase(
        branch_index=index,
        input=[image, value, value * sign, draws[1:]],
        Tout=[tf.uint8],
        branches=_branches(tuple(image.shape)),
        output_shapes=[image.shape],
    )
    return tf.ensure_shape(result, image.shape)


@functools.cache
def _branches(shape):
    specs = [
        tf.TensorSpec(of, dtype)
        for of, dtype in zip(
            (shape, [], [], [2]), (tf.uint8, *[tf.float32] * 3), strict=True
        )
    ]

    def traced(operation, is_signed):
        def branch(image, value, signed, centre):
            return operation(image, signed if is_signed else value, centre)

        return tf.function(branch, autograph=False).get_concrete_function(*specs)

    # Outside the graph that is being built, so that it may outlive it.
    with tf.init_scope():
        branches = [traced(OPERATIONS[name], name in _SIGNED) for name in NAMES]
        # The last branch stands for every other index.
        return [*branches, traced(lambda image, _, __: tf.identity(image), False)]
