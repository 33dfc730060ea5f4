"""TensorFlow Datasets, written here: nothing is downloaded."""

import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from test_sources import assert_any_places_can_be_read
from test_sources import content
from test_sources import encoded
from test_sources import keys
from test_sources import picture
from test_sources import write_classes

from keras_effnet.data import scan
from keras_effnet.data.decode import decode
from keras_effnet.data.formats import open_source
from keras_effnet.data.split import train_and_validation
from keras_effnet.errors import InputError

tfds = pytest.importorskip("tensorflow_datasets", reason="TFDS is not installed")
IMAGES = np.random.default_rng(0).integers(0, 256, (70, 28, 28, 1), np.uint8)


def prepared(data_dir, dataset_name, version, features, examples):
    """Writes a dataset of the given examples by split; its folder."""

    class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        name = dataset_name
        VERSION = tfds.core.Version(version)

        def _info(self):
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, _):
            return {split: self._generate_examples(split) for split in examples}

        def _generate_examples(self, split):
            yield from enumerate(examples[split])

    builder = Builder(data_dir=data_dir)
    config = tfds.download.DownloadConfig(num_shards=2)
    tfds.disable_progress_bar()
    builder.download_and_prepare(download_config=config)
    return pathlib.Path(builder.data_path)


def prepared_mnist(data_dir, splits):
    """Writes a `tfds:mnist` of the given examples by split."""
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(28, 28, 1)),
            "label": tfds.features.ClassLabel(num_classes=10),
        }
    )
    prepared(data_dir, "mnist", "3.0.1", features, splits)
    return data_dir


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    """A small `tfds:mnist`, written here."""
    rows = [{"image": image, "label": i % 10} for i, image in enumerate(IMAGES)]
    splits = {"train": rows[:50], "test": rows[50:]}
    return prepared_mnist(tmp_path_factory.mktemp("tfds"), splits)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("folder")
    return write_classes(root, tulip=12, daisy=15, rose=13)


def test_mnist_from_tfds(mnist):
    train, test = train_and_validation("tfds:mnist", data_dir=mnist)
    assert (train.count, test.count) == (50, 20)
    assert train.class_names == tuple("0123456789")
    assert train.class_counts.tolist() == [5] * 10
    known = {image.tobytes(): i % 10 for i, image in enumerate(IMAGES)}
    for source in (train, test):
        assert keys(source) == source.keys.tolist()
        for row in source.dataset(0).as_numpy_iterator():
            pixels = decode(tf.constant(row["image"]), 1).numpy()
            assert known.pop(pixels.tobytes()) == row["label"]
    assert not known
    first = keys(train, 3)
    tf.random.set_seed(4)
    assert keys(train, 3) == first != keys(train, 4)
    assert "mnist-train.tfrecord-00000-of-00002__" in train.keys[0]


def test_tfds_takes_parts_of_splits_and_prepared_folders(mnist):
    whole = open_source("tfds:mnist", data_dir=mnist)
    part = open_source("tfds:mnist", "train[:80%]", data_dir=mnist)
    rest = open_source("tfds:mnist", "train[80%:]", data_dir=mnist)
    assert (part.count, rest.count) == (40, 10)
    assert content(part, 1) | content(rest, 2) == content(whole)
    folder = mnist / "mnist" / "3.0.1"
    assert open_source(f"tfds:{folder}").fingerprint == whole.fingerprint
    with pytest.raises(InputError, match="Did you mean 'tfds:"):
        open_source(folder)
    with pytest.raises(InputError, match=r"splits train, test.*Did you mean 'test'"):
        open_source("tfds:mnist", "tets", data_dir=mnist)
    with pytest.raises(InputError, match=r"no images.*'tfds:mnist:train\[:0\]'"):
        open_source("tfds:mnist", "train[:0]", data_dir=mnist)


def test_any_places_of_an_image_folder_can_be_read(folder, tmp_path):
    (tmp_path / "train").symlink_to(folder)
    assert_any_places_can_be_read(open_source(f"tfds:{tmp_path}"), open_source(folder))


def test_a_tfds_that_is_not_what_its_description_says(mnist, tmp_path):
    shutil.copytree(mnist / "mnist" / "3.0.1", tmp_path / "mnist")
    first, second = sorted((tmp_path / "mnist").glob("*train*"))
    shutil.copy(second, first)
    assert open_source(f"tfds:{tmp_path / 'mnist'}").count == 50
    with tf.io.TFRecordWriter(str(first)):
        pass
    with pytest.raises(InputError, match=r"can't be read.*50.*25"):
        open_source(f"tfds:{tmp_path / 'mnist'}")
    info = tmp_path / "mnist" / "dataset_info.json"
    info.write_text(info.read_text().replace('"tfrecord"', '"array_record"'))
    with pytest.raises(
        InputError,
        match=r"build mnist --file_format=tfrecord.*'array_record' in 'tfds:",
    ):
        open_source(f"tfds:{tmp_path / 'mnist'}")


def test_a_tfds_that_has_not_changed_is_not_looked_at_again(
    mnist, tmp_path, monkeypatch
):
    inspect = scan.inspect
    looked_at = []
    monkeypatch.setattr(
        scan, "inspect", lambda data: looked_at.append(1) or inspect(data)
    )
    sources = [
        open_source("tfds:mnist", split, data_dir=mnist, cache=tmp_path)
        for split in ("train", "test", "train", "test", "train[:80%]")
    ]
    assert [source.count for source in sources] == [50, 20, 50, 20, 40]
    assert len(looked_at) == 50 + 20 + 40
    assert sources[0].fingerprint == sources[2].fingerprint


def test_a_tfds_without_validation_is_split_by_its_file_names(folder, tmp_path):
    original = open_source(folder)
    rows = [
        {"photo": str(folder / key), "class": key.split("/")[0], "file_name": key}
        for key in original.keys
    ]
    rows[0]["photo"] = str(tmp_path / "tiny.png")
    (tmp_path / "tiny.png").write_bytes(encoded(picture(), "PNG"))
    features = tfds.features.FeaturesDict(
        {
            "photo": tfds.features.Image(encoding_format="jpeg"),
            "class": tfds.features.ClassLabel(names=["tulip", "rose", "daisy"]),
            "file_name": tfds.features.Text(),
        }
    )
    path = prepared(tmp_path, "plants", "1.0.0", features, {"train": rows})
    train, validation = train_and_validation(f"tfds:{path}", 0.3)
    expected = train_and_validation(folder, 0.3)
    assert train.class_names == ("tulip", "rose", "daisy")
    assert sorted(train.keys) == sorted(expected[0].keys)
    assert sorted(validation.keys) == sorted(expected[1].keys)
    names = [key.split("/")[0] for key in train.keys]
    assert [train.class_names[label] for label in train.labels] == names
    source = open_source(f"tfds:{path}")
    photos = source.subset("photos", source.keys != original.keys[0])
    assert_any_places_can_be_read(photos, original)


def test_tfds_data_that_trains_nothing(tmp_path):
    text = tfds.features.FeaturesDict({"text": tfds.features.Text()})
    path = prepared(tmp_path, "letters", "1.0.0", text, {"train": [{"text": "a"}] * 2})
    with pytest.raises(InputError, match=r"an Image and a ClassLabel.*it has: text"):
        open_source(f"tfds:{path}")
    write_classes(tmp_path / "plain", a=1, b=1)
    with pytest.raises(InputError, match="leave 'tfds:' away"):
        open_source(f"tfds:{tmp_path / 'plain'}")
    with pytest.raises(InputError, match="Did you mean 'mnist'"):
        open_source("tfds:mnits", data_dir=tmp_path)
    with pytest.raises(InputError, match="knows no such dataset"):
        open_source(f"tfds:{tmp_path / 'nothing'}")
