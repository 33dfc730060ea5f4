"""Records that are looked at once, in their order, and then read in any order."""

import dataclasses

import numpy as np
import tensorflow as tf

from keras_effnet.data import cached
from keras_effnet.data import photos
from keras_effnet.data import scan
from keras_effnet.errors import InputError
from keras_effnet.errors import first_line
from keras_effnet.progress import bar
from keras_effnet.progress import silent

_CHUNK = 256
# Of each record in a TFRecord file: its length, that one's checksum, its own.
_FRAME_BYTES = 8 + 4 + 4


@dataclasses.dataclass(frozen=True)
class Shard:
    """Records of one TFRecord file that follow each other, without the first `skip`;
    `take` -1 is all. `prefix` begins the names of records that have none of their
    own."""

    path: bytes | str
    prefix: bytes | str
    skip: int = 0
    take: int = -1


def records(shards, parse):
    """A `tf.data.Dataset` of the records of TFRecord files, one after the other.

    Each is the dict of tensors that `parse` gives of it in a graph, with `file`, the
    place in `shards`, and `offset`, the record's first byte in the file, int64. An
    empty `key` is replaced by the shard's prefix and the record's place in the file.
    """

    def of_shard(file, path, prefix, skip, take):
        return (
            tf.data.TFRecordDataset(path)
            .enumerate()
            .scan(np.int64(0), _with_offset)
            .skip(skip)
            .take(take)
            .map(lambda place, offset, record: (file, prefix, place, offset, record))
        )

    def parsed(file, prefix, place, offset, record):
        row = parse(record)
        name = tf.strings.join([prefix, tf.strings.as_string(place)])
        key = tf.where(tf.strings.length(row["key"]) > 0, row["key"], name)
        return {**row, "key": key, "file": file, "offset": offset}

    columns = (
        np.arange(len(shards)),
        tf.constant([shard.path for shard in shards], tf.string),
        tf.constant([shard.prefix for shard in shards], tf.string),
        np.array([shard.skip for shard in shards], np.int64),
        np.array([shard.take for shard in shards], np.int64),
    )
    return (
        tf.data.Dataset.from_tensor_slices(columns)
        .flat_map(of_shard)
        .map(parsed, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    )


def _with_offset(offset, numbered):
    place, record = numbered
    size = tf.cast(tf.strings.length(record), tf.int64)
    return offset + size + _FRAME_BYTES, (place, offset, record)


def read_record(path, offset):
    """The record of a TFRecord file at a byte, in a graph; checksums are compared."""
    # TFRecordDataset has this argument in its operation alone.
    variant = tf.raw_ops.TFRecordDatasetV2(
        filenames=[path],
        compression_type="",
        buffer_size=0,  # else each record would drag its neighbours along
        byte_offsets=[offset],
    )
    found = tf.data.experimental.from_variant(variant, tf.TensorSpec((), tf.string))
    return found.take(1).get_single_element()


@dataclasses.dataclass(frozen=True)
class Index:
    """What one look at all images found, in their order: `columns` of arrays,
    `(count,)`, int64 or of bytes, and `scan.Verdict`s."""

    columns: dict
    verdicts: list

    @property
    def keys(self):
        """Strings."""
        return [_text(key) for key in self.columns["key"]]


def _text(data):
    return data.decode("utf-8", "surrogateescape")


def read_index(examples, name, progress=None, cache=None, stamp=None):
    """Reads and decodes every image of the data `name` once.

    `examples` has dicts of scalars: `image` and `key`, strings, and further strings and
    int64, all of which are kept but the image. `cache` is the JSON file that keeps the
    index; one of another `cached.stamp` is out of date, and with `None` for that
    nothing is kept.
    """
    spec = examples.element_spec
    columns = {column: [] for column in spec if column != "image"}
    kept = stamp and cached.read(cache, lambda found: _kept(found, stamp, spec))
    if kept:
        return kept
    verdicts = []
    (progress or silent)(f"checking the images of {name}")
    try:
        with (
            photos.pool() as threads,
            bar(name="checking", unit="image", shown=progress) as checked,
        ):
            for chunk in examples.batch(_CHUNK).prefetch(1).as_numpy_iterator():
                verdicts += threads.map(scan.inspect, chunk["image"].tolist())
                for column, found in columns.items():
                    found.append(chunk[column])
                checked.update(len(chunk["image"]))
    except tf.errors.OpError as error:
        raise InputError(
            "The records can't be read, a file may be damaged or of another kind: "
            f"{first_line(error)}. Received: {name!r}"
        ) from error
    if not verdicts:
        raise InputError(f"The data holds no images. Received: {name!r}")
    index = Index({c: np.concatenate(found) for c, found in columns.items()}, verdicts)
    if stamp:
        cached.write(cache, {"stamp": stamp, **_plain(index)})
    return index


def _plain(index):
    return {
        "columns": {
            column: [_text(each) if isinstance(each, bytes) else each for each in found]
            for column, found in ((c, a.tolist()) for c, a in index.columns.items())
        },
        "verdicts": list(map(dataclasses.astuple, index.verdicts)),
    }


def _kept(content, stamp, spec):
    if content["stamp"] != stamp:
        return None
    verdicts = [scan.kept(*each) for each in content["verdicts"]]
    kept = {
        column: _array(content["columns"][column], spec[column].dtype, len(verdicts))
        for column in spec
        if column != "image"
    }
    return Index(kept, verdicts)


def _array(values, dtype, count):
    if len(values) != count:
        raise ValueError
    if dtype == tf.string:
        return np.array(
            [each.encode("utf-8", "surrogateescape") for each in values], "O"
        )
    return np.array(values, dtype.as_numpy_dtype)
