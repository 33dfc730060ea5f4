"""mixup and CutMix: images and labels of a batch, blended with each other's.

Each image meets its neighbour, rows 0 and 1, 2 and 3 ..., and has its own share.
(google/automl `efficientnetv2/datasets.py` pairs a batch with its reverse. In a
shuffled order any pairing is as good, and neighbours stay together when several
processes make a batch.)
"""

import tensorflow as tf


def mix(images, labels, seed, mixup_alpha=0.0, cutmix_alpha=0.0, rows=None):
    """mixup, CutMix, or each for half of the batch where both are on: float32 images,
    and labels.

    Images are `(batch, height, width, channels)`, 0-255, uint8 or float; labels float,
    `(batch, classes)`, one-hot or smoothed. An alpha is of the Beta distribution; 0 is
    none. `rows` is `(first, all)`: the first row of the whole batch that these are part
    of, an even number, and how many rows that has. A part is mixed as it would be
    within the whole.
    """
    seeds = tf.random.experimental.stateless_split(seed, 2)
    if not (mixup_alpha and cutmix_alpha):
        images, labels = mixup(images, labels, seeds[0], mixup_alpha, rows)
        images, labels = cutmix(images, labels, seeds[1], cutmix_alpha, rows)
        return tf.cast(images, tf.float32), labels
    count = images.shape[0]
    first, total = rows or (0, count)
    # Even, so that no pair is divided.
    half = min(max(total // 4 * 2 - first, 0), count)
    blended = mixup(images[:half], labels[:half], seeds[0], mixup_alpha, (first, total))
    cut = cutmix(
        images[half:], labels[half:], seeds[1], cutmix_alpha, (first + half, total)
    )
    return tuple(tf.concat(parts, axis=0) for parts in zip(blended, cut, strict=True))


def mixup(images, labels, seed, alpha, rows=None):
    """Weighted means of pairs (Zhang et al. 2018); as `mix`. Weights are drawn from
    Beta(alpha, alpha), and the larger of the weight and its complement stays with the
    image."""
    if not alpha:
        return images, labels
    first, total = rows or (0, images.shape[0])
    share = symmetric_beta(total, seed, alpha)[first : first + images.shape[0]]
    other = tf.minimum(share, 1 - share)
    return _blended(images, other[:, None, None, None]), _blended(
        labels, tf.cast(other, labels.dtype)[:, None]
    )


def cutmix(images, labels, seed, alpha, rows=None):
    """A rectangle of each image comes from another (Yun et al. 2019); as `mix`. The
    share that an image keeps of itself is drawn from Beta(alpha, alpha), before the
    rectangle is cut off at the border. Labels follow the pixels."""
    if not alpha:
        return images, labels
    batch, height, width, channels = images.shape
    first, total = rows or (0, batch)
    here = slice(first, first + batch)
    seeds = tf.random.experimental.stateless_split(seed, 2)
    side = tf.sqrt(1 - symmetric_beta(total, seeds[0], alpha)[here])
    centres = tf.random.stateless_uniform([total, 2], seeds[1])[here]
    rows = _inside(height, centres[:, 0], side)
    columns = _inside(width, centres[:, 1], side)
    share = tf.reduce_mean(rows, axis=1) * tf.reduce_mean(columns, axis=1)
    mask = rows[:, :, None] * tf.repeat(columns, channels, axis=1)[:, None]
    mask = tf.reshape(mask, [batch, height, width, channels])
    return _blended(images, mask), _blended(
        labels, tf.cast(share, labels.dtype)[:, None]
    )


def symmetric_beta(count, seed, alpha):
    """Draws from Beta(alpha, alpha), alpha above 0: float32, `(count,)`, 0 to 1."""
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
    return values + share_of_other * (_neighbours(values) - values)


def _neighbours(values):
    # The last of an odd number meets itself.
    count, *shape = values.shape
    even = count // 2 * 2
    pairs = tf.reverse(tf.reshape(values[:even], [count // 2, 2, *shape]), [1])
    return tf.concat([tf.reshape(pairs, [even, *shape]), values[even:]], axis=0)


def _inside(length, centre, side):
    """1 where a position is inside, `(batch, length)`."""
    middle = tf.floor(centre * length)
    half = tf.floor(tf.floor(side * length) / 2)
    position = tf.range(length, dtype=tf.float32)[None]
    is_inside = (position >= (middle - half)[:, None]) & (
        position < (middle + half)[:, None]
    )
    return tf.cast(is_inside, tf.float32)
