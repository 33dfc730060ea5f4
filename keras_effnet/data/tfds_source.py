"""Data of TensorFlow Datasets."""

import os
import pathlib

import tensorflow as tf

from keras_effnet.data import cached
from keras_effnet.data import record_index
from keras_effnet.data.source import SPLITS
from keras_effnet.data.source import check_split
from keras_effnet.data.source import checked_source
from keras_effnet.errors import InputError
from keras_effnet.errors import explained
from keras_effnet.errors import needed
from keras_effnet.errors import suggest

_PREFIX = "tfds:"
_FILE_NAMES = ("image/filename", "file_name", "filename", "image_name")


class TfdsData:
    """A dataset of TensorFlow Datasets, prepared if it is not yet; as `open_source`.
    Its `splits` have `train` first."""

    def __init__(self, text, data_dir=None):
        message = (
            "TensorFlow Datasets is not installed: pip install 'keras-effnet[tfds]'."
        )
        self._tfds = tfds = needed("tensorflow_datasets", message, text)
        self.text = text
        self._builder = _builder(tfds, text, data_dir)
        self._is_folder = isinstance(self._builder, tfds.ImageFolder)
        self._check_format()
        self._image, self._label = self._feature_names()
        found = self._builder.info.splits
        self.splits = tuple(
            sorted(found, key=lambda s: (s not in SPLITS, s != "train", s))
        )

    def _check_format(self):
        file_format = self._builder.info.file_format
        if file_format and file_format.value != "tfrecord":
            raise InputError(
                "Only data that TensorFlow Datasets prepared as TFRecord files can be "
                "read; in a new folder: `tfds build "
                f"{self._builder.name} --file_format=tfrecord --data_dir=NEW`. "
                f"Received: {file_format.value!r} in {self.text!r}"
            )

    def _feature_names(self):
        features = self._builder.info.features

        def first(kind):
            names = [name for name in features if isinstance(features[name], kind)]
            # The pair that TFDS itself calls input and target, if it fits.
            preferred = [
                n for n in names if n in (self._builder.info.supervised_keys or ())
            ]
            return (preferred or names or [None])[0]

        image = first(self._tfds.features.Image)
        label = first(self._tfds.features.ClassLabel)
        if not image or not label:
            raise InputError(
                "The dataset must have an Image and a ClassLabel feature, it has: "
                f"{', '.join(features)}. Received: {self.text!r}"
            )
        return image, label

    def open(self, split=None, like=None, on_broken="skip", cache=None, progress=None):
        """The images of one split, or of a part in TFDS syntax; as `open_source`. Keys
        are the dataset's file names, or its `tfds_id`."""
        if self._is_folder or split is None:
            split = check_split(split, self.splits, self.text)
        else:
            self._check_split(split)
        name = f"{self.text}:{split}"
        stamp = None
        folder = pathlib.Path(self._builder.data_dir)
        # Of an ImageFolder it isn't that of the photographs; it may be in a cloud.
        if not self._is_folder and folder.is_dir():
            cache = cached.file_of(cache, f"{folder}:{split}")
            stamp = cached.stamp(path for path in folder.iterdir() if path.is_file())
        if self._is_folder:
            examples, columns, load = self._photos(split)
        else:
            examples, columns, load = self._records(split)
        index = record_index.read_index(examples, name, progress, cache, stamp)
        keys = [_short(key) for key in index.keys]
        class_names = self._builder.info.features[self._label].names
        if like and tuple(class_names) != like.class_names:
            raise InputError(
                "The validation data must have the training data's classes. "
                f"Received: {name!r}"
            )
        return checked_source(
            name=name,
            class_names=class_names,
            keys=keys,
            labels=index.columns["label"],
            tensors=[index.columns[column] for column in columns],
            load=lambda row: load(*row),
            verdicts=index.verdicts,
            on_broken=on_broken,
        )

    def _check_split(self, split):
        try:
            self._builder.info.splits[split]
        except (KeyError, ValueError) as error:
            raise InputError(
                f"{self.text!r} has the splits {', '.join(self.splits)}, and parts of "
                f"them: 'train[:80%]'. {suggest(split, self.splits)}Received: {split!r}"
            ) from error

    def _records(self, split):
        """What `record_index` needs of a prepared split."""
        split = self._builder.info.splits[split]
        shards = [
            record_index.Shard(
                path=_absolute(os.fspath(file.filename)),
                prefix=f"{file.basename()}__",  # as in TFDS' own `tfds_id`
                skip=file.skip,
                take=-1 if file.takes_all else file.take,
            )
            for file in split.file_instructions
        ]
        paths = [shard.path for shard in shards]
        examples = record_index.records(shards, self._parsed).apply(
            tf.data.experimental.assert_cardinality(split.num_examples)
        )

        def load(file, offset):
            record = record_index.read_record(tf.gather(paths, file), offset)
            return self._deserialized(record)[self._image]

        return examples, ("file", "offset"), load

    def _deserialized(self, record):
        decoders = {self._image: self._tfds.decode.SkipDecoding()}
        return self._builder.info.features.deserialize_example(
            record, decoders=decoders
        )

    def _parsed(self, record):
        example = self._deserialized(record)
        names = [example[name] for name in _FILE_NAMES if name in example]
        return {
            "key": names[0] if names else tf.constant(""),
            "label": tf.cast(example[self._label], tf.int64),
            "image": example[self._image],
        }

    def _photos(self, split):
        """What `record_index` needs of a split of an ImageFolder."""
        examples = self._builder.as_dataset(
            split=split,
            decoders={self._image: self._tfds.decode.SkipDecoding()},
            read_config=self._tfds.ReadConfig(try_autocache=False),
        ).map(
            lambda example: {
                "key": example["image/filename"],
                "label": tf.cast(example[self._label], tf.int64),
                "image": example[self._image],
            }
        )
        return examples, ("key",), tf.io.read_file


def _absolute(path):
    # A worker of the data service has a working directory of its own.
    return path if "://" in path else os.path.abspath(path)


def _short(name):
    """A file name as the folder source has it: `"daisy/1.jpg"`."""
    return "/".join(name.split("/")[-2:]) if os.path.isabs(name) else name


def _builder(tfds, text, data_dir):
    name = text.removeprefix(_PREFIX)
    known = tfds.list_builders(with_community_datasets=False)
    path = pathlib.Path(name).expanduser().absolute()
    first = name.split("/")[0].split(":")[0]
    if first not in known and path.is_dir():
        return _from_folder(tfds, path)
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except (tfds.core.DatasetNotFoundError, ValueError) as error:
        raise InputError(
            "TensorFlow Datasets knows no such dataset, and there is no such folder. "
            f"{suggest(first, known)}Received: {text!r}"
        ) from error
    if not builder.info.splits:
        message = "TensorFlow Datasets couldn't download and prepare the dataset: {}."
        # Each dataset's own code runs here: it fails in every way there is.
        with explained(message, text):
            builder.download_and_prepare()
    return builder


def _from_folder(tfds, path):
    with explained("TensorFlow Datasets can't read the folder: {}.", path):
        if (path / "dataset_info.json").is_file():
            return tfds.builder_from_directory(path)
        builder = tfds.ImageFolder(str(path))
    if not builder.info.splits:
        raise InputError(
            "A folder for 'tfds:' is one that TFDS prepared (with dataset_info.json), "
            "or an ImageFolder (train/daisy/1.jpg). For a folder of class folders "
            f"leave 'tfds:' away. Received: {str(path)!r}"
        )
    return builder
