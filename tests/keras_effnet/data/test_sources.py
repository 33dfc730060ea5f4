"""Folders, IDX files, digits: what is found, split, ordered, refused, decoded."""

import gzip
import hashlib
import io
import itertools
import json
import logging
import os
import struct

import numpy as np
import pytest
import tensorflow as tf
from conftest import shared_file
from PIL import Image

from keras_effnet.data import scan
from keras_effnet.data.decode import decode
from keras_effnet.data.formats import open_source
from keras_effnet.data.photos import read_photo
from keras_effnet.data.split import hash_place
from keras_effnet.data.split import train_and_validation
from keras_effnet.data.split import write_split
from keras_effnet.errors import InputError


def picture(seed=0, height=24, width=37):
    """A smooth colour picture, of an odd width."""
    noise = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image, image_format, **options):
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def write_classes(root, **counts):
    """`{class: number of JPEG files}` under a folder."""
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            # No two files alike, so that none can be taken for another.
            comment = f"{name} {i}"
            data = encoded(picture(i), "JPEG", quality=90, comment=comment)
            (root / name / f"{name}_{i:03d}.jpg").write_bytes(data)
    return root


def keys(source, *order):
    return [e["key"].decode() for e in source.dataset(*order).as_numpy_iterator()]


def content(source, *order):
    """`{key: (image, class name)}` in the order in which they are read."""
    return {
        row["key"].decode(): (row["image"], source.class_names[row["label"]])
        for row in source.dataset(*order).as_numpy_iterator()
    }


def assert_any_places_can_be_read(source, original):
    """Each place of an order holds the image that `original` has by its key."""
    expected = content(original)
    # NumPy promises PCG64's permutation; a change would break every resume.
    order = np.random.Generator(np.random.PCG64(3)).permutation(source.count)
    assert keys(source, 3) == source.keys[order].tolist()
    thirds = [np.arange(source.count)[part::3] for part in range(3)]
    parts = [content(source, 3, places) for places in thirds]
    assert sorted(key for part in parts for key in part) == sorted(source.keys)
    chosen = np.array([7, 0, source.count - 1])
    for places, part in zip(
        [*thirds, chosen], [*parts, content(source, 3, chosen)], strict=True
    ):
        assert list(part) == source.keys[order[places]].tolist()
        assert all(part[key] == expected[key] for key in part)
    subset = source.subset("odd", np.arange(source.count) % 2 == 1)
    assert content(subset) == {key: expected[key] for key in source.keys[1::2]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("folder")
    return write_classes(root, tulip=12, daisy=15, rose=13)


def test_a_folder_has_sorted_classes_and_its_own_bytes(folder):
    (folder / "notes.txt").write_text("no class")
    (folder / "daisy" / ".hidden.jpg").write_bytes(b"no image")
    source = open_source(folder)
    assert source.class_names == ("daisy", "rose", "tulip")
    assert source.count == 40
    assert source.class_counts.tolist() == [15, 13, 12]
    rows = list(source.dataset().as_numpy_iterator())
    assert [row["key"].decode() for row in rows] == source.keys.tolist()
    assert [row["label"] for row in rows] == source.labels.tolist()
    for row in rows:
        key = row["key"].decode()
        assert row["image"] == (folder / key).read_bytes()
        assert source.class_names[row["label"]] == key.split("/")[0]


def test_the_held_out_share_is_the_hash_of_the_file_name(folder):
    train, validation = train_and_validation(folder, validation=0.3)
    for source, expected in ((train, False), (validation, True)):
        for key in source.keys:
            name = key.split("/")[1].encode()
            share = int(hashlib.sha256(name).hexdigest()[:8], 16) / 2**32
            assert (share < 0.3) == expected
    assert sorted([*train.keys, *validation.keys]) == sorted(open_source(folder).keys)
    assert keys(validation) == validation.keys.tolist()
    assert keys(train, 1) != keys(train, 2)


def test_folders_do_not_change_which_images_are_held_out():
    names = [f"{i}.jpg" for i in range(2000)]
    held_out = [hash_place(name) < 0.2 for name in names]
    assert held_out == [hash_place(f"/a/b/{name}") < 0.2 for name in names]
    assert held_out == [hash_place(f"c:\\b\\{name}") < 0.2 for name in names]
    assert 0.17 < np.mean(held_out) < 0.23
    # More are held out, never others.
    assert all(hash_place(n) < 0.5 for n, h in zip(names, held_out, strict=True) if h)


def test_an_order_is_fixed_by_its_seed_alone(folder):
    source = open_source(folder)
    first = keys(source, 7)
    tf.random.set_seed(3)
    assert keys(open_source(folder), 7) == first
    assert_any_places_can_be_read(source, source)
    assert len({tuple(keys(source, seed)) for seed in range(5)}) == 5


def test_the_fingerprint_follows_the_images(folder, tmp_path):
    fingerprint = open_source(folder).fingerprint
    assert len(fingerprint) == 64
    copy = write_classes(tmp_path, tulip=12, daisy=15, rose=13)
    assert open_source(copy).fingerprint == fingerprint
    (copy / "rose" / "rose_000.jpg").rename(copy / "rose" / "other.jpg")
    renamed = open_source(copy).fingerprint
    (copy / "rose" / "other.jpg").write_bytes(encoded(picture(99), "JPEG"))
    changed = open_source(copy).fingerprint
    (copy / "rose").rename(copy / "roses")
    assert len({fingerprint, renamed, changed, open_source(copy).fingerprint}) == 4


def test_a_folder_of_splits(tmp_path):
    write_classes(tmp_path / "train", a=3, b=2, c=1)
    write_classes(tmp_path / "test", a=1)
    train, validation = train_and_validation(tmp_path)
    assert (train.count, validation.count) == (6, 1)
    write_classes(tmp_path / "val", c=3)  # of which the first is in training, too
    train, validation = train_and_validation(tmp_path)
    assert validation.class_names == ("a", "b", "c")
    assert validation.labels.tolist() == [2, 2]
    assert open_source(tmp_path, "test").count == 1
    assert open_source(tmp_path).count == 6
    with pytest.raises(InputError, match=r"train, val, test.*'train'.*'trian'"):
        open_source(tmp_path, "trian")
    write_classes(tmp_path / "val", d=1)
    with pytest.raises(InputError, match=r"doesn't have: d\. "):
        train_and_validation(tmp_path)


def test_a_class_may_be_called_train(tmp_path):
    assert open_source(write_classes(tmp_path, train=2, car=2)).class_names == (
        "car",
        "train",
    )


def test_the_whole_of_the_flowers():
    root = shared_file("data/flowers")
    train, validation = train_and_validation(root)
    names = ("daisy", "dandelion", "roses", "sunflowers", "tulips")
    assert train.class_names == validation.class_names == names
    counts = [len(list((root / name).iterdir())) for name in names]
    assert (train.class_counts + validation.class_counts).tolist() == counts
    assert train.count + validation.count == 2934
    assert not train.broken


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({}, "has no folders"),
        ({"a": 0, "b": 0}, "hold none: a, b"),
        ({"a": 3, "b": 0, "c": 0}, "hold none: b, c"),
        ({"only": 9}, "at least two classes. Received: 'only'"),
    ],
)
def test_folders_that_train_nothing(tmp_path, counts, message):
    with pytest.raises(InputError, match=message):
        train_and_validation(write_classes(tmp_path, **counts))


def test_each_class_is_on_both_sides_where_it_can_be(tmp_path, caplog):
    write_classes(tmp_path, few=3, pair=2, only=1)
    held_out = [i for i in range(99) if hash_place(f"{i}.jpg") < 0.2]
    for label, name in (
        ("pair", "pair_000"),
        ("pair", "pair_001"),
        ("only", "only_000"),
    ):
        path = tmp_path / label / f"{name}.jpg"
        path.rename(path.with_name(f"{held_out.pop()}.jpg"))
    train, validation = train_and_validation(tmp_path, validation=0.2)
    assert train.class_counts.tolist() == [2, 1, 1]
    assert validation.class_counts.tolist() == [1, 0, 1]
    assert not {*train.keys} & {*validation.keys}
    told = "few images are held out (2): an accuracy of a half may be anything from 9%"
    assert told in caplog.text


def test_copies_of_what_is_learned_from_are_not_held_out(tmp_path, caplog):
    write_classes(tmp_path, a=9, b=9)
    train, validation = train_and_validation(tmp_path, validation=0.3)
    learned, held_out = train.keys[0], validation.keys[0]
    (tmp_path / held_out).write_bytes((tmp_path / learned).read_bytes())
    again, rest = train_and_validation(tmp_path, validation=0.3)
    assert again.keys.tolist() == train.keys.tolist()
    assert rest.keys.tolist() == validation.keys[1:].tolist()
    assert "are copies of such as are learned from: they are left out" in caplog.text


def test_both_parts_are_written_for_other_tools(tmp_path):
    data = write_classes(tmp_path / "data", a=9, b=9)
    train, validation = train_and_validation(data, validation=0.3)
    for _ in range(2):  # a run that goes on finds them
        write_split(train, validation, tmp_path / "parts")
    for name, part in (("train", train), ("validation", validation)):
        found = open_source(tmp_path / "parts", name)
        assert found.keys.tolist() == part.keys.tolist()
        assert found.digests.tolist() == part.digests.tolist()
    with pytest.raises(InputError, match="not empty"):
        write_split(validation, train, tmp_path / "parts")
    with pytest.raises(InputError, match="is for photographs in folders"):
        write_split(open_source("digits"), validation, tmp_path / "others")


def test_nothing_held_out(tmp_path):
    write_classes(tmp_path, a=1, b=1)
    with pytest.raises(InputError, match="No image is held out"):
        train_and_validation(tmp_path, validation=1e-9)
    with pytest.raises(InputError, match=r"between 0 and 1\. Received: 1\.0"):
        train_and_validation(tmp_path, validation=1.0)


@pytest.mark.parametrize("text", ["/no/such", "digit", "tdfs:mnist", "no-*.tfrecord"])
def test_no_such_data(text):
    with pytest.raises(InputError, match=r"There is no such data.*Received: '"):
        open_source(text)


def test_near_names_are_suggested(folder):
    with pytest.raises(InputError, match=f"Did you mean '{folder}'"):
        open_source(str(folder)[:-1] + "x")
    with pytest.raises(InputError, match="Did you mean 'digits'"):
        open_source("digit")


# Formats


def turned():
    """Exif data of a camera held upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


GREY16 = Image.fromarray(np.asarray(picture().convert("L")).astype(np.uint16) * 256)
FORMATS = {
    "jpeg": encoded(picture(), "JPEG"),
    "progressive": encoded(picture(), "JPEG", progressive=True),
    "grey jpeg": encoded(picture().convert("L"), "JPEG"),
    "cmyk jpeg": encoded(picture().convert("CMYK"), "JPEG"),
    "turned jpeg": encoded(picture(), "JPEG", exif=turned()),
    "png": encoded(picture(), "PNG"),
    "grey png": encoded(picture().convert("L"), "PNG"),
    "grey alpha png": encoded(picture().convert("LA"), "PNG"),
    "alpha png": encoded(picture().convert("RGBA"), "PNG"),
    "palette png": encoded(picture().quantize(16), "PNG"),
    "transparent palette png": encoded(picture().quantize(16), "PNG", transparency=0),
    "1-bit png": encoded(picture().convert("1"), "PNG"),
    "16-bit png": encoded(GREY16, "PNG"),
    "gif": encoded(picture(), "GIF"),
    "bmp": encoded(picture(), "BMP"),
    "palette bmp": encoded(picture().quantize(16), "BMP"),
    "1-bit bmp": encoded(picture().convert("1"), "BMP"),
    "webp": encoded(picture(), "WEBP", lossless=True),
    "grey tiff": encoded(picture().convert("L"), "TIFF"),
    "tiff": encoded(picture(), "TIFF"),
}
CONVERTED = {"cmyk jpeg", "turned jpeg", "gif", "bmp", "palette bmp", "1-bit bmp"}
CONVERTED |= {"webp", "grey tiff", "tiff"}


@pytest.mark.parametrize("channels", [3, 1])
def test_every_format_looks_as_pillow_shows_it(tmp_path, channels):
    for i, (name, data) in enumerate(FORMATS.items()):
        suffix = name.split()[-1].replace("progressive", "jpeg")
        for c in "ab":
            (tmp_path / c).mkdir(exist_ok=True)
            (tmp_path / c / f"{i:02d}.{suffix}").write_bytes(data)
    source = open_source(tmp_path, on_broken="fail")
    assert source.count == 2 * len(FORMATS)
    for example in source.dataset().take(len(FORMATS)):
        key = example["key"].numpy().decode()
        name = list(FORMATS)[int(key[2:4])]
        found = decode(example["image"], channels)
        assert found.dtype == tf.uint8
        expected = read_photo(tmp_path / key, channels)
        assert found.shape == expected.shape, name
        difference = np.abs(found.numpy().astype(int) - expected)
        # Two builds of libjpeg, and two roundings of grey.
        tolerance = 4 if name.endswith("jpeg") or name == "progressive" else 0
        assert difference.max() <= (tolerance if channels == 3 else 2), name
        is_bmp = example["image"].numpy().startswith(b"BM")
        assert is_bmp == (name in CONVERTED), name


def test_arrays_get_the_channels_asked_for():
    rgba = np.asarray(picture().convert("RGBA"))
    grey = np.asarray(picture().convert("L"))[..., None]
    assert (decode(tf.constant(rgba)).numpy() == rgba[..., :3]).all()
    assert (decode(tf.constant(grey)).numpy() == grey).all()
    found = decode(tf.constant(rgba), 1).numpy().astype(int)
    assert found.shape == grey.shape
    assert np.abs(found - grey).max() <= 1
    assert (decode(tf.constant(grey), 1).numpy() == grey).all()


def test_decode_works_in_a_graph():
    @tf.function(input_signature=[tf.TensorSpec((), tf.string)])
    def graph(data):
        pixels = decode(data, 1)
        assert pixels.shape.as_list() == [None, None, 1]
        return pixels

    for name in ("jpeg", "png"):
        assert graph(FORMATS[name]).shape == (24, 37, 1)
    assert graph(scan.converted(FORMATS["tiff"])).shape == (24, 37, 1)


# Broken images

JPEG, PNG = FORMATS["jpeg"], FORMATS["png"]
DAMAGED = {
    "empty.jpg": b"",
    "text.jpg": b"this is no image",
    "half.jpg": JPEG[: len(JPEG) // 2],
    "header.jpg": JPEG[:30],
    "end.jpg": JPEG[:-9],
    "half.png": PNG[: len(PNG) // 2],
    "flipped.png": PNG[:80] + bytes([PNG[80] ^ 255]) + PNG[81:],
}


@pytest.fixture
def damaged(tmp_path):
    write_classes(tmp_path, a=20, b=20)
    for name, data in DAMAGED.items():
        (tmp_path / "b" / name).write_bytes(data)
    return tmp_path


def test_broken_images_are_left_out_counted_and_named(damaged, caplog):
    with caplog.at_level(logging.WARNING, "keras_effnet"):
        source = open_source(damaged)
    assert source.count == 40
    assert sorted(source.broken) == sorted(str(damaged / "b" / n) for n in DAMAGED)
    (record,) = caplog.records
    message = record.getMessage()
    assert message.startswith("7 of 47 images can't be decoded")
    assert message.endswith(" and 2 more")
    assert sum(name in message for name in DAMAGED) == 5
    for example in source.dataset():
        assert decode(example["image"]).shape == (24, 37, 3)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of odd TIFF tags
def test_damage_at_any_place_is_found_before_it_is_decoded(tmp_path):
    """What the scan lets through never fails in the graph."""
    random = np.random.default_rng(0)
    for i in range(200):
        name = random.choice(list(FORMATS))
        data = bytearray(FORMATS[name])
        places = random.integers(0, len(data), 3)
        for place in places if i % 2 else places % 99:
            data[place] = random.integers(0, 256)
        (tmp_path / f"{'ab'[i % 2]}").mkdir(exist_ok=True)
        (tmp_path / f"{'ab'[i % 2]}" / f"{i}.jpg").write_bytes(data)
    source = open_source(tmp_path)
    assert 20 < len(source.broken) < 180
    for channels in (1, 3):
        found = [decode(e["image"], channels).shape[-1] for e in source.dataset()]
        assert found == [channels] * source.count


def test_broken_images_end_it_where_the_user_says_so(damaged):
    with pytest.raises(InputError, match=r"7 of 47 images.*b/empty\.jpg \(no image\)"):
        open_source(damaged, on_broken="fail")
    with pytest.raises(InputError, match=r"skip, fail.*on_broken='ignore'"):
        open_source(damaged, on_broken="ignore")


def test_all_images_are_broken(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="2 of 2 images"):
        open_source(tmp_path)


def test_a_class_of_broken_images_is_named(tmp_path):
    write_classes(tmp_path, a=20, b=0, c=20)
    (tmp_path / "b" / "1.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="none of b in"):
        train_and_validation(tmp_path)


def test_a_scan_is_remembered_until_a_file_changes(damaged, tmp_path, monkeypatch):
    cache = tmp_path / "scan.json"
    paths = sorted((damaged / "b").iterdir())
    seen = []
    first = scan.scan(paths, seen.append, cache)
    assert seen == [f"checking {len(paths)} images"]
    assert [v.code == scan.BROKEN for v in first] == [p.name in DAMAGED for p in paths]
    looked_at = []

    def inspect(data):
        looked_at.append(data)
        return scan.Verdict(scan.NATIVE, len(data))

    monkeypatch.setattr(scan, "inspect", inspect)
    assert scan.scan(paths, cache=cache) == first
    assert not looked_at
    (damaged / "b" / "half.jpg").write_bytes(JPEG)
    again = scan.scan(paths, cache=cache)
    assert looked_at == [JPEG]
    assert again[paths.index(damaged / "b" / "half.jpg")].code == scan.NATIVE
    # As many bytes, but at another time.
    os.utime(paths[0], ns=(1, 1))
    scan.scan(paths, cache=cache)
    assert looked_at == [JPEG, paths[0].read_bytes()]
    rows = (["x"] * 4, [1, 1, 9, ""], [1, 1, 2, ""], [1, 1e999, 0, ""], {}, None)
    damage = [json.dumps({str(paths[0]): row}) for row in rows]
    for spoiled in ("", "[]", '{"a": 1}', "[" * 9999, *damage):
        cache.write_text(spoiled)
        assert len(scan.scan(paths, cache=cache)) == len(paths)
        assert json.loads(cache.read_text()).keys() == set(map(str, paths))


def test_a_file_that_vanished_is_broken(tmp_path):
    (verdict,) = scan.scan([tmp_path / "gone.jpg"])
    assert (verdict.code, verdict.reason) == (scan.BROKEN, "No such file or directory")


# Digits


def write_idx(path, array):
    shape = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    data = shape + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.fixture
def mnist(tmp_path):
    random = np.random.default_rng(0)
    for split, count in (("train", 50), ("t10k", 20)):
        images = random.integers(0, 256, (count, 28, 28))
        write_idx(tmp_path / f"{split}-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / f"{split}-labels-idx1-ubyte", np.arange(count) % 10)
    return tmp_path


def test_mnist_from_its_idx_files(mnist):
    train, test = train_and_validation(mnist)
    assert (train.count, test.count) == (50, 20)
    assert train.class_names == test.class_names == tuple("0123456789")
    with gzip.open(mnist / "train-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(50, 28, 28, 1)
    for order in (None, 1):
        for row in train.dataset(order).as_numpy_iterator():
            place = int(row["key"].decode().split("-")[1])
            assert (row["image"] == pixels[place]).all()
            assert row["label"] == place % 10
    assert keys(train) == train.keys.tolist() != keys(train, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-1], "must have 39,200 bytes.*it has 39,199"),
        (lambda data: b"\0\0\x0d\x03" + data[4:], "begins with 0, 0, 8"),
        (lambda data: data[:6], "not whole"),
        (lambda data: b"", "begins with"),
        (lambda data: data + b"0", "it has more"),
        (lambda data: b"\0\0\x08\x41" + b"\0\0\0\1" * 65, "number of axes, 1 to 4"),
        (lambda data: data[:4] + b"\x7f" + data[5:], "at most 1,073,741,824 bytes"),
    ],
)
def test_damaged_idx_files(mnist, change, message):
    path = mnist / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes()))))
    with pytest.raises(InputError, match=message):
        open_source(mnist)


def test_idx_files_that_do_not_fit(mnist):
    write_idx(mnist / "t10k-labels-idx1-ubyte", np.full(20, 10))
    with pytest.raises(InputError, match=r"0 to 9\. Received: label 10"):
        train_and_validation(mnist)
    write_idx(mnist / "train-labels-idx1-ubyte", np.arange(49) % 10)
    with pytest.raises(InputError, match="as many labels"):
        open_source(mnist)
    (mnist / "train-images-idx3-ubyte.gz").write_bytes(b"no gzip")
    with pytest.raises(InputError, match="can't be read"):
        open_source(mnist)


def test_the_built_in_digits():
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    train, test = train_and_validation("digits")
    assert (train.count, test.count) == (1433, 364)
    image = next(train.dataset(0).as_numpy_iterator())["image"]
    assert (image.dtype, image.shape) == (np.uint8, (32, 32, 1))
    names = itertools.chain(train.keys, test.keys)
    assert len(set(names)) == 1797
