"""TFRecord files with ImageNet's feature names, read."""

import glob
import os
import pathlib
import re

import numpy as np
import tensorflow as tf

from keras_effnet import files
from keras_effnet.data import cached
from keras_effnet.data import record_index
from keras_effnet.data.source import SPLITS
from keras_effnet.data.source import check_split
from keras_effnet.data.source import checked_source
from keras_effnet.data.source import classes_like
from keras_effnet.errors import InputError

CLASSES_FILE = "classes.json"
_SPLIT = re.compile(rf"(?:^|[-_.])({'|'.join(SPLITS)})(?=[-_.])")
_PART = re.compile(r"-(\d{5})-of-(\d{5})")
_ENCODED = "image/encoded"
_FEATURES = {
    _ENCODED: tf.io.FixedLenFeature((), tf.string),
    "image/class/label": tf.io.FixedLenFeature((), tf.int64),
    "image/class/text": tf.io.FixedLenFeature((), tf.string, ""),
    "image/filename": tf.io.FixedLenFeature((), tf.string, ""),
}


def find_files(path):
    """The TFRecord files, sorted, that a file, a pattern (`"data/train-*"`) or a folder
    (its `*.tfrecord*` and `*-00000-of-00004`) means."""
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
    """TFRecord files, as for `find_files`, and those `splits` that their names tell. A
    missing part, a compressed file and an unreadable `classes.json` are refused."""

    def __init__(self, path):
        self.path = path
        files = find_files(path)
        _check_parts(files)
        _check_compression(files)
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
        """The images of one split; as `open_source`. Keys are the records'
        `image/filename`, or file and place."""
        split = check_split(split, self.splits, self.path)
        files = self._files[split]
        name = f"{self.path}:{split}" if split else str(self.path)
        cache = cached.file_of(cache, f"{pathlib.Path(self.path).absolute()}:{split}")
        # A worker of the data service has a working directory of its own.
        paths = [os.fsencode(file.absolute()) for file in files]
        shards = [
            record_index.Shard(path, os.path.basename(path) + b":") for path in paths
        ]
        records = record_index.records(shards, _parsed)
        index = record_index.read_index(
            records, name, progress, cache, cached.stamp(files)
        )
        keys = index.keys
        if len(keys) != self._counts.get(split, len(keys)):
            raise InputError(
                f"{CLASSES_FILE} tells of {self._counts[split]} images, some are lost. "
                f"Received: {len(keys)} in {name!r}"
            )
        if self._class_names:
            class_names, labels = self._class_names, index.columns["label"]
        else:
            class_names, labels = _classes(index, name, like)
        return checked_source(
            name=name,
            class_names=class_names,
            keys=keys,
            labels=labels,
            tensors=(index.columns["file"], index.columns["offset"]),
            load=lambda row: _image(tf.gather(paths, row[0]), row[1]),
            verdicts=index.verdicts,
            on_broken=on_broken,
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


def _check_compression(files):
    zipped = [file for file in files if file.suffix == ".gz"]
    if zipped:
        raise InputError(
            "Nothing can be read from the middle of a compressed TFRecord file: "
            f"gunzip them. Received: {len(zipped)}, the first is {str(zipped[0])!r}"
        )


def _read_classes(path):
    """The class names and `{split: count}` that the writer of this package left."""
    if not path.is_file():
        return None, {}
    try:
        content = files.parse_json(files.read_bytes(path, files.JSON_LIMIT))
        names, counts = content["classes"], dict(content.get("splits", {}))
        if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f'The class names must be JSON, {{"classes": ["daisy", ...]}}. '
            f"Received: {str(path)!r}"
        ) from error
    return names, counts


def _classes(index, name, like):
    """Class names from the records themselves, in the order of their labels."""
    names, found = {}, index.columns["label"].tolist()
    for label, text in zip(found, index.columns["text"], strict=True):
        text = text.decode("utf-8", "replace") or str(label)
        if names.setdefault(label, text) != text:
            raise InputError(
                f"Label {label} has two names in the records, {names[label]!r} and "
                f"{text!r}. Received: {name!r}"
            )
    class_names = classes_like([names[k] for k in sorted(names)], like, name)
    if len(set(class_names)) < len(class_names):
        raise InputError(
            f"Two labels of the records have one name; a {CLASSES_FILE} beside the "
            f'files with {{"classes": [...]}} tells them apart. Received: {name!r}'
        )
    places = {label: class_names.index(text) for label, text in names.items()}
    return class_names, np.array([places[label] for label in found])


def _parsed(record):
    parsed = tf.io.parse_single_example(record, _FEATURES)
    return {
        "key": parsed["image/filename"],
        "label": parsed["image/class/label"],
        "text": parsed["image/class/text"],
        "image": parsed[_ENCODED],
    }


def _image(path, offset):
    record = record_index.read_record(path, offset)
    features = {_ENCODED: _FEATURES[_ENCODED]}
    return tf.io.parse_single_example(record, features)[_ENCODED]
