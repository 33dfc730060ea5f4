"""The files whose speed file_latency.py compares, and whether they are comparable."""

import importlib.util
import pathlib

import keras
import numpy as np

import keras_effnet
from keras_effnet.benchmarks.studies.comparison import SHARED
from keras_effnet.benchmarks.studies.peers import _stock
from keras_effnet.benchmarks.studies.peers._calibration import made_up
from keras_effnet.errors import InputError
from keras_effnet.export import export
from keras_effnet.tflite import TFLiteModel

OURS, STOCK, ONNX = "keras_effnet", "keras.applications", "onnxruntime"
PRECISIONS = ("float32", "int8")
WEIGHTS = {
    "EfficientNetV2B0": SHARED / "data/weights/efficientnetv2-b0_imagenet.weights.h5"
}
# Of the largest logit.
LARGEST_DIFFERENCE = 1e-4
_COMPARED = 8
_LARGEST_LOGIT = 5


def build(network, images):
    """`(model, weights)`: a network, and `"imagenet"` where there are real weights,
    else `"random"`."""
    shape = images.shape[1:]
    path = WEIGHTS.get(network)
    if path is not None and path.is_file():
        model = keras_effnet.build_model(network, weights=path, input_shape=shape)
        return model, "imagenet"
    keras.utils.set_random_seed(0)
    model = keras_effnet.build_model(network, input_shape=shape)
    # Of few small photographs alone the last maps, of a pixel each, have no statistics.
    settle(model, np.concatenate([images[:_COMPARED], made_up(32, shape[0])]))
    return model, "random"


def settle(model, images):
    """Gives every BatchNormalization the statistics of some images, and the classifier
    logits of which a softmax in float32 leaves all.

    Fresh ones are the identity, and a deep network's logits fade to 1e-5: two
    files would differ by rounding alone, and int8 would have nothing to say.
    """
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    model(images, training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
    head = model.layers[-1]
    logits = keras.Model(model.input, head.input)(images) @ head.kernel
    head.kernel.assign(head.kernel * (_LARGEST_LOGIT / np.abs(logits).max()))


def onnx_missing():
    """The first package that the column of onnxruntime needs and that isn't there."""
    for name in ("onnx", "tf2onnx", "onnxruntime"):
        if importlib.util.find_spec(name) is None:
            return name
    return None


def write_files(model, network, images, folder, progress, note):
    """Converts one function on all sides: `{precision: {side: path}}`."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {precision: {} for precision in PRECISIONS}
    progress(OURS)
    exported = export(
        model,
        folder,
        PRECISIONS,
        calibration=lambda: (image[None] for image in images),
    )
    for file in exported:
        paths[file.precision][OURS] = file.path
    other = _stock.counterpart(model, network)
    for precision in PRECISIONS:
        progress(f"{STOCK}, {precision}")
        path = folder / f"{network}_stock_{precision}.tflite"
        _stock.write(path, other, precision, images)
        paths[precision][STOCK] = path
    if onnx_missing():
        return paths
    progress(ONNX)
    of_onnx = folder / f"{network}_float32.onnx", folder / f"{network}_int8.onnx"
    try:
        write_onnx(model, *of_onnx, images)
    except InputError as error:
        note(f"{ONNX} is left out: {error}")
        return paths
    for precision, path in zip(PRECISIONS, of_onnx, strict=True):
        paths[precision][ONNX] = path
    return paths


def write_onnx(model, path, quantized_path, images):
    """Two .onnx files: float32; and int8, static, QDQ, weights per channel."""
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    from keras_effnet.export.onnx import write_onnx as write

    write(model, path)
    # Its own optimisation of the graph, as onnxruntime advises ahead of quantisation.
    prepared = quantized_path.with_suffix(".prepared")
    quant_pre_process(str(path), str(prepared))
    quantization.quantize_static(
        str(prepared),
        str(quantized_path),
        _reader(quantization, images, _session(path).get_inputs()[0].name),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        # On x86 four times as fast as QInt8, whose sigmoids stay in float.
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )
    prepared.unlink()


def _reader(quantization, images, name):
    class Reader(quantization.CalibrationDataReader):
        def __init__(self):
            self._rest = iter(images)

        def get_next(self):
            image = next(self._rest, None)
            return None if image is None else {name: image[None]}

    return Reader()


def _session(path):
    import onnxruntime

    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def logits(path, images):
    """Of a file that ends in a softmax: up to a constant, here their mean."""
    if path.suffix == ".onnx":
        session = _session(path)
        name = session.get_inputs()[0].name
        found = np.concatenate(
            [session.run(None, {name: image[None]})[0] for image in images]
        )
    else:
        found = TFLiteModel(path).predict(images)
    logarithms = np.log(np.maximum(found, 1e-30))
    return logarithms - logarithms.mean(axis=-1, keepdims=True)


def check(paths, images):
    """Raises unless the sides compute the same, on the same input.

    Gives the largest difference of a float file's logits from ours, over the largest
    logit; and how often each int8 file's first class is that of our float file, which
    means something with real weights only."""
    for side in (OURS, STOCK):
        dtype = np.dtype(TFLiteModel(paths["int8"][side]).input["dtype"])
        if dtype != np.int8:
            raise InputError(
                f"Both int8 files must take int8. Received: {side} takes {dtype.name}"
            )
    expected = logits(paths["float32"][OURS], images)
    differences, agreements = {}, {}
    for side, path in paths["float32"].items():
        found = logits(path, images[:_COMPARED])
        reference = expected[:_COMPARED]
        difference = np.abs(found - reference).max() / np.abs(reference).max()
        if not difference <= LARGEST_DIFFERENCE:
            raise InputError(
                f"The float32 files' logits may differ by {LARGEST_DIFFERENCE} of the "
                f"largest. Received: {difference:.1e} of {side}"
            )
        differences[side] = float(difference)
    for side, path in paths["int8"].items():
        same = logits(path, images).argmax(axis=-1) == expected.argmax(axis=-1)
        agreements[side] = float(same.mean())
    return {
        "float_difference": differences,
        "int8_agreement_with_float": agreements,
    }
