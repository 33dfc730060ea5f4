"""Sources whose images can be read in any order."""

import numpy as np
import tensorflow as tf

from keras_effnet.data.sources import Source


def permutation(count, seed):
    """An order that the seed fixes for good.

    Args:
        count: Number of things.
        seed: A non-negative integer, or `None` for 0, 1, 2 ...

    Returns:
        An int64 array, `(count,)`.
    """
    if seed is None:
        return np.arange(count)
    return np.random.Generator(np.random.PCG64(seed)).permutation(count)


def indexed_source(name, class_names, keys, labels, sizes, tensors, load, broken=()):
    """A source over arrays.

    Args:
        name: As for `Source`.
        class_names: As for `Source`.
        keys: As for `Source`.
        labels: As for `Source`.
        sizes: As for `Source`.
        tensors: Arrays, `(count, ...)`: what `load` needs of each image.
        load: Called in a graph with a tuple of one row of each; gives the image.
        broken: As for `Source`.

    Returns:
        A `Source`, whose order is a full permutation.
    """

    def read(source, order_seed, places):
        order = source.positions[permutation(source.count, order_seed)]
        if places is not None:
            order = order[places]
        labels = tf.constant(all_labels[order])
        rows = (tuple(tensor[order] for tensor in tensors), labels, all_keys[order])
        return tf.data.Dataset.from_tensor_slices(rows).map(
            lambda row, label, key: {"image": load(row), "label": label, "key": key},
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )

    # Of objects: in a fixed-width array each would be as long as the longest.
    all_keys = np.array([key.encode("utf-8", "surrogateescape") for key in keys], "O")
    all_labels = np.asarray(labels, np.int64)
    return Source(
        name=name,
        class_names=tuple(class_names),
        keys=np.array(keys, object),
        labels=all_labels,
        sizes=np.asarray(sizes, np.int64),
        broken=tuple(broken),
        positions=np.arange(len(keys)),
        read=read,
    )
