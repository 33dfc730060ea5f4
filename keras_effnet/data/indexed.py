"""Sources whose images can be read in any order."""

import numpy as np
import tensorflow as tf

from keras_effnet.data import scan
from keras_effnet.data.source import Source


def order(count, seed, places=None):
    """An order that the seed fixes for good, or a part of it.

    Args:
        count: Number of things.
        seed: A non-negative integer, or `None` for 0, 1, 2 ...
        places: Int array: which places of the order; `None` for all.

    Returns:
        An int64 array, `(count,)` or `(places,)`.
    """
    found = np.arange(count)
    if seed is not None:
        found = np.random.Generator(np.random.PCG64(seed)).permutation(count)
    return found if places is None else found[places]


def rows(source, chosen):
    """What `image` needs of some images of a source.

    Args:
        source: A `Source`.
        chosen: Int array, `(images,)`.

    Returns:
        A tuple of arrays, `(images, ...)`.
    """
    flags = (source.convert,) if source.convert.any() else ()
    return tuple(tensor[chosen] for tensor in (*source.tensors, *flags))


def image(source, row):
    """One image of a source, in a graph.

    Args:
        source: A `Source`.
        row: A tuple of tensors, of one image of `rows`.

    Returns:
        As `image` of `Source.dataset`.
    """
    if not source.convert.any():
        return source.load(row)
    *row, flag = row
    return scan.convert_where(flag, source.load(tuple(row)))


def examples(source, chosen):
    """As `Source.dataset`.

    Args:
        source: A `Source`.
        chosen: Int array, `(images,)`: which images, one after the other.

    Returns:
        A `tf.data.Dataset`.
    """
    keys = [key.encode("utf-8", "surrogateescape") for key in source.keys[chosen]]
    # Of objects: in a fixed-width array each would be as long as the longest.
    columns = (rows(source, chosen), source.labels[chosen], np.array(keys, "O"))
    return tf.data.Dataset.from_tensor_slices(columns).map(
        lambda row, label, key: {
            "image": image(source, row),
            "label": label,
            "key": key,
        },
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def indexed_source(
    name, class_names, keys, labels, sizes, tensors, load, broken=(), convert=None
):
    """A source over arrays.

    Args:
        name: As for `Source`.
        class_names: As for `Source`.
        keys: As for `Source`.
        labels: As for `Source`.
        sizes: As for `Source`.
        tensors: As for `Source`.
        load: As for `Source`.
        broken: As for `Source`.
        convert: As for `Source`; `None` for no image.

    Returns:
        A `Source`, whose order is a full permutation.
    """
    if convert is None:
        convert = np.zeros(len(keys), bool)
    return Source(
        name=name,
        class_names=tuple(class_names),
        keys=np.array(keys, object),
        labels=np.asarray(labels, np.int64),
        sizes=np.asarray(sizes, np.int64),
        broken=tuple(broken),
        tensors=tuple(tensors),
        load=load,
        convert=np.asarray(convert, bool),
    )
