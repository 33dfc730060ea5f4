"""SavedModels, run by TensorFlow alone, against the Keras model they come from."""

import fractions
import io
import json
import os
import subprocess
import sys

import keras
import numpy as np
import peer
import pytest
import tensorflow as tf
from conftest import shared_file
from PIL import Image

from keras_effnet import saving
from keras_effnet.data.augment import evaluation_window
from keras_effnet.data.finding import find_photos
from keras_effnet.data.photos import batches
from keras_effnet.data.photos import read_photo
from keras_effnet.data.photos import resize_and_crop
from keras_effnet.errors import InputError
from keras_effnet.evaluation import SavedModelClassifier
from keras_effnet.evaluation import load_classifier
from keras_effnet.export import saved_model
from keras_effnet.export.saved_model import decode_and_crop
from keras_effnet.export.saved_model import write_saved_model
from keras_effnet.preprocessing import Preprocessing

IMAGES = peer.images(32, 32, batch=3)
NAMES = ("crane", "daisy", "rose", "tulip", "crane")
WHOLE = Preprocessing((0.0,), (1.0,), "bilinear", None)


@pytest.fixture(scope="module")
def folder(tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "tiny"
    assert write_saved_model(tiny_model, folder, NAMES) == folder / "1"
    return folder


@pytest.fixture(scope="module")
def loaded(folder):
    return tf.saved_model.load(str(folder / "1"))


@pytest.fixture(scope="module")
def serve(loaded):
    """Runs a signature: its name and input to a dict of arrays."""

    def run(signature, **inputs):
        outputs = loaded.signatures[signature](
            **{name: tf.constant(value) for name, value in inputs.items()}
        )
        return {name: value.numpy() for name, value in outputs.items()}

    return run


def small(classes=5, channels=3, activation="softmax"):
    inputs = keras.Input((8, 12, channels))
    x = keras.layers.Conv2D(4, 3, activation="relu")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(classes, activation=activation)(x))


def encoded(image, form="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def in_graph(shape, rule):
    """`decode_and_crop` as it is served, in a graph."""
    spec = tf.TensorSpec((), tf.string)
    function = tf.function(
        lambda image: decode_and_crop(image, shape, rule),
        input_signature=[spec],
        autograph=False,
    )
    return lambda data: function(data).numpy().astype(int)


def test_the_signatures_that_a_server_lists(loaded):
    listed = {
        signature: [
            {name: (spec.dtype.name, spec.shape.as_list()) for name, spec in ends}
            for ends in (
                function.structured_input_signature[1].items(),
                function.structured_outputs.items(),
            )
        ]
        for signature, function in loaded.signatures.items()
    }
    probabilities = {"probabilities": ("float32", [None, 5])}
    assert listed == {
        "serving_default": [
            {"images": ("float32", [None, 32, 32, 3])},
            probabilities,
        ],
        "serving_uint8": [{"images": ("uint8", [None, 32, 32, 3])}, probabilities],
        "serving_bytes": [
            {"image_bytes": ("string", [None])},
            {
                "classes": ("string", [None]),
                "probabilities": ("float32", [None]),
                "top_classes": ("string", [None, 5]),
                "top_probabilities": ("float32", [None, 5]),
            },
        ],
    }


def test_float_and_uint8_batches_compute_what_keras_computes(tiny_model, serve):
    pixels = IMAGES.round().astype("uint8")
    expected = np.asarray(tiny_model(pixels.astype("float32")))
    for signature, images in (
        ("serving_default", pixels.astype("float32")),
        ("serving_uint8", pixels),
    ):
        found = serve(signature, images=images)["probabilities"]
        assert peer.relative_error(found, expected) < 1e-5


def test_encoded_photographs_become_names(tiny_model, serve, photos):
    """The same path by hand: Pillow, Keras, NumPy."""
    (images,) = batches(photos, (32, 32, 3), load_classifier(tiny_model).preprocessing)
    rows = np.asarray(tiny_model(images.astype("float32")))
    order = np.argsort(-rows, axis=1)
    served = serve("serving_bytes", image_bytes=[path.read_bytes() for path in photos])
    names = [[NAMES[index].encode() for index in row] for row in order]
    assert served["top_classes"].tolist() == names
    assert served["classes"].tolist() == [row[0] for row in names]
    expected = np.take_along_axis(rows, order, 1)
    assert np.abs(served["top_probabilities"] - expected).max() < 1e-3
    assert (served["probabilities"] == served["top_probabilities"][:, 0]).all()


@pytest.mark.slow
def test_a_process_without_this_package_serves_it(folder, serve, photos):
    program = (
        "import json, sys, tensorflow as tf\n"
        "model = tf.saved_model.load(sys.argv[1])\n"
        "data = [open(path, 'rb').read() for path in sys.argv[2:]]\n"
        "served = model.signatures['serving_bytes'](image_bytes=tf.constant(data))\n"
        "assert 'keras_effnet' not in sys.modules\n"
        "names = [name.decode() for name in served['classes'].numpy()]\n"
        "print(json.dumps([names, served['probabilities'].numpy().tolist()]))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, folder / "1", *photos],
        capture_output=True,
        text=True,
        check=True,
    )
    names, probabilities = json.loads(result.stdout)
    here = serve("serving_bytes", image_bytes=[path.read_bytes() for path in photos])
    assert [name.encode() for name in names] == here["classes"].tolist()
    assert np.abs(probabilities - here["probabilities"]).max() < 1e-6


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize(
    "crop", [{"crop_padding": 32}, {"crop_padding": None}, {"crop_fraction": 0.9}]
)
def test_real_photographs_equal_pillows(interpolation, crop):
    """Pillow chooses by itself which direction comes first; where it is the other,
    bicubic's overshoot is rounded off elsewhere."""
    paths = find_photos([shared_file("data/imagenet_sample")])[::20]
    rule = Preprocessing((0.0,), (1.0,), interpolation, **crop)
    decode = in_graph((224, 224, 3), rule)
    found = np.stack([decode(path.read_bytes()) for path in paths])
    expected = np.concatenate([*batches(paths, (224, 224, 3), rule)])
    difference = np.abs(found - expected)
    assert difference.mean() < 0.03
    assert np.quantile(difference, 0.999) <= 1
    assert difference.max() <= (12 if interpolation == "bicubic" else 2)


def test_probabilities_of_real_photographs(tiny_model, serve):
    paths = find_photos([shared_file("data/imagenet_sample")])[::20]
    rule = load_classifier(tiny_model).preprocessing
    (images,) = batches(paths, (32, 32, 3), rule)
    rows = np.asarray(tiny_model(images.astype("float32")))
    served = serve("serving_bytes", image_bytes=[path.read_bytes() for path in paths])
    assert np.abs(served["probabilities"] - rows.max(1)).max() < 1e-2
    names = [NAMES[index].encode() for index in rows.argmax(1)]
    assert served["classes"].tolist() == names


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("mode", "form"),
    [
        ("RGB", "JPEG"),
        ("L", "JPEG"),
        ("CMYK", "JPEG"),
        ("RGB", "PNG"),
        ("L", "PNG"),
        ("LA", "PNG"),
        ("RGBA", "PNG"),
        ("P", "PNG"),
        ("1", "PNG"),
        ("I;16", "PNG"),
    ],
)
def test_every_colour_mode_is_read_as_pillow_reads_it(
    mode, form, channels, photos, tmp_path
):
    if mode == "I;16":
        pixels = np.random.default_rng(0).integers(0, 1 << 16, (60, 90))
        image = Image.fromarray(pixels.astype(np.uint16))
    else:
        image = Image.open(photos[1]).resize((90, 60)).convert(mode)
    if mode in ("LA", "RGBA"):
        image.putalpha(image.convert("L"))
    data = encoded(image, form)
    (tmp_path / "photo").write_bytes(data)
    photo = read_photo(tmp_path / "photo", channels)
    found = in_graph((60, 90, channels), WHOLE)(data)
    assert (found == photo).all()


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("endian", ["<", ">"])
def test_photographs_are_turned_upright(form, endian, photos, tmp_path):
    image = Image.open(photos[1]).resize((90, 60))
    decode = in_graph((30, 40, 3), WHOLE)
    turned = []
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif.endian = endian
        # Entries stand in the order of their tags, before and after it.
        exif.update({0x010F: "maker", 0x0110: "model", 0x0131: "software"})
        exif[0x0112] = orientation
        data = encoded(image, form, exif=exif)
        (tmp_path / "photo").write_bytes(data)
        expected = resize_and_crop(read_photo(tmp_path / "photo"), (30, 40), WHOLE)
        found = decode(data)
        assert np.abs(found - expected).max() <= 2, orientation
        turned.append(found)
    differences = [np.abs(a - b).mean() for a in turned for b in turned if a is not b]
    assert min(differences) > 3
    assert (b"MM\0*" if endian == ">" else b"II*\0") in data


def test_another_entry_is_no_orientation(photos):
    """The same four bytes, but not where an entry begins."""
    image = Image.open(photos[1]).resize((90, 60))
    exif = Image.Exif()
    exif[0x010E] = "\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00"
    exif.endian = "<"
    decode = in_graph((60, 90, 3), WHOLE)
    assert (decode(encoded(image, exif=exif)) == np.asarray(image)).all()


@pytest.mark.parametrize("target", [(224, 224), (240, 240), (96, 64), (64, 96)])
def test_the_crop_is_exact(target):
    """The window of the output's shape, less the padding, in fractions."""
    rule = Preprocessing((0.0,), (1.0,), "bilinear", 32)
    crop = tf.function(
        lambda size: tf.unstack(evaluation_window(size, target, rule)),
        input_signature=[tf.TensorSpec((2,), tf.int32)],
        autograph=False,
    )
    part = fractions.Fraction(max(target), max(target) + 32)
    for height in (1, 2, 60, 255, 256, 257, 272, 333, 500, 4000):
        for width in (1, 61, 256, 272, 500, 6000):
            unit = part * min(
                fractions.Fraction(height, target[0]),
                fractions.Fraction(width, target[1]),
            )
            expected = [max(1, int(unit * length)) for length in target]
            top, left, *found = (int(value) for value in crop([height, width]))
            assert found == expected
            assert 0 <= height - found[0] - 2 * top + 1 <= 1
            assert 0 <= width - found[1] - 2 * left + 1 <= 1


@pytest.mark.parametrize("spoil", ["cut", "text", "empty", "bmp"])
def test_a_broken_photograph_fails_the_request(spoil, serve, photos):
    data = photos[0].read_bytes()
    broken = {
        "cut": data[: len(data) // 2],
        "text": b"no photograph",
        "empty": b"",
        "bmp": encoded(Image.new("RGB", (8, 8)), "BMP"),
    }[spoil]
    with pytest.raises(
        tf.errors.InvalidArgumentError,
        match=r"Invalid JPEG data|Unknown image file format|is empty|BMP format",
    ):
        serve("serving_bytes", image_bytes=[data, broken])


def test_a_model_without_preprocessing_gets_normalised_pixels(tmp_path, photos):
    model = small()
    rule = Preprocessing((120.0, 110.0, 100.0), (60.0, 58.0, 57.0), included=False)
    saving.attach(model, rule)
    served = tf.saved_model.load(str(write_saved_model(model, tmp_path))).signatures
    (images,) = batches(photos, (8, 12, 3), rule)
    expected = np.asarray(model(images))
    pixels = np.concatenate(
        [resize_and_crop(read_photo(p), (8, 12), rule)[None] for p in photos]
    )
    found = served["serving_uint8"](images=tf.constant(pixels))["probabilities"]
    assert peer.relative_error(found, expected) < 1e-5
    data = tf.constant([path.read_bytes() for path in photos])
    found = served["serving_bytes"](image_bytes=data)["probabilities"]
    assert np.abs(found - expected.max(1)).max() < 1e-2


@pytest.mark.parametrize(("classes", "first"), [(1000, "0"), (3, "0")])
def test_names_when_none_are_given(classes, first, tmp_path):
    model = small(classes)
    bias = np.zeros(classes, "float32")
    bias[0] = 100
    model.layers[-1].bias.assign(bias)
    served = tf.saved_model.load(str(write_saved_model(model, tmp_path))).signatures
    data = tf.constant([encoded(Image.new("RGB", (20, 20)))])
    outputs = served["serving_bytes"](image_bytes=data)
    assert outputs["classes"].numpy().tolist() == [first.encode()]
    assert outputs["top_classes"].shape == (1, min(5, classes))


def test_a_model_in_mixed_precision_is_written_in_float32(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    mixed = small()
    keras.config.set_dtype_policy("float32")
    plain = small()
    plain.set_weights(mixed.get_weights())
    images = peer.images(8, 12, batch=2)
    found = load_classifier(write_saved_model(mixed, tmp_path)).predict(images)
    assert peer.relative_error(found, np.asarray(plain(images))) < 1e-5


def test_it_is_a_classifier_with_all_that_the_model_carried(tiny_model, folder):
    expected = load_classifier(tiny_model)
    found = load_classifier(folder)
    assert found.name == "tiny"
    assert found.class_names == NAMES
    assert found.preprocessing == expected.preprocessing
    assert found.input_shape == (32, 32, 3)
    assert found.classes == 5
    assert peer.relative_error(found.predict(IMAGES), tiny_model(IMAGES)) < 1e-5


def test_the_highest_version_is_taken(tmp_path):
    for version, classes in ((9, 3), (10, 4)):
        write_saved_model(small(classes), tmp_path, version=version)
    (tmp_path / "notes").mkdir()
    assert load_classifier(tmp_path).classes == 4
    older = load_classifier(tmp_path / "9")
    assert (older.classes, older.class_names) == (3, None)


def test_a_damaged_description_is_one_line(tmp_path):
    path = write_saved_model(small(), tmp_path)
    (path / SavedModelClassifier.SIDECAR).write_text('{"name": "small"}')
    with pytest.raises(InputError, match=r"description can't be read.*Received"):
        load_classifier(tmp_path)


def test_a_version_is_never_overwritten(folder, tiny_model):
    before = (folder / "1" / "saved_model.pb").read_bytes()
    with pytest.raises(InputError, match=r"already exists.*Received: .*1'$"):
        write_saved_model(tiny_model, folder)
    assert (folder / "1" / "saved_model.pb").read_bytes() == before
    assert [path.name for path in folder.parent.iterdir()] == ["tiny"]


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("interrupted")

    monkeypatch.setattr(saved_model.json, "dumps", fail)
    with pytest.raises(RuntimeError, match="interrupted"):
        write_saved_model(small(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_server_of_another_user_may_read_it(folder):
    umask = os.umask(0)
    os.umask(umask)
    assert (folder / "1").stat().st_mode & 0o777 == 0o777 & ~umask


def _no_classes():
    inputs = keras.Input((8, 8, 3))
    return keras.Model(inputs, keras.layers.Conv2D(2, 3)(inputs))


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda: small(channels=4), {}, r"1 or 3 channels.*\(None, 8, 12, 4\)"),
        (
            _no_classes,
            {},
            r"\(batch, classes\).*\(None, 6, 6, 2\)\] of 'functional\w*'",
        ),
        (small, {"class_names": ["a"]}, r"each of the 5 classes.*1 names"),
        (small, {"version": "v1"}, r"whole number.*version='v1'"),
        (small, {"version": -1}, r"whole number.*version=-1"),
    ],
)
def test_what_is_no_classifier_is_refused(make, options, message, tmp_path):
    with pytest.raises(InputError, match=rf"{message}$"):
        write_saved_model(make(), tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []
