"""From one trace to the bytes of a file in each precision."""

import dataclasses

import numpy as np

from keras_effnet import preprocessing
from keras_effnet.errors import InputError
from keras_effnet.export import engines
from keras_effnet.export import flatbuffer
from keras_effnet.export import interface
from keras_effnet.export.calibration import Ranges
from keras_effnet.export.lean import check_built_in
from keras_effnet.export.normalisation import Normalisation
from keras_effnet.export.precisions import PRECISIONS
from keras_effnet.export.precisions import engine_of
from keras_effnet.export.tracing import freeze
from keras_effnet.quiet import native_stderr_held_back
from keras_effnet.rule import Preprocessing


@dataclasses.dataclass(frozen=True)
class Trace:
    """A model, traced once."""

    folder: str  # of the SavedModel
    normalisation: Normalisation | None
    rule: Preprocessing | None  # attached to the model
    output_name: str  # "probabilities", or "outputs" without a last softmax
    float32: bytes  # the float file


def trace(model, folder, batch_size=1) -> Trace:
    """Traces a model and converts it to float32, on which the others build; the batch
    is open where its size is `None`."""
    with native_stderr_held_back():
        found = freeze(model, folder, batch_size)
        data = engines.convert(folder, "float32")
    base = flatbuffer.unpack(data)
    check_built_in(base)
    if found and found.subtracts and interface.subtraction(base) is None:
        found = dataclasses.replace(found, mean=np.zeros_like(found.mean))
    last = flatbuffer.graph(base).operators[-1]
    softmax = flatbuffer.operator_name(base, last) in ("SOFTMAX", "LOGISTIC")
    name = "probabilities" if softmax else "outputs"
    return Trace(str(folder), found, preprocessing.of_model(model), name, data)


def file_of(
    trace, precision, input_type=None, engine=None, ranges=None, float_nodes=frozenset()
) -> bytes:
    """The bytes of a file.

    The input has the precision's own type when `None`. int8 files answer in the same
    type, others in float32. `ranges` are a `calibration.Ranges`, for the precisions
    that need them; `float_nodes` names of operators (their outputs') that int8 of the
    engine `"tflite"` leaves in float. An `InputError` where the engine refuses, or
    nothing says what a pixel is worth.
    """
    engine = engine_of(precision, engine)
    input_type = input_type or PRECISIONS[precision].input_type
    base = flatbuffer.unpack(trace.float32)
    norm = trace.normalisation
    # The zero point of the pixels does the subtraction's work.
    drops = (
        input_type != "float32"
        and norm is not None
        and norm.subtracts
        and norm.zero_point is not None
    )
    by_tensor = _ranges_of(trace, base, ranges, drops)
    subgraph = flatbuffer.graph(base)
    last = subgraph.tensors[subgraph.outputs[0]].name.decode()
    if last in float_nodes:  # `set_names` renames it
        float_nodes = float_nodes - {last} | {trace.output_name}
    with native_stderr_held_back():
        if precision == "float32":
            model = base
        elif engine == "tflite" and precision in ("float16", "dynamic"):
            model = flatbuffer.unpack(engines.convert(trace.folder, precision))
        else:
            model = None
        if drops:
            interface.drop_subtraction(model or base)
            interface.set_names(model or base, trace.output_name)
        if model is None:
            data = engines.quantize(
                flatbuffer.pack(base), precision, engine, by_tensor, float_nodes
            )
            model = flatbuffer.unpack(data)
    pixels = None if input_type == "float32" else _pixels(trace, precision, drops)
    output_type = input_type if precision == "int8" else "float32"
    interface.set_types(model, input_type, output_type, pixels)
    interface.set_names(model, trace.output_name)
    check_built_in(model)
    return flatbuffer.pack(model)


def takes_pixels(trace):
    """Whether an integer input of its files stores a pixel as it is."""
    included = trace.rule is not None and trace.rule.included
    return trace.normalisation is not None or included


def pixel_statistics(trace, model):
    """`(mean, std)` by which a reader makes an input of a trace's file, a
    `schema.ModelT`, from pixels, 0-255.

    What an integer input stores is then the pixel itself, or minus 128 for int8.
    """
    tensor = flatbuffer.graph(model).tensors[flatbuffer.graph(model).inputs[0]]
    quantization = tensor.quantization
    stored = quantization is not None and quantization.scale is not None
    if stored and takes_pixels(trace):
        signed = tensor.type == flatbuffer.TENSOR_TYPES["int8"]
        mean = float(quantization.zeroPoint[0]) + 128 * signed
        return (mean,), (1 / float(quantization.scale[0]),)
    if trace.rule is None or trace.rule.included:
        return (0.0,), (1.0,)
    rule = trace.rule.for_channels(int(tensor.shape[-1]))
    return rule.mean, rule.std


def _ranges_of(trace, base, ranges, drops):
    """The ranges that an engine takes, `None` for one that takes none."""
    if not isinstance(ranges, Ranges):
        return None
    found = pinned(trace, ranges.by_tensor, base)
    if drops:
        del found[flatbuffer.activations(base)[0]]
    return found


def pinned(trace, by_tensor, base=None):
    """`{index: (least, greatest)}` with the ranges of the pixels as they are known, not
    as they were seen; `base` is the trace's float file unpacked, where it is at hand.
    """
    base = base or flatbuffer.unpack(trace.float32)
    found = dict(by_tensor)
    source = flatbuffer.activations(base)[0]
    norm, rule = trace.normalisation, trace.rule
    if takes_pixels(trace):
        low, high = found[source]
        if low < 0 or not 1 < high <= 255:
            raise InputError(
                "This model takes pixels, 0-255, and so must the calibration images "
                f"be. Received: values from {low:g} to {high:g}"
            )
        found[source] = (0.0, 255.0)
    elif single := _single_statistics(rule):
        mean, std = single
        found[source] = (-mean / std, (255 - mean) / std)
    if norm is not None and norm.subtracts:
        (difference,) = interface.subtraction(base).outputs
        low, high = -float(norm.mean.max()), 255 - float(norm.mean.min())
        found[int(difference)] = (min(low, 0.0), max(high, 0.0))
    return found


def _single_statistics(rule):
    """`(mean, std)` of a rule that has the same for all channels, or `None`."""
    found = set(zip(rule.mean, rule.std, strict=True)) if rule else ()
    return found.pop() if len(found) == 1 else None


def _pixels(trace, precision, drops):
    """`(scale, zero point)` of a uint8 pixel at the graph's float input."""
    norm, rule = trace.normalisation, trace.rule
    if norm is not None:
        return 1.0, norm.zero_point if drops else 0
    if rule is not None and rule.included:
        return 1.0, 0
    if single := _single_statistics(rule):
        mean, std = single
        if mean == round(mean):
            return 1 / std, int(mean)
    if precision == "int8":
        return None  # its input has a scale of its own
    raise InputError(
        "Nothing says what a pixel is worth to this model: it has no normalisation "
        "of its own, and none with one whole mean is attached to it. "
        f"`input_type` must be float32. Received: an integer input for {precision}"
    )
