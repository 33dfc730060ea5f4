"""Metadata in a .tflite file, as Task Library and MediaPipe Tasks read it."""

import warnings
import zipfile

import flatbuffers
import keras
import numpy as np
import peer
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as litert
from ai_edge_litert.interpreter import Interpreter
from flatbuffers.table import Table
from PIL import Image

from keras_effnet import tflite_metadata
from keras_effnet.errors import InputError
from keras_effnet.export import converting
from keras_effnet.export import flatbuffer
from keras_effnet.export.calibration import calibrate
from keras_effnet.export.metadata import read_metadata
from keras_effnet.export.metadata import with_metadata
from keras_effnet.sheet import Sheet
from keras_effnet.sheet import Tensor
from keras_effnet.tflite import TFLiteModel

NAMES = ("rose", "crème brûlée", "great white shark, white shark", "丸", "5")
FIELDS = {
    "name": "tiny",
    "description": "Tells five things apart.",
    "version": "1.0",
    "author": "The authors",
    "licence": "Apache-2.0",
    "mean": [0.0],
    "std": [1.0],
    "class_names": list(NAMES),
}
# What the metadata says of the normalisation is left aside.
PIXELS = Sheet(input=Tensor(pixels=True))
PRECISIONS = pytest.mark.parametrize("precision", ["float32", "int8"])


def describe(path, **changes):
    return with_metadata(path.read_bytes(), **{**FIELDS, **changes})


def buffers_by_entry(data):
    """The metadata buffers of a file, through LiteRT's own schema."""
    model = litert.Model.GetRootAs(data)
    entries = [model.Metadata(i) for i in range(model.MetadataLength())]
    return {
        e.Name().decode(): model.Buffers(e.Buffer()).DataAsNumpy().tobytes()
        for e in entries
    }


def convert(model, dtype):
    """A small model, in 8 bits inside, with this type of input and output."""
    shape = (4, 1, *model.input_shape[1:])
    images = np.random.default_rng(0).integers(0, 256, shape).astype("float32")
    images[0, 0, :2] = [[[0]], [[255]]]
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = dtype
    converter.inference_output_type = dtype
    return converter.convert()


def small_model(channels=3):
    inputs = keras.Input((32, 32, channels), batch_size=1)
    x = keras.layers.Rescaling(1 / 127.5, -1)(inputs)
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(5, activation="softmax")(x))


@pytest.fixture(scope="module")
def bare_files(tiny_model, tmp_path_factory):
    """As the converter leaves them, by precision."""
    folder = tmp_path_factory.mktemp("bare")
    trace = converting.trace(tiny_model, folder / "saved_model")
    ranges = calibrate(trace.float32, [peer.images(32, 32, batch=8)])
    paths = {}
    for precision in ("float32", "int8"):
        paths[precision] = folder / f"tiny_{precision}.tflite"
        data = converting.file_of(trace, precision, ranges=ranges)
        paths[precision].write_bytes(data)
    return paths


@pytest.fixture(scope="module")
def uint8_file(tmp_path_factory):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow's calibrator warns of itself
        data = convert(small_model(), tf.uint8)
    path = tmp_path_factory.mktemp("uint8") / "uint8.tflite"
    path.write_bytes(data)
    return path


@PRECISIONS
def test_the_file_computes_what_it_did(bare_files, tmp_path, precision):
    path = tmp_path / "with.tflite"
    path.write_bytes(describe(bare_files[precision]))
    images = peer.images(32, 32, batch=4)
    before = TFLiteModel(bare_files[precision], sheet=PIXELS)
    after = TFLiteModel(path, sheet=PIXELS)
    assert np.array_equal(before.predict(images), after.predict(images))
    old, new = (
        [op["op_name"] for op in m.interpreter._get_ops_details()]
        for m in (before, after)
    )
    assert old == new
    assert new.count("DELEGATE") == 1  # XNNPACK takes all of it
    signatures = Interpreter(str(path)).get_signature_list()
    assert signatures == before.interpreter.get_signature_list()


@PRECISIONS
def test_the_converters_entries_stay(bare_files, precision):
    before = buffers_by_entry(bare_files[precision].read_bytes())
    after = buffers_by_entry(describe(bare_files[precision]))
    assert "min_runtime_version" in before
    assert list(after) == [*before, "TFLITE_METADATA"]
    assert {name: after[name] for name in before} == before


@PRECISIONS
def test_weights_lie_on_16_byte_borders(bare_files, precision):
    model = litert.Model.GetRootAs(describe(bare_files[precision]))
    tables = [model.Buffers(i) for i in range(model.BuffersLength())]
    starts = [
        t._tab.Vector(t._tab.Offset(4)) % 16 for t in tables if t.DataLength() >= 16
    ]
    assert len(starts) > 20
    assert set(starts) == {0}


def test_labels_are_in_a_zip(bare_files, tmp_path):
    path = tmp_path / "with.tflite"
    path.write_bytes(describe(bare_files["float32"]))
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        (entry,) = archive.infolist()
        text = archive.read("labels.txt").decode("utf-8")
    # Readers take it from the file as it lies there.
    assert entry.compress_type == zipfile.ZIP_STORED
    assert entry.date_time == (1980, 1, 1, 0, 0, 0)
    assert text == "\n".join(NAMES) + "\n"


def test_the_same_bytes_each_time(bare_files):
    first = describe(bare_files["float32"])
    assert describe(bare_files["float32"]) == first


def slot(table, number):
    """Where a field of a flatbuffer table lies; tables count from 4 in twos."""
    return table.Pos + table.Offset(4 + 2 * number)


def child(table, number, element=None):
    position = table.Indirect(slot(table, number))
    if element is not None:
        position = table.Indirect(position + 4 + 4 * element)
    return Table(table.Bytes, position)


def test_fields_lie_in_the_slots_of_the_schema(bare_files):
    """By flatbuffers' runtime and the slot numbers of metadata_schema.fbs."""
    data = describe(bare_files["float32"], mean=[1, 2, 3], std=[4, 5, 6])
    data = buffers_by_entry(data)["TFLITE_METADATA"]
    assert data[4:8] == b"M001"
    root = Table(data, flatbuffers.encode.Get(flatbuffers.packer.uoffset, data, 0))
    texts = [root.String(slot(root, number)).decode() for number in (0, 1, 2, 4, 5, 7)]
    assert texts[:3] == ["tiny", "Tells five things apart.", "1.0"]
    assert texts[3:] == ["The authors", "Apache-2.0", "1.0.0"]
    graph = child(root, 3, element=0)
    image, output = child(graph, 2, element=0), child(graph, 3, element=0)
    assert image.String(slot(image, 0)) == b"image"
    assert output.String(slot(output, 0)) == b"probability"
    content = child(image, 3)
    number_of = flatbuffers.number_types
    assert content.Get(number_of.Uint8Flags, slot(content, 0)) == 2  # ImageProperties
    color = child(content, 1)
    assert color.Get(number_of.Int8Flags, slot(color, 0)) == 1  # RGB
    unit = child(image, 4, element=0)
    assert unit.Get(number_of.Uint8Flags, slot(unit, 0)) == 1  # NormalizationOptions
    options = child(unit, 1)
    for number, expected in ((0, [1, 2, 3]), (1, [4, 5, 6])):
        start = options.Vector(options.Offset(4 + 2 * number))
        assert np.frombuffer(data, "<f4", 3, start).tolist() == expected
    stats = child(image, 5)
    for number, pixel in ((0, 255), (1, 0)):  # max, min
        start = stats.Vector(stats.Offset(4 + 2 * number))
        values = np.frombuffer(data, "<f4", 3, start)
        assert values == pytest.approx(
            [(pixel - 1) / 4, (pixel - 2) / 5, (pixel - 3) / 6]
        )
    file = child(output, 6, element=0)
    assert file.String(slot(file, 0)) == b"labels.txt"
    assert file.Get(number_of.Int8Flags, slot(file, 2)) == 2  # TENSOR_AXIS_LABELS


def test_what_is_read_is_what_was_written(bare_files, tmp_path):
    data = describe(bare_files["float32"], mean=[1.5, 2, 3], std=[4, 5, 6.5])
    path = tmp_path / "with.tflite"
    path.write_bytes(data)
    expected = {**FIELDS, "mean": [1.5, 2.0, 3.0], "std": [4.0, 5.0, 6.5]}
    assert read_metadata(data) == read_metadata(path) == read_metadata(str(path))
    assert read_metadata(data) == expected


def test_what_is_left_out_is_none(bare_files):
    data = with_metadata(bare_files["float32"].read_bytes(), name="bare")
    nothing = dict.fromkeys(FIELDS)
    assert read_metadata(data) == {
        **nothing,
        "name": "bare",
        "mean": [0.0],
        "std": [1.0],
    }
    assert b"PK\x05\x06" not in data


def test_a_file_without_metadata_has_none(bare_files):
    assert read_metadata(bare_files["float32"]) is None


def test_metadata_is_replaced(bare_files):
    once = describe(bare_files["float32"])
    other = with_metadata(once, name="other", class_names=list("abcde"))
    again = with_metadata(other, **FIELDS)
    assert again == once
    assert read_metadata(other)["class_names"] == list("abcde")
    assert list(buffers_by_entry(other)) == ["min_runtime_version", "TFLITE_METADATA"]


def test_a_uint8_file_takes_pixels(uint8_file, tmp_path):
    path = tmp_path / "with.tflite"
    path.write_bytes(describe(uint8_file))
    images = peer.images(32, 32, batch=2)
    found = TFLiteModel(path, sheet=PIXELS).predict(images)
    assert np.array_equal(found, TFLiteModel(uint8_file).predict(images))
    data = buffers_by_entry(path.read_bytes())["TFLITE_METADATA"]
    # Of the input's and the output's statistics.
    assert data.count(np.float32([255]).tobytes()) == 2


def test_a_grey_image_is_said_to_be_one(tmp_path):
    converter = tf.lite.TFLiteConverter.from_keras_model(small_model(channels=1))
    data = with_metadata(converter.convert(), name="grey", mean=[7], std=[2])
    assert read_metadata(data)["mean"] == [7.0]
    found = buffers_by_entry(data)["TFLITE_METADATA"]
    root = Table(found, flatbuffers.encode.Get(flatbuffers.packer.uoffset, found, 0))
    content = child(child(child(root, 3, element=0), 2, element=0), 3)
    color = child(content, 1)
    assert color.Get(flatbuffers.number_types.Int8Flags, slot(color, 0)) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_names": NAMES[:4]}, r"each of the 5 classes\. Received: 4 names"),
        ({"class_names": ["a", "b", "c\nd", "e", "f"]}, r"one line .*'c\\nd'"),
        ({"class_names": ["a", "b", "", "e", "f"]}, "one line .*Received: ''"),
        ({"class_names": range(5)}, "one line .*Received: 0"),
        ({"mean": [1, 2]}, r"one per channel \(3\).*mean=\[1, 2\]"),
        ({"mean": [1, 2], "std": [1, 2]}, r"one per channel \(3\)"),
        ({"mean": [], "std": []}, "one value each"),
        ({"std": [0]}, r"only positive ones.*std=\[0\]"),
        ({"mean": [float("nan")]}, "mean=.nan"),
    ],
)
def test_bad_input_is_refused(bare_files, changes, message):
    with pytest.raises(InputError, match=message):
        describe(bare_files["float32"], **changes)


@pytest.mark.parametrize("data", [b"", b"TFL3", b"PK\x03\x04" * 9], ids=str)
def test_other_files_are_refused(data, tmp_path):
    path = tmp_path / "other.tflite"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"no \.tflite file.*Received: 'bytes'"):
        with_metadata(data, name="other")
    with pytest.raises(InputError, match=r"no \.tflite file.*Received: 'bytes'"):
        read_metadata(data)
    with pytest.raises(InputError, match=r"no \.tflite file.*other\.tflite"):
        read_metadata(path)
    with pytest.raises(InputError, match=r"no such \.tflite file"):
        read_metadata(tmp_path / "absent.tflite")


def test_a_model_that_is_no_classifier_is_refused():
    inputs = [keras.Input((4,), batch_size=1) for _ in range(2)]
    model = keras.Model(inputs, keras.layers.Add()(inputs))
    data = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    with pytest.raises(InputError, match="describes an image classifier"):
        with_metadata(data, name="sum")


def test_weights_outside_of_the_flatbuffer_are_refused():
    converter = tf.lite.TFLiteConverter.from_keras_model(small_model())
    converter._experimental_use_buffer_offset = True
    with pytest.raises(InputError, match="below 2 GB"):
        with_metadata(converter.convert(), name="large")


def test_a_damaged_file_is_an_input_error(bare_files):
    """Whatever byte is hit: an answer, or one line, never another exception."""
    data = describe(bare_files["int8"])
    metadata = buffers_by_entry(data)["TFLITE_METADATA"]
    start = data.index(metadata)
    places = [
        *range(0, 400, 3),
        *range(start, start + len(metadata)),
        *range(data.index(b"PK\x03\x04"), len(data)),
    ]
    random = np.random.default_rng(0)
    messages = set()
    for place in places:
        broken = bytearray(data)
        broken[place] ^= int(random.integers(1, 256))
        try:
            read_metadata(broken)
        except InputError as error:
            messages.add(str(error).split(":")[0])
    for end in range(8, len(data), len(data) // 50):
        try:
            read_metadata(data[:end])
        except InputError as error:
            messages.add(str(error).split(":")[0])
    assert "The .tflite file is damaged" in messages
    assert "The file's metadata is damaged" in messages


def test_a_file_that_points_to_itself_over_and_over():
    """146 kB, and 300 million tensors."""
    builder = flatbuffers.Builder(1024)

    def table(fields, slot=None, value=None):
        builder.StartObject(fields)
        if slot is not None:
            builder.PrependUOffsetTRelativeSlot(slot, value, 0)
        return builder.EndObject()

    def all_one(value):
        builder.StartVector(4, 18_000, 4)
        for _ in range(18_000):
            builder.PrependUOffsetTRelative(value)
        return builder.EndVector()

    graph = table(4, 3, all_one(table(7)))
    builder.Finish(table(8, 3, all_one(graph)), b"M001")
    assert len(builder.Output()) < 150_000
    with pytest.raises(ValueError, match="over and over"):
        tflite_metadata.read_table(builder.Output(), "ModelMetadata")


def test_metadata_for_damaged_bytes_is_one_line(bare_files):
    data = bare_files["int8"].read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for place in random.integers(8, 3000, 150):
        damaged = bytearray(data)
        damaged[place] = random.integers(256)
        try:
            with_metadata(bytes(damaged), name="x")
        except InputError:
            refused += 1
    assert refused > 5


def test_an_entry_that_points_to_no_buffer(bare_files):
    model = flatbuffer.unpack(describe(bare_files["int8"]))
    (entry,) = (each for each in model.metadata if each.name == b"TFLITE_METADATA")
    entry.buffer = 1000
    with pytest.raises(InputError, match=r"file is damaged: list index"):
        with_metadata(flatbuffer.pack(model), name="x")


@pytest.fixture(scope="module")
def mediapipe():
    return pytest.importorskip("mediapipe", reason="mediapipe is not installed")


def test_mediapipes_schema_reads_it(mediapipe, bare_files):
    from mediapipe.tasks.metadata import metadata_schema_py_generated as schema

    data = buffers_by_entry(describe(bare_files["float32"]))["TFLITE_METADATA"]
    assert schema.ModelMetadata.ModelMetadataBufferHasIdentifier(data, 0)
    found = schema.ModelMetadataT.InitFromPackedBuf(data)
    assert found.name == b"tiny"
    assert found.license == b"Apache-2.0"
    assert found.minParserVersion == b"1.0.0"
    (graph,) = found.subgraphMetadata
    (image,), (output,) = graph.inputTensorMetadata, graph.outputTensorMetadata
    assert image.content.contentProperties.colorSpace == schema.ColorSpaceType.RGB
    assert isinstance(image.processUnits[0].options, schema.NormalizationOptionsT)
    assert image.processUnits[0].options.std.tolist() == [1.0]
    assert (image.stats.min, image.stats.max) == ([0.0], [255.0])
    assert (output.stats.min, output.stats.max) == ([0.0], [1.0])
    assert isinstance(output.content.contentProperties, schema.FeaturePropertiesT)
    (file,) = output.associatedFiles
    assert file.name == b"labels.txt"
    assert file.type == schema.AssociatedFileType.TENSOR_AXIS_LABELS


def classify(mediapipe, path, pixels):
    from mediapipe.tasks import python as tasks
    from mediapipe.tasks.python import vision

    options = vision.ImageClassifierOptions(
        base_options=tasks.BaseOptions(model_asset_path=str(path))
    )
    image = mediapipe.Image(
        image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(pixels)
    )
    with vision.ImageClassifier.create_from_options(options) as classifier:
        (head,) = classifier.classify(image).classifications
    assert head.head_name == "probability"
    return {c.category_name: c.score for c in head.categories}


@pytest.mark.parametrize("kind", ["float32", "uint8"])
def test_mediapipe_sees_the_same(
    mediapipe, request, bare_files, photos, tmp_path, kind
):
    """A real photograph; all classes, by name, with their probabilities."""
    uint8 = kind == "uint8"
    source = request.getfixturevalue("uint8_file") if uint8 else bare_files[kind]
    path = tmp_path / "with.tflite"
    path.write_bytes(describe(source))
    with Image.open(photos[1]) as photo:
        pixels = np.asarray(photo.convert("RGB").crop((100, 100, 132, 132)))
    (expected,) = TFLiteModel(path).predict(pixels[None])
    found = classify(mediapipe, path, pixels)
    assert np.sort(expected)[-2] > 0.05  # more than one class counts
    assert [found[name] for name in NAMES] == pytest.approx(expected, abs=1e-5)


def test_mediapipe_refuses_int8(mediapipe, bare_files, tmp_path):
    path = tmp_path / "with.tflite"
    path.write_bytes(describe(bare_files["int8"]))
    with pytest.raises((ValueError, RuntimeError), match="uint8/float32, got INT8"):
        classify(mediapipe, path, np.zeros((32, 32, 3), np.uint8))
