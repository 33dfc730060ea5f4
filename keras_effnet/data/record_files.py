"""TFRecord files with ImageNet's feature names, read."""

import glob
import itertools
import json
import os
import pathlib
import re

import numpy as np
import tensorflow as tf

from keras_effnet.data import cached
from keras_effnet.data.indexed import permutation
from keras_effnet.data.sources import SPLITS
from keras_effnet.data.sources import check_split
from keras_effnet.data.stream import read_index
from keras_effnet.data.stream import stream_source
from keras_effnet.errors import InputError

CLASSES_FILE = "classes.json"
_PARALLEL_SHARDS = 16
_SPLIT = re.compile(rf"(?:^|[-_.])({'|'.join(SPLITS)})(?=[-_.])")
_PART = re.compile(r"-(\d{5})-of-(\d{5})")
_FEATURES = {
    "image/encoded": tf.io.FixedLenFeature((), tf.string),
    "image/class/label": tf.io.FixedLenFeature((), tf.int64),
    "image/class/text": tf.io.FixedLenFeature((), tf.string, ""),
    "image/filename": tf.io.FixedLenFeature((), tf.string, ""),
}


def find_files(path):
    """TFRecord files.

    Args:
        path: A file, a pattern (`"data/train-*"`), or a folder, whose files
            `*.tfrecord*` and `*-00000-of-00004` are meant.

    Returns:
        A sorted list of `pathlib.Path`; empty if there are none.
    """
    path = pathlib.Path(path)
    if path.is_file():
        return [path] if _looks_right(path.name) else []
    if path.is_dir():
        found = [file for file in path.iterdir() if _looks_right(file.name)]
    else:
        found = [pathlib.Path(file) for file in glob.glob(str(path))]
    return sorted(
        file for file in found if file.is_file() and file.name != CLASSES_FILE
    )


def _looks_right(name):
    return not name.startswith(".") and bool(
        ".tfrecord" in name or re.search(_PART.pattern + "$", name)
    )


class RecordData:
    """TFRecord files.

    Args:
        path: As for `find_files`.

    Attributes:
        splits: Those that the files' names tell, or an empty tuple.

    Raises:
        InputError: A part is missing, or `classes.json` can't be read.
    """

    def __init__(self, path):
        self.path = path
        files = find_files(path)
        _check_parts(files)
        self._files = {None: files}
        of_splits = {}
        for file in files:
            match = _SPLIT.search(file.name)
            of_splits.setdefault(match and match.group(1), []).append(file)
        if None not in of_splits:
            self._files |= of_splits
        self.splits = tuple(s for s in SPLITS if s in self._files)
        self._class_names, self._counts = _read_classes(files[0].parent / CLASSES_FILE)

    def open(self, split=None, like=None, on_broken="skip", cache=None, progress=None):
        """The images of one split; as `open_source`.

        Keys are the records' `image/filename`, or file and place.
        """
        split = check_split(split, self.splits, self.path)
        files = self._files[split]
        name = f"{self.path}:{split}" if split else str(self.path)
        cache = cached.file_of(cache, f"{pathlib.Path(self.path).absolute()}:{split}")
        index = read_index(
            _records(files, None), name, progress, cache, cached.stamp(files)
        )
        if len(index.ids) != self._counts.get(split, len(index.ids)):
            raise InputError(
                f"{CLASSES_FILE} tells of {self._counts[split]} images, some are lost. "
                f"Received: {len(index.ids)} in {name!r}"
            )
        if self._class_names:
            class_names, labels = self._class_names, np.array(index.labels)
            _check_range(labels, index.keys, len(class_names))
        else:
            class_names, labels = _classes(index, name, like)
        return stream_source(
            name,
            class_names,
            index,
            labels,
            lambda order_seed: _records(files, order_seed),
            on_broken,
        )


def _check_parts(files):
    parts = {}
    for file in files:
        match = _PART.search(file.name)
        if match:
            stem = _PART.sub(f"-*-of-{match.group(2)}", file.name)
            parts.setdefault((stem, int(match.group(2))), set()).add(int(match[1]))
    for (stem, total), found in parts.items():
        missing = sorted(set(range(total)) - found)
        if missing:
            raise InputError(
                f"{len(missing)} of {total} TFRecord files are missing, the first is "
                f"number {missing[0]}. Received: {str(files[0].parent / stem)!r}"
            )


def _read_classes(path):
    """The class names and `{split: count}` that the writer of this package left."""
    if not path.is_file():
        return None, {}
    try:
        content = json.loads(path.read_text("utf-8"))
        names, counts = content["classes"], dict(content.get("splits", {}))
        if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f'The class names must be JSON, {{"classes": ["daisy", ...]}}. '
            f"Received: {str(path)!r}"
        ) from error
    return names, counts


def _check_range(labels, keys, classes):
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        raise InputError(
            f"The labels of {classes} classes are 0 to {classes - 1}. Received: "
            f"{len(wrong)} others, the first is {labels[wrong[0]]} of "
            f"{keys[wrong[0]]!r}"
        )


def _classes(index, name, like):
    """Class names from the records themselves, in the order of their labels."""
    names = {}
    for label, text in zip(index.labels, index.texts, strict=True):
        text = text.decode("utf-8", "replace") or str(label)
        if names.setdefault(label, text) != text:
            raise InputError(
                f"Label {label} has two names in the records, {names[label]!r} and "
                f"{text!r}. Received: {name!r}"
            )
    class_names = like.class_names if like else tuple(names[k] for k in sorted(names))
    if len(set(class_names)) < len(class_names):
        raise InputError(
            f"Two labels of the records have one name; a {CLASSES_FILE} beside the "
            f'files with {{"classes": [...]}} tells them apart. Received: {name!r}'
        )
    unknown = sorted(set(names.values()) - set(class_names))
    if unknown:
        raise InputError(
            "The validation data has classes that the training data doesn't have: "
            f"{', '.join(unknown)}. Received: {name!r}"
        )
    places = {label: class_names.index(text) for label, text in names.items()}
    return class_names, np.array([places[label] for label in index.labels])


def _records(files, order_seed):
    def shard(path, file_name, compression):
        return (
            tf.data.TFRecordDataset(path, compression_type=compression)
            .enumerate()
            .map(lambda place, record: _parsed(file_name, place, record))
        )

    datasets = []
    # One compression a dataset: TFRecordDataset takes no list of them.
    order = permutation(len(files), order_seed)
    chosen = [files[i] for i in order]
    for zipped, group in itertools.groupby(chosen, lambda f: f.suffix == ".gz"):
        group = list(group)
        rows = ([os.fsencode(f) for f in group], [os.fsencode(f.name) for f in group])
        compression = "GZIP" if zipped else ""
        datasets.append(
            tf.data.Dataset.from_tensor_slices(rows).interleave(
                lambda path, file_name, c=compression: shard(path, file_name, c),
                # A fixed number: the order may not depend on the machine.
                cycle_length=1 if order_seed is None else _PARALLEL_SHARDS,
                num_parallel_calls=1 if order_seed is None else tf.data.AUTOTUNE,
                deterministic=True,
            )
        )
    records = datasets[0]
    for other in datasets[1:]:
        records = records.concatenate(other)
    return records


def _parsed(file_name, place, record):
    parsed = tf.io.parse_single_example(record, _FEATURES)
    return {
        "id": tf.strings.join([file_name, ":", tf.strings.as_string(place)]),
        "name": parsed["image/filename"],
        "label": parsed["image/class/label"],
        "text": parsed["image/class/text"],
        "image": parsed["image/encoded"],
    }
