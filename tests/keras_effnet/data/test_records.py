"""TFRecord files: the same images as from the folder, and files of others."""

import json
import logging
import shutil

import numpy as np
import pytest
import tensorflow as tf
from conftest import shared_file
from test_sources import FORMATS
from test_sources import assert_any_places_can_be_read
from test_sources import content
from test_sources import keys
from test_sources import write_classes

from keras_effnet.data import scan
from keras_effnet.data.decode import decode
from keras_effnet.data.formats import open_source
from keras_effnet.data.records import write_records
from keras_effnet.data.split import train_and_validation
from keras_effnet.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("folder")
    return write_classes(root, tulip=12, daisy=15, rose=13)


@pytest.fixture(scope="module")
def written(folder, tmp_path_factory):
    target = tmp_path_factory.mktemp("records") / "flowers"
    return write_records({"train": open_source(folder)}, target, "flowers", shards=3)


def test_records_give_back_what_was_written(folder, written):
    assert sorted(path.name for path in written.iterdir()) == [
        "classes.json",
        *(f"flowers-train-{i:05d}-of-00003.tfrecord" for i in range(3)),
    ]
    original, source = open_source(folder), open_source(written)
    assert content(source) == content(original)
    assert source.fingerprint == original.fingerprint
    assert source.class_names == original.class_names
    assert keys(source) == source.keys.tolist()
    # Mixed: no part is of one class.
    assert all(len(set(part)) > 1 for part in np.split(source.labels, [13, 26]))


def test_records_are_tf_examples_with_imagenets_names(folder, written):
    path = min(written.glob("*.tfrecord"))
    record = next(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    feature = tf.train.Example.FromString(record).features.feature
    key = feature["image/filename"].bytes_list.value[0].decode()
    text = feature["image/class/text"].bytes_list.value[0].decode()
    assert text == key.split("/")[0]
    assert feature["image/encoded"].bytes_list.value[0] == (folder / key).read_bytes()
    assert feature["image/format"].bytes_list.value[0] == b"jpeg"
    assert set(feature) == {
        "image/encoded",
        "image/format",
        "image/class/label",
        "image/class/text",
        "image/filename",
    }


def test_the_order_of_records_is_fixed_by_the_seed_alone(written):
    train, validation = train_and_validation(written, validation=0.3)
    first = keys(train, 5)
    tf.random.set_seed(9)
    assert keys(train, 5) == first
    assert keys(train_and_validation(written, validation=0.3)[0], 5) == first
    assert sorted(first) == sorted(train.keys)
    assert len({tuple(keys(train, seed)) for seed in range(4)}) == 4
    assert not set(first) & set(validation.keys)
    assert len(list(train.dataset(0))) == train.count == len(train.dataset(0))


def test_any_places_of_records_can_be_read(folder, written):
    assert_any_places_can_be_read(open_source(written), open_source(folder))


def same_everywhere(root, tmp_path):
    """Folder, TFRecords and ImageFolder of the same photographs."""
    records = write_records({"train": open_source(root)}, tmp_path / "records")
    (tmp_path / "tfds").mkdir()
    (tmp_path / "tfds" / "train").symlink_to(root)
    pairs = [
        train_and_validation(text)
        for text in (root, records, f"tfds:{tmp_path / 'tfds'}")
    ]
    for train, validation in pairs[1:]:
        for source, expected in zip((train, validation), pairs[0], strict=True):
            assert source.class_names == expected.class_names
            assert source.class_counts.tolist() == expected.class_counts.tolist()
            assert sorted(source.keys) == sorted(expected.keys)
            assert source.fingerprint == expected.fingerprint
    return pairs


def test_the_same_photographs_from_three_kinds_of_storage(tmp_path):
    pytest.importorskip("tensorflow_datasets", reason="TFDS is not installed")
    flowers = shared_file("data/flowers")
    for folder in flowers.iterdir():
        (tmp_path / "some" / folder.name).mkdir(parents=True)
        for path in sorted(folder.iterdir())[:20]:
            (tmp_path / "some" / folder.name / path.name).symlink_to(path)
    pairs = same_everywhere(tmp_path / "some", tmp_path)
    contents = [content(validation) for _, validation in pairs]
    assert contents[0] == contents[1] == contents[2]
    assert len(pairs[0][0].keys) + len(contents[0]) == 100


@pytest.mark.slow
def test_all_the_flowers_from_three_kinds_of_storage(tmp_path):
    pytest.importorskip("tensorflow_datasets", reason="TFDS is not installed")
    pairs = same_everywhere(shared_file("data/flowers"), tmp_path)
    assert {train.count + validation.count for train, validation in pairs} == {2934}


def test_both_splits_and_arrays(tmp_path):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    train, test = (open_source("digits", split) for split in ("train", "test"))
    chosen = np.arange(test.count) < 60
    few = test.subset("few", chosen)
    folder = write_records({"train": few, "test": few}, tmp_path / "digits")
    counts = json.loads((folder / "classes.json").read_text())["splits"]
    assert counts == {"train": 60, "test": 60}
    again, validation = train_and_validation(folder)
    assert again.class_names == train.class_names
    assert (again.count, validation.count) == (60, 60)
    pixels = {row["key"]: row for row in few.dataset().as_numpy_iterator()}
    for row in again.dataset(1).as_numpy_iterator():
        expected = pixels[row["key"]]
        assert row["image"].startswith(b"\x89PNG")
        assert (decode(tf.constant(row["image"]), 1) == expected["image"]).numpy().all()
        assert row["label"] == expected["label"]


def test_shards_have_a_size(folder, tmp_path, monkeypatch):
    source = open_source(folder)
    size = (int(source.sizes.sum()) - 1) // 4
    monkeypatch.setattr("keras_effnet.data.records._SHARD_BYTES", size)
    seen = []
    target = write_records({"train": source}, tmp_path / "r", progress=seen.append)
    assert len(list(target.glob("*-of-00005.tfrecord"))) == 5
    assert seen == ["writing 40 images"]


def test_what_cannot_be_written_leaves_nothing(folder, tmp_path, monkeypatch):
    source = open_source(folder)
    full = tmp_path / "full"
    full.mkdir()
    (full / "precious").write_text("")
    with pytest.raises(InputError, match="new or empty"):
        write_records({"train": source}, full)
    with pytest.raises(InputError, match="at least 1"):
        write_records({"train": source}, tmp_path / "new", shards=0)

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("keras_effnet.data.records._write_split", no_space)
    with pytest.raises(InputError, match="No space left on device"):
        write_records({"train": source}, tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


# Records of others


def write_foreign(path, rows, compression=""):
    """Rows of `{feature: bytes or int}`."""
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for row in rows:
            feature = {
                f"image/{name}": tf.train.Feature(
                    int64_list=tf.train.Int64List(value=[value])
                )
                if isinstance(value, int)
                else tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
                for name, value in row.items()
            }
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            writer.write(example.SerializeToString())


def foreign(label, text=None, **more):
    row = {"encoded": FORMATS["jpeg"], "class/label": label, **more}
    return row if text is None else {**row, "class/text": text}


def test_classes_come_from_the_records_where_nothing_else_tells(tmp_path):
    rows = [foreign(i % 3 + 1, [b"cat", b"ape", b"dog"][i % 3]) for i in range(30)]
    write_foreign(tmp_path / "train-00000-of-00002", rows[:20])
    write_foreign(tmp_path / "train-00001-of-00002", rows[20:])
    write_foreign(tmp_path / "validation-00000-of-00001", [foreign(3, b"dog")])
    train, validation = train_and_validation(tmp_path)
    assert train.class_names == ("cat", "ape", "dog")
    assert train.labels.tolist() == [i % 3 for i in range(30)]
    assert train.keys[0] == "train-00000-of-00002:0"
    assert validation.labels.tolist() == [2]
    assert open_source(tmp_path / "train-*").count == 30
    write_foreign(tmp_path / "validation-00000-of-00001", [foreign(4, b"emu")])
    with pytest.raises(InputError, match=r"doesn't have: emu\."):
        train_and_validation(tmp_path)
    (tmp_path / "train-00001-of-00002").unlink()
    with pytest.raises(InputError, match="1 of 2 TFRecord files are missing"):
        open_source(tmp_path)


def test_records_without_names(tmp_path):
    path = tmp_path / "data.tfrecord"
    write_foreign(path, [foreign(i % 2) for i in range(40)])
    train, validation = train_and_validation(path)
    assert train.class_names == ("0", "1")
    assert train.count + validation.count == 40
    assert 0 < validation.count < 20
    assert sorted(keys(train, 1)) == sorted(train.keys)


def test_compressed_records_are_refused(tmp_path):
    path = tmp_path / "data.tfrecord.gz"
    write_foreign(path, [foreign(i % 2) for i in range(4)], "GZIP")
    for text in (path, tmp_path, tmp_path / "data*"):
        with pytest.raises(InputError, match=r"gunzip them.*data\.tfrecord\.gz'$"):
            open_source(text)


def test_labels_out_of_range(tmp_path):
    (tmp_path / "classes.json").write_text('{"classes": ["a", "b"]}')
    path = tmp_path / "x.tfrecord"
    write_foreign(path, [foreign(0), foreign(1), foreign(2, filename=b"a/third.jpg")])
    with pytest.raises(
        InputError, match=r"are 0 to 1\. Received: 1 others.*2 of 'a/third"
    ):
        open_source(path)
    (tmp_path / "classes.json").write_text('{"classes": 2}')
    with pytest.raises(InputError, match="must be JSON"):
        open_source(path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "holds no images"),
        ([foreign(0, b"a"), foreign(0, b"b")], "Label 0 has two names"),
        ([foreign(0, b"a"), foreign(1, b"a")], "Two labels of the records have one"),
        ([{"encoded": b""}], "can't be read.*class/label"),
    ],
)
def test_records_that_are_no_labelled_images(tmp_path, rows, message):
    write_foreign(tmp_path / "x.tfrecord", rows)
    with pytest.raises(InputError, match=message):
        open_source(tmp_path)


def test_damaged_record_files(written, tmp_path):
    path = tmp_path / "x.tfrecord"
    whole = min(written.glob("*.tfrecord")).read_bytes()
    for data in (whole[:-5], b"these are no records", whole[:50] + b"?" + whole[51:]):
        path.write_bytes(data)
        with pytest.raises(InputError, match="The records can't be read"):
            open_source(path)


def test_records_damaged_after_they_were_looked_at(written, tmp_path):
    shutil.copytree(written, tmp_path / "r")
    source = open_source(tmp_path / "r")
    last = max((tmp_path / "r").glob("*.tfrecord"))
    whole = last.read_bytes()
    for data in (whole[:-50] + b"?" + whole[-49:], whole[:-5]):
        last.write_bytes(data)
        with pytest.raises(tf.errors.DataLossError):
            list(source.dataset())
        assert len(list(source.dataset(None, np.arange(source.count - 1)))) == 39
    last.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(tf.errors.OpError):
        list(source.dataset(0))


def test_records_that_ended_too_early(folder, tmp_path):
    source = open_source(folder)
    target = write_records({"train": source}, tmp_path / "r", shards=2)
    last = max(target.glob("*.tfrecord"))
    # TensorFlow takes half a record's header for the end of the file.
    last.write_bytes(last.read_bytes() + b"half")
    assert open_source(target).count == 40
    last.write_bytes(b"half")
    with pytest.raises(InputError, match=r"40 images.*Received: 20 in"):
        open_source(target)


def test_names_that_are_no_text(tmp_path, caplog):
    names = [b"caf\xe9-%d.jpg" % i for i in range(6)]
    rows = [foreign(i % 2, filename=name) for i, name in enumerate(names)]
    rows[3]["encoded"] = rows[3]["encoded"][:-20]
    write_foreign(tmp_path / "x.tfrecord", rows)
    for _ in range(2):  # the second time from the cache
        source = open_source(tmp_path, cache=tmp_path / "cache")
        kept = [example["key"].numpy() for example in source.dataset()]
        assert kept == names[:3] + names[4:]
    assert len(source.fingerprint) == 64
    assert r"caf\udce9-3.jpg" in caplog.text


def test_broken_images_in_records_have_a_name(tmp_path, caplog):
    rows = [foreign(i % 2, filename=b"%d.jpg" % i) for i in range(20)]
    rows[3]["encoded"] = rows[3]["encoded"][:-20]
    rows[8]["encoded"] = FORMATS["tiff"]
    write_foreign(tmp_path / "x.tfrecord", rows)
    with caplog.at_level(logging.WARNING, "keras_effnet"):
        source = open_source(tmp_path)
    assert source.broken == ("3.jpg",)
    assert "1 of 20 images can't be decoded" in caplog.text
    assert source.count == 19
    shapes = {decode(example["image"]).shape for example in source.dataset(2)}
    assert shapes == {(24, 37, 3)}
    with pytest.raises(InputError, match=r"1 of 20 images.*3\.jpg \("):
        open_source(tmp_path, on_broken="fail")


def test_records_that_have_not_changed_are_not_looked_at_again(
    folder, tmp_path, monkeypatch
):
    looked_at = []
    inspect = scan.inspect
    monkeypatch.setattr(
        scan, "inspect", lambda data: looked_at.append(1) or inspect(data)
    )
    cache = tmp_path / "cache"
    original = open_source(folder, cache=cache)
    first = write_records({"train": original}, tmp_path / "first", "flowers")
    looked_at.clear()
    for _ in range(2):
        source = open_source(first, cache=cache)
        assert content(source) == content(original)
        assert len(looked_at) == original.count
    # Kept by another version, or damaged.
    for i, damage in enumerate(({"columns": {"key": []}}, {"verdicts": None})):
        for path in cache.iterdir():
            path.write_text(json.dumps(json.loads(path.read_text()) | damage))
        assert content(open_source(first, cache=cache)) == content(original)
        assert len(looked_at) == (2 + i) * original.count
    fewer = original.subset("fewer", np.arange(original.count) < 9)
    write_records({"train": fewer}, tmp_path / "second", "flowers")
    for path in (tmp_path / "second").iterdir():
        path.replace(first / path.name)
    assert content(open_source(first, cache=cache)) == content(fewer)
