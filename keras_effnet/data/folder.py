"""A folder of class folders of photographs."""

import os
import pathlib

import numpy as np
import tensorflow as tf

from keras_effnet.data import cached
from keras_effnet.data import scan
from keras_effnet.data.photos import SUFFIXES
from keras_effnet.data.source import SPLITS
from keras_effnet.data.source import check_split
from keras_effnet.data.source import checked_source
from keras_effnet.data.source import classes_like
from keras_effnet.errors import InputError


class FolderData:
    """A folder of class folders, or of `splits` of such, then a tuple that isn't
    empty."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        names = _subfolders(self.path)
        # A class may be called "train": only with its like is it a split.
        is_split = "train" in names and set(names) <= set(SPLITS)
        is_split = is_split and bool(_subfolders(self.path / "train"))
        self.splits = tuple(s for s in SPLITS if s in names) if is_split else ()

    def open(self, split=None, like=None, on_broken="skip", cache=None, progress=None):
        """The photographs of one split; as `open_source`. Keys are paths below the
        folder of the split: `"daisy/1.jpg"`."""
        split = check_split(split, self.splits, self.path)
        root = self.path / split if split else self.path
        found = _class_folders(root)
        class_names = classes_like(found, like, str(root))
        keys = [key for name in found for key in found[name]]
        labels = [class_names.index(name) for name in found for _ in found[name]]
        paths = [root / key for key in keys]
        cache = cached.file_of(cache, str(root.absolute()))
        # A worker of the data service has a working directory of its own.
        files = [os.fsencode(path.absolute()) for path in paths]
        return checked_source(
            name=str(root),
            class_names=class_names,
            keys=keys,
            labels=labels,
            tensors=(np.array(files),),
            load=lambda row: tf.io.read_file(row[0]),
            verdicts=scan.scan(paths, progress, cache),
            on_broken=on_broken,
            names=list(map(str, paths)),
        )


def _subfolders(path):
    return sorted(
        entry.name
        for entry in os.scandir(path)
        if entry.is_dir() and not entry.name.startswith(".")
    )


def _class_folders(root):
    """`{class name: keys}`, both sorted."""
    names = _subfolders(root)
    if not names:
        raise InputError(
            "The folder must hold one folder of photographs for each class, it has "
            f"no folders. Received: {str(root)!r}"
        )
    found = {name: _photos(root, name) for name in names}
    if not any(found.values()):
        raise InputError(
            f"No class folder holds a photograph ({', '.join(SUFFIXES)}). "
            f"Received: {str(root)!r}"
        )
    empty = [name for name in names if not found[name]]
    if empty:
        raise InputError(
            "Every class folder must hold photographs "
            f"({', '.join(SUFFIXES)}), these hold none: {', '.join(empty)}. "
            f"Received: {str(root)!r}"
        )
    return found


def _photos(root, name):
    keys = []
    for folder, _, file_names in os.walk(root / name):
        below = pathlib.Path(folder).relative_to(root).as_posix()
        keys += [
            f"{below}/{file_name}"
            for file_name in file_names
            if file_name.lower().endswith(SUFFIXES) and not file_name.startswith(".")
        ]
    return sorted(keys)
