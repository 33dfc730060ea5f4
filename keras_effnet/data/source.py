"""What a source is: labelled images of one split, read in any order."""

import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from keras_effnet.data import photos
from keras_effnet.data import scan
from keras_effnet.data.finding import split_kind
from keras_effnet.errors import InputError
from keras_effnet.errors import suggest

# Names of splits that mean something, in the order of preference.
SPLITS = ("train", "validation", "valid", "val", "test")


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
        digests: uint64 array, `(count,)`, of `keras_effnet.made_with`; 0 of an image
            that is no encoded photograph.
        place: The folder of class folders, in which the keys are paths, or the list
            that it was read from; `None` of data that are no files.
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
    digests: np.ndarray = dataclasses.field(repr=False)
    place: pathlib.Path | None = None

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.keys)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the keys, sizes, labels and class names, hexadecimal.

        The order and the kind of storage don't change it.
        """
        rows = zip(self.keys, self.sizes, self.labels, strict=True)
        lines = sorted(f"{key}\t{size}\t{label}" for key, size, label in rows)
        text = "\n".join([*self.class_names, "", *lines])
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()

    @property
    def class_counts(self) -> np.ndarray:
        """Images of each class, `(classes,)`."""
        return np.bincount(self.labels, minlength=len(self.class_names))

    def dataset(
        self, order_seed: int | None = None, places: np.ndarray | None = None
    ) -> tf.data.Dataset:
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
        chosen = order(self.count, order_seed, places)
        keys = [key.encode("utf-8", "surrogateescape") for key in self.keys[chosen]]
        # Of objects: in a fixed-width array each would be as long as the longest.
        columns = (self.rows(chosen), self.labels[chosen], np.array(keys, "O"))
        return tf.data.Dataset.from_tensor_slices(columns).map(
            lambda row, label, key: {
                "image": self.image(row),
                "label": label,
                "key": key,
            },
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )

    def rows(self, chosen: np.ndarray) -> tuple[np.ndarray, ...]:
        """What `image` needs of some images: a tuple of arrays, `(images, ...)`."""
        flags = (self.convert,) if self.convert.any() else ()
        return tuple(tensor[chosen] for tensor in (*self.tensors, *flags))

    def image(self, row: tuple) -> tf.Tensor:
        """One image, in a graph, of the tensors of one image of `rows`."""
        if not self.convert.any():
            return self.load(row)
        return scan.convert_where(row[-1], self.load(row[:-1]))

    def subset(self, name: str, mask: np.ndarray) -> "Source":
        """A `Source` of some of the images, by a bool mask, with the same classes."""
        return dataclasses.replace(
            self,
            name=name,
            keys=self.keys[mask],
            labels=self.labels[mask],
            sizes=self.sizes[mask],
            tensors=tuple(tensor[mask] for tensor in self.tensors),
            convert=self.convert[mask],
            digests=self.digests[mask],
        )


def order(count: int, seed: int | None, places: np.ndarray | None = None) -> np.ndarray:
    """An order of so many things that the seed, not negative, fixes for good, an int64
    array; 0, 1, 2 ... for `None`. `places` are those of it that are wanted."""
    found = np.arange(count)
    if seed is not None:
        found = np.random.Generator(np.random.PCG64(seed)).permutation(count)
    return found if places is None else found[places]


def checked_source(
    name: str,
    class_names: Iterable[str],
    keys: Sequence[str],
    labels: Sequence[int] | np.ndarray,
    tensors: Sequence,
    load: Callable,
    verdicts: Sequence[scan.Verdict],
    on_broken: str,
    names: Sequence[str] | None = None,
    place: pathlib.Path | None = None,
) -> Source:
    """A source of those images that can be decoded, by their `scan.Verdict`s; arguments
    as for `Source` and `open_source`. `names` is what messages call the images."""
    class_names, labels = tuple(class_names), np.asarray(labels, np.int64)
    wrong = np.flatnonzero((labels < 0) | (labels >= len(class_names)))
    if len(wrong):
        raise InputError(
            f"The labels of {len(class_names)} classes are 0 to "
            f"{len(class_names) - 1}. Received: {len(wrong)} others (a test split may "
            f"have no labels), the first is {labels[wrong[0]]} of {keys[wrong[0]]!r}"
        )
    for class_name in class_names:
        try:
            class_name.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                "The name of a class must be Unicode text, that of its folder UTF-8. "
                f"Received: {class_name!r} in {name!r}"
            ) from error
    called = np.array(keys if names is None else names, object)
    good = photos.sound(called, [verdict.reason for verdict in verdicts], on_broken)
    source = Source(
        name=name,
        class_names=class_names,
        keys=np.array(keys, object),
        labels=labels,
        sizes=np.array([verdict.size for verdict in verdicts], np.int64),
        broken=tuple(called[~good]),
        tensors=tuple(map(np.asarray, tensors)),
        load=load,
        convert=np.array([verdict.code == scan.CONVERT for verdict in verdicts]),
        digests=np.array([verdict.digest for verdict in verdicts], np.uint64),
        place=place,
    )
    return source if good.all() else source.subset(name, good)


def array_source(
    name: str,
    class_names: Iterable[str],
    keys: Sequence[str],
    labels: np.ndarray,
    images: np.ndarray,
) -> Source:
    """A source over uint8 images in memory, `(count, height, width, channels)`."""
    verdicts = [scan.Verdict(scan.NATIVE, images[0].size)] * len(images)
    return checked_source(
        name, class_names, keys, labels, (images,), lambda row: row[0], verdicts, "fail"
    )


def classes_like(found: Iterable[str], like: Source | None, where: str) -> tuple:
    """The class names of what was found, a tuple; those of `like`, the training data,
    which must have all of them, if there is one."""
    if not like:
        return tuple(found)
    unknown = sorted(set(found) - set(like.class_names))
    if unknown:
        raise InputError(
            "The validation data has classes that the training data doesn't "
            f"have: {', '.join(unknown)}. Received: {where!r}"
        )
    return like.class_names


def check_split(split: str | None, splits: Sequence[str], text: object) -> str | None:
    """The split of this name, which must be one of the data `text`; the first one for
    `None`, `None` if there are none."""
    if split is None:
        return splits[0] if splits else None
    alike = [s for s in splits if split_kind(s) and split_kind(s) == split_kind(split)]
    if split not in splits and len(alike) == 1:
        return alike[0]
    if split not in splits:
        valid = f"the splits {', '.join(splits)}" if splits else "no splits"
        raise InputError(
            f"{str(text)!r} has {valid}. {suggest(split, splits)}Received: {split!r}"
        )
    return split
