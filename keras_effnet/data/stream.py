"""Sources whose images can only be read one after the other, shard by shard."""

import dataclasses

import numpy as np
import tensorflow as tf

from keras_effnet.data import cached
from keras_effnet.data import scan
from keras_effnet.data.sources import Source
from keras_effnet.errors import InputError

_BUFFER = 10_000
_BUFFER_BYTES = 2**30
_CHUNK = 256
_SHUFFLE_SEED = 20190528
_ELEMENT = {
    "image": tf.TensorSpec((), tf.string),
    "position": tf.TensorSpec((), tf.int64),
}


@dataclasses.dataclass
class Index:
    """What one pass over all records found, in their order.

    Attributes:
        ids: Bytes, unique.
        names: File names, or empty strings.
        labels: As they are written.
        texts: Class names, or empty strings.
        verdicts: A `keras_effnet.data.scan.Verdict` each.
    """

    ids: list = dataclasses.field(default_factory=list)
    names: list = dataclasses.field(default_factory=list)
    labels: list = dataclasses.field(default_factory=list)
    texts: list = dataclasses.field(default_factory=list)
    verdicts: list = dataclasses.field(default_factory=list)

    @property
    def keys(self):
        """What to call each image: its file name, or its place."""
        return [
            _text(name) if name else _text(place)
            for name, place in zip(self.names, self.ids, strict=True)
        ]


def _text(data):
    return data.decode("utf-8", "surrogateescape")


def read_index(records, name, progress=None, cache=None, stamp=None):
    """Reads and decodes every record once.

    Args:
        records: A `tf.data.Dataset` of dicts of scalars: `id`, `name`, `text` and
            `image`, strings, and `label`, int64.
        name: Of the data, for messages.
        progress: As for `open_source`.
        cache: Path of a JSON file that keeps the index, or `None`.
        stamp: `cached.stamp` of the records' files: a kept index of another one is
            out of date; `None` keeps nothing.

    Returns:
        An `Index`.

    Raises:
        InputError: A record can't be read, or there is none.
    """
    if stamp and (index := _kept(cached.read(cache), stamp)):
        return index
    index = Index()
    try:
        with scan.pool() as threads:
            for chunk in records.batch(_CHUNK).prefetch(1).as_numpy_iterator():
                index.ids += chunk["id"].tolist()
                index.names += chunk["name"].tolist()
                index.labels += chunk["label"].tolist()
                index.texts += chunk["text"].tolist()
                index.verdicts += threads.map(scan.inspect, chunk["image"].tolist())
                if progress:
                    progress(len(index.ids), None)
    except tf.errors.OpError as error:
        raise InputError(
            "The records can't be read, a file may be damaged or of another kind: "
            f"{error.message.splitlines()[0]}. Received: {name!r}"
        ) from error
    if not index.ids:
        raise InputError(f"The data holds no images. Received: {name!r}")
    if stamp:
        cached.write(cache, {"stamp": stamp, **_plain(index)})
    return index


def _plain(index):
    return {
        "ids": [_text(each) for each in index.ids],
        "names": [_text(each) for each in index.names],
        "labels": index.labels,
        "texts": [_text(each) for each in index.texts],
        "verdicts": [[each.code, each.size, each.reason] for each in index.verdicts],
    }


def _kept(found, stamp):
    if found.get("stamp") != stamp:
        return None

    def data(name):
        return [each.encode("utf-8", "surrogateescape") for each in found[name]]

    try:
        verdicts = [scan.Verdict(*each) for each in found["verdicts"]]
        parts = data("ids"), data("names"), found["labels"], data("texts"), verdicts
    except (KeyError, TypeError, AttributeError):
        return None
    return Index(*parts)


def stream_source(name, class_names, index, labels, records, on_broken):
    """A source over records.

    Args:
        name: As for `Source`.
        class_names: As for `Source`.
        index: An `Index` of `records(None)`.
        labels: Int array, places in `class_names`, in the index's order.
        records: Called with an order's seed or `None`; gives the dataset that
            `read_index` describes, its shards in the seed's order.
        on_broken: As for `open_source`.

    Returns:
        A `Source`. An order is that of the shards and a shuffle buffer of 10,000
        images, or of as many as fit in about a gigabyte.
    """
    all_keys = np.array(index.keys, object)
    good = scan.sound(all_keys, index.verdicts, on_broken)
    sizes = np.array([verdict.size for verdict in index.verdicts], np.int64)
    codes = np.array([verdict.code for verdict in index.verdicts])
    labels = np.asarray(labels, np.int64)

    def read(source, order_seed):
        place = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                [index.ids[i] for i in source.positions],
                tf.range(source.count, dtype=tf.int64),
            ),
            default_value=-1,
        )
        source_labels = tf.constant(source.labels)
        source_keys = tf.constant(
            [key.encode("utf-8", "surrogateescape") for key in source.keys]
        )
        convert = tf.constant(codes[source.positions] == scan.CONVERT)

        def example(record):
            position = record["position"]
            return {
                "image": scan.convert_where(convert[position], record["image"]),
                "label": source_labels[position],
                "key": source_keys[position],
            }

        chosen = records(order_seed).map(
            lambda record: {
                "image": record["image"],
                "position": place.lookup(record["id"]),
            }
        )
        chosen = chosen.filter(lambda record: record["position"] >= 0)
        if order_seed is not None:
            fitting = _BUFFER_BYTES // max(1, int(source.sizes.mean()))
            buffer = min(source.count, _BUFFER, max(1, fitting))
            chosen = _shuffled(chosen, buffer, order_seed)
        return chosen.map(
            example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        ).apply(tf.data.experimental.assert_cardinality(source.count))

    return Source(
        name=name,
        class_names=tuple(class_names),
        keys=all_keys[good],
        labels=labels[good],
        sizes=sizes[good],
        broken=tuple(all_keys[~good]),
        positions=np.flatnonzero(good),
        read=read,
    )


def _shuffled(dataset, buffer, seed):
    # Dataset.shuffle would mix the program's global seed into the order.
    return tf.data.experimental.from_variant(
        tf.raw_ops.ShuffleDataset(
            input_dataset=tf.data.experimental.to_variant(dataset),
            buffer_size=buffer,
            seed=_SHUFFLE_SEED,  # two zeros would mean a random seed
            seed2=seed,
            output_types=tf.nest.flatten(
                tf.nest.map_structure(lambda spec: spec.dtype, _ELEMENT)
            ),
            output_shapes=[[], []],
            reshuffle_each_iteration=False,
        ),
        _ELEMENT,
    )
