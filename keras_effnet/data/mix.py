"""mixup and CutMix: images and labels of a batch, blended with each other's.

Each image meets the one at the same place of the reversed batch, and has its own
share, as in google/automl `efficientnetv2/datasets.py`.
"""

import tensorflow as tf


def mix(images, labels, seed, mixup_alpha=0.0, cutmix_alpha=0.0):
    """mixup, CutMix, or each for half of the batch where both are on.

    Args:
        images: `(batch, height, width, channels)`, 0-255, uint8 or float.
        labels: Float, `(batch, classes)`, one-hot or smoothed.
        seed: Int tensor, `(2,)`.
        mixup_alpha: Of the Beta distribution; 0 for no mixup.
        cutmix_alpha: Of the Beta distribution; 0 for no CutMix.

    Returns:
        `(images, labels)`, float32 images and labels of the same shapes.
    """
    seeds = tf.random.experimental.stateless_split(seed, 2)
    if not (mixup_alpha and cutmix_alpha):
        images, labels = mixup(images, labels, seeds[0], mixup_alpha)
        images, labels = cutmix(images, labels, seeds[1], cutmix_alpha)
        return tf.cast(images, tf.float32), labels
    half = tf.shape(images)[0] // 2
    first = mixup(images[:half], labels[:half], seeds[0], mixup_alpha)
    second = cutmix(images[half:], labels[half:], seeds[1], cutmix_alpha)
    return tuple(
        tf.ensure_shape(tf.concat(parts, axis=0), whole.shape)
        for parts, whole in zip(
            zip(first, second, strict=True), (images, labels), strict=True
        )
    )


def mixup(images, labels, seed, alpha):
    """Weighted means of pairs (Zhang et al. 2018).

    Args:
        images: `(batch, height, width, channels)`, uint8 or float.
        labels: Float, `(batch, classes)`.
        seed: Int tensor, `(2,)`.
        alpha: Weights are drawn from Beta(alpha, alpha), and the larger of the
            weight and its complement stays with the image; 0 changes nothing.

    Returns:
        `(images, labels)` of the same shapes; mixed images are float32.
    """
    if not alpha:
        return images, labels
    share = symmetric_beta(tf.shape(images)[0], seed, alpha)
    other = tf.minimum(share, 1 - share)
    return _blended(images, other[:, None, None, None]), _blended(
        labels, tf.cast(other, labels.dtype)[:, None]
    )


def cutmix(images, labels, seed, alpha):
    """A rectangle of each image comes from another (Yun et al. 2019).

    Args:
        images: `(batch, height, width, channels)`, uint8 or float.
        labels: Float, `(batch, classes)`; they follow the share of pixels.
        seed: Int tensor, `(2,)`.
        alpha: The share that an image keeps of itself is drawn from
            Beta(alpha, alpha), before the rectangle is cut off at the border; 0
            changes nothing.

    Returns:
        `(images, labels)` of the same shapes; mixed images are float32.
    """
    if not alpha:
        return images, labels
    batch, (height, width, channels) = tf.shape(images)[0], images.shape[1:]
    seeds = tf.random.experimental.stateless_split(seed, 2)
    side = tf.sqrt(1 - symmetric_beta(batch, seeds[0], alpha))
    centres = tf.random.stateless_uniform([batch, 2], seeds[1])
    rows = _inside(height, centres[:, 0], side)
    columns = _inside(width, centres[:, 1], side)
    share = tf.reduce_mean(rows, axis=1) * tf.reduce_mean(columns, axis=1)
    mask = rows[:, :, None] * tf.repeat(columns, channels, axis=1)[:, None]
    mask = tf.reshape(mask, [batch, height, width, channels])
    return _blended(images, mask), _blended(
        labels, tf.cast(share, labels.dtype)[:, None]
    )


def symmetric_beta(count, seed, alpha):
    """Draws from Beta(alpha, alpha).

    Args:
        count: How many.
        seed: Int tensor, `(2,)`.
        alpha: Above 0.

    Returns:
        float32, `(count,)`, 0 to 1.
    """
    # Doubles, since a small alpha makes draws that float32 can't tell from 0.
    gamma = tf.random.stateless_gamma(
        [2, count], seed, tf.constant(alpha, tf.float64), dtype=tf.float64
    )
    total = gamma[0] + gamma[1]
    share = tf.where(total > 0, tf.math.divide_no_nan(gamma[0], total), 1.0)
    return tf.cast(share, tf.float32)


# Compiled, it reads and writes each value once.
@tf.function(jit_compile=True, autograph=False)
def _blended(values, share_of_other):
    values = tf.cast(values, share_of_other.dtype)
    return values + share_of_other * (tf.reverse(values, [0]) - values)


def _inside(length, centre, side):
    """1 where a position is inside, `(batch, length)`."""
    middle = tf.floor(centre * length)
    half = tf.floor(tf.floor(side * length) / 2)
    position = tf.range(length, dtype=tf.float32)[None]
    is_inside = (position >= (middle - half)[:, None]) & (
        position < (middle + half)[:, None]
    )
    return tf.cast(is_inside, tf.float32)
