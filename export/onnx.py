"""An ONNX file, by Keras' own exporter, and checked against the model."""

import contextlib
import os
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_effnet import files
from keras_effnet.errors import InputError
from keras_effnet.errors import needed
from keras_effnet.evaluation import KerasClassifier
from keras_effnet.export import tracing
from keras_effnet.export.tracing import INPUT_NAME
from keras_effnet.export.tracing import OUTPUT_NAME
from keras_effnet.quiet import native_stderr_held_back
from keras_effnet.rule import Preprocessing

# Of the largest output: what float32 sums in another order differ by, and more.
_TOLERANCE = 1e-4


def write_onnx(
    model: keras.Model, path: str | os.PathLike, batch_size: int | None = 1
) -> None:
    """Writes an ONNX file and runs it with onnxruntime before it appears.

    Input `images`, float32 `(batch, height, width, channels)`, as the model takes
    them; output `probabilities`, `(batch, classes)`, logits of a model that ends
    in logits.

    Args:
        model: A functional `keras.Model` with one image input of a fixed size
            and one output.
        path: Of the file.
        batch_size: The batch that the file will have; `None` leaves it open.

    Raises:
        InputError: The extra `onnx` is not installed, the model is no such
            classifier, ONNX lacks one of its operations, or the file computes
            something else than the model, by more than 1e-4 of the largest
            output on random images. No file is left then.
    """
    message = "ONNX needs its libraries: pip install 'keras-effnet[onnx]'."
    for module in ("onnx", "tf2onnx", "onnxruntime"):
        library = needed(module, message, module)
    tracing.check(model)
    tracing.check_batch_size(batch_size)
    float_model = tracing.in_float32(model)
    named = keras.Model(float_model.inputs[0], {OUTPUT_NAME: float_model.outputs[0]})
    shape = model.inputs[0].shape[1:]
    spec = keras.InputSpec("float32", (batch_size, *shape), name=INPUT_NAME)
    with files.replacing(path) as temporary:
        with (
            _statistics_in_graph(named),
            native_stderr_held_back(),
            warnings.catch_warnings(),
        ):
            # Keras asks NumPy for the `np.object` that tf2onnx still uses.
            warnings.filterwarnings("ignore", r"In the future `np\.object`")
            named.export(
                temporary, format="onnx", verbose=False, input_signature=[spec]
            )
        _check_graph(temporary)
        session = library.InferenceSession(
            temporary, providers=["CPUExecutionProvider"]
        )
        _compare(session, named, KerasClassifier(model).preprocessing, batch_size or 2)


@contextlib.contextmanager
def _statistics_in_graph(model: keras.Model) -> Iterator[None]:
    """Keras' exporter makes inputs of a Normalization's tensors; arrays stay inside."""
    layers = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.Normalization)
    ]
    kept = [(layer.mean, layer.variance) for layer in layers]
    try:
        for layer in layers:
            layer.mean, layer.variance = map(np.asarray, (layer.mean, layer.variance))
        yield
    finally:
        for layer, (mean, variance) in zip(layers, kept, strict=True):
            layer.mean, layer.variance = mean, variance


def _check_graph(path: str | os.PathLike) -> None:
    """What the exporter can't translate it logs, and writes it all the same."""
    import onnx

    graph = onnx.load(path).graph
    operations = {node.op_type for node in graph.node if not node.domain}
    unknown = sorted(name for name in operations if not onnx.defs.has(name))
    if unknown:
        raise InputError(
            "The model holds operations that ONNX does not have. "
            f"Received: {', '.join(unknown)}"
        )
    inputs = [value.name for value in graph.input]
    if inputs != [INPUT_NAME]:
        raise InputError(
            "The model computes with tensors that are no weights of it, and the "
            f"exporter makes inputs of them. Received: {', '.join(inputs)}"
        )


def _compare(
    session: Any, named: keras.Model, rule: Preprocessing, batch_size: int
) -> None:
    random = np.random.default_rng(0)
    shape = (batch_size, *named.inputs[0].shape[1:])
    for _ in range(-(-4 // batch_size)):
        images = random.uniform(0, 255, shape).astype("float32")
        if not rule.included:
            images = rule.for_channels(shape[-1]).normalized(images)
        expected = np.asarray(named(images, training=False)[OUTPUT_NAME])
        (found,) = session.run([OUTPUT_NAME], {INPUT_NAME: images})
        difference = np.abs(found - expected).max()
        limit = _TOLERANCE * np.abs(expected).max()
        if not difference <= limit:
            raise InputError(
                "The ONNX file computes something else than the model: outputs may "
                f"differ by {limit:.1e}. Received: {difference:.1e}"
            )
