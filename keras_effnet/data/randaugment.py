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
    "TranslateX": lambda image, value, _: image_ops.translate(image, value, 1),
    "TranslateY": lambda image, value, _: image_ops.translate(image, value, 0),
    "Cutout": image_ops.cutout,
    "SolarizeAdd": lambda image, value, _: image_ops.solarize_add(image, value),
}
NAMES = tuple(OPERATIONS)
_SIGNED = ("Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY")
_NONE = ("AutoContrast", "Equalize", "Invert")
_ENHANCE = ("Color", "Contrast", "Brightness", "Sharpness")


def argument(name, level, cutout=40, translate=100):
    """What an operation of `image_ops` is given at a level, 0 to 30: degrees, bits, a
    threshold, a factor, pixels; 0.0 where there is none. `cutout`, half the side of its
    square, and `translate` are in pixels at level 10. Turns, shears and shifts have a
    random sign besides."""
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
    """Applies as many drawn operations as `layers` (N in the paper), each at the level
    `magnitude` (M), 0 to 30, to a uint8 image of static shape."""
    arguments = tf.constant([argument(name, magnitude) for name in NAMES], tf.float32)
    draws = tf.random.stateless_uniform([layers, 4], seed)
    for layer in range(layers):
        index = tf.cast(draws[layer, 0] * len(NAMES), tf.int32)
        image = apply(image, index, arguments[index], draws[layer, 1:])
    return image


def apply(image, index, value, draws):
    """Applies one operation, the `index`th of `NAMES`, to a uint8 image of static
    shape; no other one runs, and none for any other index.

    `value` is the argument without the sign; `draws`, `(3,)`, uniform in 0 to 1, are
    the sign and the place of Cutout's square.
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
