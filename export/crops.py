"""Batches of images drawn at random, flipped and cropped: for short trainings."""

import numpy as np
import tensorflow as tf

# The least side of a crop, a share of the image's.
_CROP = 0.6


def draw(images, count, random: np.random.Generator):
    """Draws images and changes them as a camera might have.

    At most `count` of `(images, height, width, channels)`, flipped and cropped. Returns
    `(indices, batch)`, the batch a float32 tensor.
    """
    chosen = random.choice(len(images), min(count, len(images)), replace=False)
    batch = images[chosen]
    flipped = random.random(len(batch)) < 0.5
    batch = np.where(flipped[:, None, None, None], batch[:, :, ::-1], batch)
    sizes = np.array(batch.shape[1:3])
    side = random.uniform(_CROP, 1, len(batch))
    start = random.uniform(0, 1, (len(batch), 2)) * (1 - side[:, None])
    boxes = np.concatenate([start, start + side[:, None]], 1)
    return chosen, tf.image.crop_and_resize(
        tf.constant(batch, tf.float32), boxes, np.arange(len(batch)), sizes
    )
