"""AutoAugment's policy for ImageNet (Cubuk et al. 2018, Table 9, as released)."""

import tensorflow as tf

from keras_effnet.data import randaugment

# google/automl `efficientnetv2/autoaugment.py`, `policy_v0`: sub-policies of two
# operations, each with its probability and level. Part of the published accuracy
# are operations that never run (probability 0) or at level 0.
POLICY = (
    (("Equalize", 0.8, 1), ("ShearY", 0.8, 4)),
    (("Color", 0.4, 9), ("Equalize", 0.6, 3)),
    (("Color", 0.4, 1), ("Rotate", 0.6, 8)),
    (("Solarize", 0.8, 3), ("Equalize", 0.4, 7)),
    (("Solarize", 0.4, 2), ("Solarize", 0.6, 2)),
    (("Color", 0.2, 0), ("Equalize", 0.8, 8)),
    (("Equalize", 0.4, 8), ("SolarizeAdd", 0.8, 3)),
    (("ShearX", 0.2, 9), ("Rotate", 0.6, 8)),
    (("Color", 0.6, 1), ("Equalize", 1.0, 2)),
    (("Invert", 0.4, 9), ("Rotate", 0.6, 0)),
    (("Equalize", 1.0, 9), ("ShearY", 0.6, 3)),
    (("Color", 0.4, 7), ("Equalize", 0.6, 0)),
    (("Posterize", 0.4, 6), ("AutoContrast", 0.4, 7)),
    (("Solarize", 0.6, 8), ("Color", 0.6, 9)),
    (("Solarize", 0.2, 4), ("Rotate", 0.8, 9)),
    (("Rotate", 1.0, 7), ("TranslateY", 0.8, 9)),
    (("ShearX", 0.0, 0), ("Solarize", 0.8, 4)),
    (("ShearY", 0.8, 0), ("Color", 0.6, 4)),
    (("Color", 1.0, 0), ("Rotate", 0.6, 2)),
    (("Equalize", 0.8, 4), ("Equalize", 0.0, 8)),
    (("Equalize", 1.0, 4), ("AutoContrast", 0.6, 2)),
    (("ShearY", 0.4, 7), ("SolarizeAdd", 0.6, 7)),
    (("Posterize", 0.8, 2), ("Solarize", 0.6, 10)),
    (("Solarize", 0.6, 8), ("Equalize", 0.6, 1)),
    (("Color", 0.8, 6), ("Rotate", 0.4, 5)),
)


def autoaugment(image, seed):
    """Applies one drawn sub-policy; as `randaugment`."""
    draws = tf.random.stateless_uniform([1 + 2 * 4], seed)
    policy = tf.cast(draws[0] * len(POLICY), tf.int32)
    indices, values, probabilities = (table[policy] for table in _tables())
    for step in range(2):
        own = draws[1 + 4 * step : 5 + 4 * step]
        runs = own[0] < probabilities[step]
        index = tf.where(runs, indices[step], len(randaugment.NAMES))
        image = randaugment.apply(image, index, values[step], own[1:])
    return image


def _tables():
    indices = [[randaugment.NAMES.index(name) for name, _, _ in p] for p in POLICY]
    values = [
        [randaugment.argument(name, level, 100, 250) for name, _, level in p]
        for p in POLICY
    ]
    probabilities = [[probability for _, probability, _ in p] for p in POLICY]
    return (
        tf.constant(indices, tf.int32),
        tf.constant(values, tf.float32),
        tf.constant(probabilities, tf.float32),
    )
