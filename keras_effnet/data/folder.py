"""A folder of class folders of photographs."""

import os
import pathlib

import numpy as np
import tensorflow as tf

from keras_effnet.data import cached
from keras_effnet.data import finding
from keras_effnet.data import scan
from keras_effnet.data.source import check_split
from keras_effnet.data.source import checked_source
from keras_effnet.data.source import classes_like


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
        paths = [path for name in found for path in found[name]]
        labels = [class_names.index(name) for name in found for _ in found[name]]
        cache = cached.file_of(cache, str(root.absolute()))
        # A worker of the data service has a working directory of its own.
        files = [os.fsencode(path.absolute()) for path in paths]
        return checked_source(
            name=str(root),
            class_names=class_names,
            keys=[path.relative_to(root).as_posix() for path in paths],
            labels=labels,
            tensors=(np.array(files),),
            load=lambda row: tf.io.read_file(row[0]),
            verdicts=scan.scan(paths, progress, cache),
            on_broken=on_broken,
            names=list(map(str, paths)),
            folder=root.absolute(),
        )
