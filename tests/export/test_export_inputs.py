"""Input types and batch sizes: the same answers, by as few operations as can be."""

import dataclasses
import shutil

import keras
import numpy as np
import peer
import pytest
import tflite_file
from ai_edge_litert.interpreter import Interpreter

import keras_effnet
from keras_effnet import notes
from keras_effnet import saving
from keras_effnet.errors import InputError
from keras_effnet.export import PRECISIONS
from keras_effnet.export import converting
from keras_effnet.export import export
from keras_effnet.export.calibration import calibrate
from keras_effnet.export.metadata import read_metadata
from keras_effnet.preprocessing import NORMALIZATIONS
from keras_effnet.preprocessing import Preprocessing
from keras_effnet.sheet import Sheet
from keras_effnet.tflite import TFLiteModel

PIXELS = peer.images(32, 32, batch=6).round()
CASTS = {"QUANTIZE", "DEQUANTIZE"}
INTEGERS = ("uint8", "int8")


def _tiny(network, **options):
    """The ends of a network as they are, and little between them."""
    keras.utils.set_random_seed(0)
    spec = keras_effnet.scaled_spec(
        network, width=0.25, depth=0.25, image_size=32, name="tiny"
    )
    spec = dataclasses.replace(spec, stages=spec.stages[:2])
    model = keras_effnet.build_model(
        spec, classes=5, classifier_activation=None, **options
    )
    rule = saving.attached(model)
    peer.randomize(model, PIXELS if rule.included else rule.normalized(PIXELS))
    return model


# (network, pixel that means zero, names of the operations in front)
SETS = {
    "127": ("EfficientNetLite0", 127, []),
    "128": ("EfficientNetV2S", 128, []),
    "127.5": ("EfficientNetB0", None, ["SUB"]),
    "imagenet": ("EfficientNetB0", None, ["SUB"]),
}


class _Traced:
    """A tiny network with a set's mean and std, and its files by type."""

    def __init__(self, rule, folder):
        network, self.zero_point, self.in_front = SETS[rule]
        self.folder = folder
        self.model = _tiny(network, preprocessing=Preprocessing(*NORMALIZATIONS[rule]))
        self.trace = converting.trace(self.model, folder / "saved_model")
        self.ranges = calibrate(self.trace.float32, (PIXELS,))

    def file(self, precision, input_type):
        path = self.folder / f"{precision}_{input_type}.tflite"
        if not path.exists():
            data = converting.file_of(
                self.trace, precision, input_type, ranges=self.ranges
            )
            path.write_bytes(data)
        return path

    def answers(self, precision, input_type):
        path = self.file(precision, input_type)
        return tflite_file.run(path, tflite_file.stored(PIXELS, input_type))


# 128 takes the way of 127, and 127.5 that of imagenet.
PARAMETERS = [
    pytest.param(rule, marks=pytest.mark.slow if rule in ("128", "127.5") else ())
    for rule in SETS
]


@pytest.fixture(scope="module", params=PARAMETERS)
def traced(request, tmp_path_factory):
    return _Traced(request.param, tmp_path_factory.mktemp("traced"))


@pytest.mark.parametrize("input_type", INTEGERS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_whole_pixels_give_the_same_answers(traced, precision, input_type):
    expected = traced.answers(precision, "float32")
    found = traced.answers(precision, input_type)
    if precision in ("float32", "float16", "weight-only"):
        assert peer.relative_error(found, expected) <= 1e-6
    else:  # ranges of the first tensors differ by a rounding
        moved, differences = (x - x.mean(axis=0) for x in (found, expected))
        assert np.corrcoef(moved.ravel(), differences.ravel())[0, 1] > 0.98
        assert np.abs(found - expected).mean() < 0.05 * expected.std()


def test_the_float_file_is_right(traced):
    expected = np.asarray(traced.model(PIXELS))
    assert peer.relative_error(traced.answers("float32", "float32"), expected) <= 1e-5


@pytest.mark.parametrize("input_type", INTEGERS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_single_mean_costs_no_operation(traced, precision, input_type):
    found = tflite_file.in_front(traced.file(precision, input_type))
    assert [name for name in found if name not in CASTS] == traced.in_front


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_float_input_costs_one_at_most(traced, precision):
    found = tflite_file.in_front(traced.file(precision, "float32"))
    assert [name for name in found if name not in CASTS] == ["SUB"]


@pytest.mark.parametrize("input_type", INTEGERS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_stored_value_is_a_pixel(traced, precision, input_type):
    """With a mean in it, the zero point is the mean; else 0. The scale is 1."""
    interpreter = Interpreter(str(traced.file(precision, input_type)))
    (source,) = interpreter.get_input_details()
    assert np.dtype(source["dtype"]).name == input_type
    zero_point = (traced.zero_point or 0) - 128 * (input_type == "int8")
    assert source["quantization"] == (1.0, zero_point)
    output = np.dtype(interpreter.get_output_details()[0]["dtype"]).name
    assert output == (input_type if precision == "int8" else "float32")


def test_a_network_that_is_given_normalised_pixels(tmp_path):
    """The input's scale and zero point then are the normalisation."""
    model = _tiny("EfficientNetLite0", include_preprocessing=False)
    normalized = saving.attached(model).normalized(PIXELS)
    (file,) = export(model, tmp_path, input_type="uint8")
    (source,) = Interpreter(str(file.path)).get_input_details()
    assert source["quantization"] == (1 / 128, 127)
    found = tflite_file.run(file.path, PIXELS.astype("uint8"))
    assert peer.relative_error(found, np.asarray(model(normalized))) <= 1e-5


@pytest.mark.parametrize(
    ("network", "mean", "std"),
    [
        ("EfficientNetLite0", (127,), (128,)),
        ("EfficientNetB0", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    ],
)
def test_metadata_of_an_8_bit_input_without_preprocessing(network, mean, std, tmp_path):
    """A reader normalises pixels as the weights want it, then quantises."""
    model = _tiny(network, include_preprocessing=False)
    normalized = saving.attached(model).normalized(PIXELS)
    (file,) = export(model, tmp_path, ("int8",), lambda: (normalized,))
    found = read_metadata(file.path)
    assert found["mean"] == pytest.approx(mean)
    assert found["std"] == pytest.approx(std)
    if len(mean) == 1:  # then a pixel is stored as it is, less 128
        assert file.numbers["input"]["scale"] == pytest.approx(1 / 128)
        assert file.numbers["input"]["zero_point"] == -1


@pytest.mark.parametrize(
    ("network", "included"),
    [
        ("EfficientNetB0", False),
        ("EfficientNetLite0", True),
        pytest.param("EfficientNetB0", True, marks=pytest.mark.slow),
        pytest.param("EfficientNetLite0", False, marks=pytest.mark.slow),
    ],
)
def test_a_file_moved_alone_tells_how_photographs_go_in(network, included, tmp_path):
    """Its metadata does, as well as the sheet that it left behind."""
    model = _tiny(network, include_preprocessing=included)
    saving.attach(model, saving.attached(model), class_names=list("abcde"))
    images = PIXELS if included else saving.attached(model).normalized(PIXELS)
    precisions = ("float32", "dynamic", "int8")
    for input_type in ("float32", "int8") if network.endswith("Lite0") else (None,):
        files = export(
            model, tmp_path, precisions, lambda: (images,), input_type=input_type
        )
        for file in files:
            alone = TFLiteModel(shutil.copy(file.path, tmp_path / "another.tflite"))
            beside = TFLiteModel(file.path)
            assert alone.class_names == beside.class_names == tuple("abcde")
            assert alone.rule is not None
            assert np.array_equal(_answers(alone), _answers(beside))
            assert np.ptp(_answers(alone), axis=0).max() > 0


def _answers(classifier):
    """As `photos.batches` prepares photographs for it."""
    rule = classifier.preprocessing
    return classifier.predict(PIXELS if rule.included else rule.normalized(PIXELS))


def test_without_sheet_and_metadata_it_is_a_guess(traced):
    file = TFLiteModel(traced.file("int8", "uint8"))
    with notes.strict(), pytest.raises(InputError, match="guessed from its name: 0-2"):
        file.note_guess()
    assert file.preprocessing.included
    rule = Preprocessing((1.0,), (2.0,))
    told = TFLiteModel(file.path, sheet=Sheet(preprocessing=rule))
    assert told.preprocessing == rule
    told.note_guess()


def test_a_network_whose_pixels_have_no_one_scale(tmp_path):
    model = _tiny("EfficientNetB0", include_preprocessing=False)
    with pytest.raises(InputError, match=r"input_type` must be float32.*Received:"):
        export(model, tmp_path, input_type="uint8")
    assert list(tmp_path.iterdir()) == []


def test_a_convolution_without_padding_takes_the_mean_into_its_bias(tmp_path):
    """The converter leaves no subtraction; ranges and zero points must not think
    that there is one."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Rescaling(1 / 64, -127 / 64),
            layers.Conv2D(8, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4),
        ],
        name="valid",
    )
    expected = model.predict_on_batch(PIXELS)
    for input_type in ("float32", "uint8"):
        files = export(
            model, tmp_path, ("float32", "int8"), lambda: (PIXELS,), None,
            input_type=input_type,
        )  # fmt: skip
        stored = tflite_file.stored(PIXELS, input_type)
        for file, limit in zip(files, (1e-5, 0.03), strict=True):
            assert set(tflite_file.in_front(file.path)) <= CASTS
            found = tflite_file.run(file.path, stored)
            assert peer.relative_error(found, expected) <= limit


@pytest.fixture(scope="module")
def batches(tmp_path_factory):
    """`(Keras' logits, files by batch size and precision)`."""
    model = _tiny("EfficientNetB0")
    files = {}
    for size in (1, 3, None):
        found = export(
            model,
            tmp_path_factory.mktemp("batch"),
            ("float32", "int8"),
            lambda: (PIXELS,),
            batch_size=size,
            input_type="float32",
        )
        files |= {(size, file.precision): file for file in found}
    return np.asarray(model(PIXELS)), files


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_fixed_batch(batches, precision):
    _, files = batches
    one, three = files[1, precision], files[3, precision]
    assert three.numbers["input"]["shape"] == [3, 32, 32, 3]
    assert three.numbers["partitions"] == 1
    assert three.numbers["operators"] == one.numbers["operators"]
    expected = tflite_file.run(one.path, PIXELS)
    assert peer.relative_error(tflite_file.run(three.path, PIXELS), expected) <= 1e-5


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_an_open_batch(batches, precision, size):
    _, files = batches
    file = files[None, precision]
    assert file.numbers["input"]["shape"] == [-1, 32, 32, 3]
    assert file.numbers["output"]["shape"] == [-1, 5]
    interpreter = Interpreter(str(file.path))
    (source,) = interpreter.get_input_details()
    (target,) = interpreter.get_output_details()
    if size > 1:
        interpreter.resize_tensor_input(source["index"], [size, 32, 32, 3])
    interpreter.allocate_tensors()
    interpreter.set_tensor(source["index"], PIXELS[:size])
    interpreter.invoke()
    found = interpreter.get_tensor(target["index"]).astype("float32")
    scale, zero_point = target["quantization"]
    found = (found - zero_point) * (scale or 1)
    expected = tflite_file.run(files[1, precision].path, PIXELS[:size])
    assert peer.relative_error(found, expected) <= 1e-5


def test_the_batches_are_right(batches):
    expected, files = batches
    for size in (1, 3):
        found = tflite_file.run(files[size, "float32"].path, PIXELS)
        assert peer.relative_error(found, expected) <= 1e-5


@pytest.mark.parametrize("network", ["EfficientNetB0", "EfficientNetLite0"])
def test_a_network_that_pads_symmetrically(network, tmp_path):
    """Its zeros are those of normalised pixels, whatever the normalisation became."""
    model = _tiny(network, padding="symmetric", bn_epsilon=1e-5)
    expected = model.predict_on_batch(PIXELS)
    files = export(
        model, tmp_path, ("float32", "int8"), lambda: (PIXELS,), input_type="uint8"
    )
    stored = tflite_file.stored(PIXELS, "uint8")
    for file, limit in zip(files, (1e-5, 0.2), strict=True):
        assert tflite_file.operators(file.path).count("PAD") > 1
        assert peer.relative_error(tflite_file.run(file.path, stored), expected) < limit
    assert files[0].sheet.partitions == 1
