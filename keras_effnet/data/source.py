"""Labelled images behind one door, wherever they lie."""

import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Callable

import numpy as np

from keras_effnet.errors import InputError
from keras_effnet.errors import suggest

# Names of splits that mean something, in the order of preference.
SPLITS = ("train", "validation", "valid", "val", "test")
_KINDS = (
    "a folder of class folders, TFRecord files or MNIST IDX files, "
    "'tfds:NAME', or 'digits'"
)


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """Labelled images of one split, still encoded.

    Attributes:
        name: As the user gave it, with the split.
        class_names: Tuple of strings; a label is a place in it.
        keys: String array, `(count,)`: file names, or what else names an image.
        labels: int64 array, `(count,)`, in the order of `dataset()`.
        sizes: int64 array, `(count,)`, bytes of each image.
        broken: Names of the images that were left out, a tuple.
        tensors: Arrays, `(count, ...)`: what `load` needs of each image.
        load: Called in a graph with a tuple of one row of each; gives the image.
        convert: Bool array, `(count,)`: which images only Pillow decodes.
    """

    name: str
    class_names: tuple[str, ...]
    keys: np.ndarray = dataclasses.field(repr=False)
    labels: np.ndarray = dataclasses.field(repr=False)
    sizes: np.ndarray = dataclasses.field(repr=False)
    broken: tuple[str, ...] = dataclasses.field(repr=False)
    tensors: tuple[np.ndarray, ...] = dataclasses.field(repr=False)
    load: Callable = dataclasses.field(repr=False)
    convert: np.ndarray = dataclasses.field(repr=False)

    @property
    def count(self):
        """Number of images."""
        return len(self.keys)

    @functools.cached_property
    def fingerprint(self):
        """SHA-256 of the keys, sizes, labels and class names, hexadecimal.

        The order and the kind of storage don't change it.
        """
        rows = zip(self.keys, self.sizes, self.labels, strict=True)
        lines = sorted(f"{key}\t{size}\t{label}" for key, size, label in rows)
        text = "\n".join([*self.class_names, "", *lines])
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()

    @property
    def class_counts(self):
        """Images of each class, `(classes,)`."""
        return np.bincount(self.labels, minlength=len(self.class_names))

    def dataset(self, order_seed=None, places=None):
        """The images, one pass.

        Args:
            order_seed: A non-negative integer that fixes the order, the same on
                every run and machine; `None` for the order of `keys`.
            places: Int array: which places of that order are read, one after the
                other; `None` for all of them.

        Returns:
            A `tf.data.Dataset` of dicts: `image`, a scalar string that
            `keras_effnet.data.decode` takes, or a uint8 array
            `(height, width, channels)`; `label`, an int64 scalar; `key`, a scalar
            string.
        """
        # Imports TensorFlow.
        from keras_effnet.data import indexed

        return indexed.examples(self, indexed.order(self.count, order_seed, places))

    def subset(self, name, mask):
        """Some of the images.

        Args:
            name: Of the new source.
            mask: Bool array, `(count,)`.

        Returns:
            A `Source` with the same classes.
        """
        return dataclasses.replace(
            self,
            name=name,
            keys=self.keys[mask],
            labels=self.labels[mask],
            sizes=self.sizes[mask],
            tensors=tuple(tensor[mask] for tensor in self.tensors),
            convert=self.convert[mask],
        )


def find_data(text, data_dir=None):
    """What lies behind a name, before any image is read.

    Args:
        text: As for `open_source`.
        data_dir: As for `open_source`.

    Returns:
        An object with `splits`, a tuple of the names of its splits, and
        `open(split, like, on_broken, cache, progress)`, which gives a `Source`;
        `like` is a `Source` whose classes it shall have.

    Raises:
        InputError: There is no such data.
    """
    # TensorFlow and TFDS are heavy: each is imported only where it is needed.
    if text == "digits":
        from keras_effnet.data import idx

        return idx.DigitsData()
    if str(text).startswith("tfds:"):
        from keras_effnet.data import tfds_source

        return tfds_source.TfdsData(str(text), data_dir)
    from keras_effnet.data import folder
    from keras_effnet.data import idx
    from keras_effnet.data import record_files

    path = pathlib.Path(text).expanduser()
    if path.is_dir():
        if idx.find_files(path):
            return idx.IdxData(path)
        if (path / "dataset_info.json").is_file():
            raise InputError(
                "The folder was prepared by TensorFlow Datasets. "
                f"Did you mean 'tfds:{path}'? Received: {str(text)!r}"
            )
        if record_files.find_files(path):
            return record_files.RecordData(path)
        return folder.FolderData(path)
    if record_files.find_files(path):
        return record_files.RecordData(path)
    raise InputError(
        f"There is no such data: it is {_KINDS}. "
        f"{suggest(text, ['digits', *_neighbours(path)])}Received: {str(text)!r}"
    )


def _neighbours(path):
    try:
        return [
            str(path.parent / other.name)
            for other in path.parent.iterdir()
            if other.is_dir()
        ]
    except OSError:
        return []


def open_source(
    text, split=None, data_dir=None, on_broken="skip", cache=None, progress=None
):
    """Opens labelled images.

    Every image is looked at once: that gives exact counts and finds the broken
    ones before a training starts.

    Args:
        text: One of: a folder of class folders, or of `train` and `validation`
            (`val`, `valid`, `test`) folders of such; a folder or a pattern of
            TFRecord files with ImageNet's feature names; a folder of MNIST's IDX
            files; `"tfds:NAME"` or `"tfds:NAME/CONFIG"` of TensorFlow Datasets, or
            `"tfds:FOLDER"` of a prepared dataset or of a `tfds.ImageFolder`;
            `"digits"` for those of scikit-learn.
        split: Name of a split; TFDS also takes its own syntax, `"train[:80%]"`.
            `None` for `train`, or for all images of data without splits.
        data_dir: Where TFDS keeps its data.
        on_broken: `"skip"` leaves images that can't be decoded out, with one
            warning; `"fail"` ends at them.
        cache: Folder that keeps what was found, so that files that haven't changed
            aren't looked at again, or `None`. The command line's is
            `keras_effnet.data.cached.default_folder()`.
        progress: Called with a line of text before every image is looked at; a bar
            counts them. `None` for silence.

    Returns:
        A `Source`.

    Raises:
        InputError: There is no such data, or it is no classification data.
    """
    return find_data(text, data_dir).open(
        split, on_broken=on_broken, cache=cache, progress=progress
    )


def check_split(split, splits, text):
    """Refuses a split that the data doesn't have.

    Args:
        split: Name of a split, or `None`.
        splits: Those that there are.
        text: The data, as the user gave it.

    Returns:
        The split; the first of them for `None`, `None` if there are none.

    Raises:
        InputError: There is no such split.
    """
    if split is None:
        return splits[0] if splits else None
    if split not in splits:
        valid = f"the splits {', '.join(splits)}" if splits else "no splits"
        raise InputError(
            f"{str(text)!r} has {valid}. {suggest(split, splits)}Received: {split!r}"
        )
    return split
