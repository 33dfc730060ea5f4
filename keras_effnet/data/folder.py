"""Photographs in files: a folder of class folders, or a list."""

import os
import pathlib

import numpy as np
import tensorflow as tf

from keras_effnet.data import cached
from keras_effnet.data import finding
from keras_effnet.data import scan
from keras_effnet.data.finding import split_kind
from keras_effnet.data.source import check_split
from keras_effnet.data.source import checked_source
from keras_effnet.data.source import classes_like
from keras_effnet.errors import InputError


class FolderData:
    """A folder of class folders, or of `splits` of such, then a tuple that isn't
    empty."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.splits = finding.splits(self.path)

    def open(self, split=None, like=None, on_broken="skip", cache=None, progress=None):
        """The photographs of one split; as `open_source`. Keys are paths below the
        folder of the split: `"daisy/1.jpg"`."""
        split = check_split(split, self.splits, self.path)
        root = finding.split_folder(self.path, split) if split else self.path
        found = finding.class_folders(root)
        class_names = classes_like(found, like, str(root))
        paths = [path for path_list in found.values() for path in path_list]
        return _source(
            str(root),
            class_names,
            paths,
            [class_names.index(name) for name in found for _ in found[name]],
            [path.relative_to(root).as_posix() for path in paths],
            root.absolute(),
            (on_broken, cache, progress),
        )


class ListData:
    """A list of labelled photographs, as `finding.read_list` reads it."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self._listed = finding.read_list(path)
        self._names = self._listed.class_names
        found = dict.fromkeys(self._listed.splits)
        self.splits = tuple(sorted(found, key=lambda name: split_kind(name) != "train"))

    def open(self, split=None, like=None, on_broken="skip", cache=None, progress=None):
        """The photographs of one split, as `open_source`; keys are their paths as the
        list has them."""
        split = check_split(split, self.splits, self.path)
        listed = self._listed.of_split(split)
        lost = [str(path) for path in listed.paths if not path.is_file()]
        twice = len(listed.paths) - len({os.path.realpath(p) for p in listed.paths})
        if lost or twice:
            what = f"{len(lost)} are not there, the first {lost[0]!r}" if lost else ""
            raise InputError(
                "A list names photographs that are there, each once. Received: "
                f"{what or f'{twice} named again'}, in {str(self.path)!r}"
            )
        class_names = classes_like(self._names, like, str(self.path))
        return _source(
            f"{self.path} ({split})" if split else str(self.path),
            class_names,
            listed.paths,
            [class_names.index(name) for name in listed.names],
            [path.as_posix() for path in listed.paths],
            self.path.absolute(),
            (on_broken, cache, progress),
        )


def _source(name, class_names, paths, labels, keys, place, options):
    on_broken, cache, progress = options
    # A worker of the data service has a working directory of its own.
    encoded = [os.fsencode(path.absolute()) for path in paths]
    verdicts = scan.scan(paths, progress, cached.file_of(cache, str(place)))
    return checked_source(
        name=name,
        class_names=class_names,
        keys=keys,
        labels=labels,
        tensors=(np.array(encoded),),
        load=lambda row: tf.io.read_file(row[0]),
        verdicts=verdicts,
        on_broken=on_broken,
        names=list(map(str, paths)),
        place=place,
    )
