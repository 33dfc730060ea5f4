"""What a built model is made of: the papers' table, work and memory.

Read from the graph of any functional classifier, also of one that this package
did not build. `keras_effnet.costs` counts from a table alone.
"""

import dataclasses
import math
import re
from typing import Any

import keras
from keras import layers as keras_layers
from keras import tree

from keras_effnet.errors import InputError
from keras_effnet.errors import first_line
from keras_effnet.specs import ModelSpec

_BLOCK = re.compile(r"(block\d+)([a-z]+)_")
_TOP = re.compile(r"top_|(avg_pool|max_pool|predictions)$")
_CONVOLUTIONS = (
    keras_layers.Conv1D,
    keras_layers.Conv2D,
    keras_layers.Conv3D,
    keras_layers.DepthwiseConv1D,
    keras_layers.DepthwiseConv2D,
)
_PREPARATIONS = (
    keras_layers.InputLayer,
    keras_layers.Normalization,
    keras_layers.Rescaling,
)


@dataclasses.dataclass(frozen=True)
class LayerCosts:
    """One call of a layer, in running order.

    Attributes:
        name: Of the layer.
        type: Its class, `"Conv2D"`.
        stage: `"input"`, `"stem"`, `"block1"`, ..., `"top"` or `"other"`.
        output_shape: Without the batch.
        parameters: All of the layer's; 0 where a shared layer runs again.
        multiply_adds: For one image; biases are not counted. `None` for a
            layer with kernels whose work is not known here (attention, LSTM).
    """

    name: str
    type: str
    stage: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int | None


@dataclasses.dataclass(frozen=True)
class StageCosts:
    """One row of the papers' table, and what the row costs.

    Attributes:
        name: As in `LayerCosts`.
        operator: `"Conv3x3"`, `"MBConv6, k5x5"`, `"Fused-MBConv4, k3x3"`,
            `"Conv1x1 & Pooling & FC"`. The expansion ratio is that of the
            first block, over the channels that enter it.
        resolution: Height and width of the image or map that enters, as the
            V1 paper's Table 1 prints it.
        channels: That leave the stage.
        layers: Number of blocks.
        parameters: Of all layers of the stage.
        multiply_adds: Of all layers of the stage, for one image.
    """

    name: str
    operator: str
    resolution: tuple[int, int]
    channels: int
    layers: int
    parameters: int
    multiply_adds: int


@dataclasses.dataclass(frozen=True)
class Analysis:
    """What `analyze` found; memory is in bytes for a batch of one.

    Attributes:
        name: Of the model.
        input_shapes: Of each input, without the batch.
        layers: Every call in running order, a tuple of `LayerCosts`.
        stages: The rows of the paper's table, a tuple of `StageCosts`; empty
            for a model without blocks named as `keras.applications` names them.
        trainable_parameters: Weights that training changes.
        total_parameters: All weights.
        multiply_adds: For one image, the papers' convention: convolutions,
            squeeze-and-excitation and dense layers; one multiplication and its
            addition count once.
        not_counted: Names of layers whose work is missing in `multiply_adds`.
        activation_bytes: Input and outputs of all layers together: what
            training keeps for the gradient.
        peak_bytes: The most that is alive at once when the layers run one by
            one: what inference needs beside the weights. Nothing runs in place;
            a runtime that fuses normalisation and activation into the
            convolution needs less.
        bytes_per_element: That the two figures stand for.
    """

    name: str
    input_shapes: tuple[tuple[int, ...], ...]
    layers: tuple[LayerCosts, ...]
    stages: tuple[StageCosts, ...]
    trainable_parameters: int
    total_parameters: int
    multiply_adds: int
    not_counted: tuple[str, ...]
    activation_bytes: int
    peak_bytes: int
    bytes_per_element: int


def analyze(
    model: keras.Model, image_size: int | None = None, bytes_per_element: int = 4
) -> Analysis:
    """Counts what a model costs, layer by layer and stage by stage.

    Nothing is computed: shapes are followed through the graph, nested models
    and shared layers included.

    Args:
        model: A functional or sequential `keras.Model`.
        image_size: Height and width in pixels, one integer; the model's own
            when `None`.
        bytes_per_element: Of an activation: 4 for float32, 2 for float16, 1
            for int8.

    Returns:
        An `Analysis`.

    Raises:
        InputError: The model has no graph, or leaves its image size open, or
            cannot run at `image_size`.
    """
    calls = _follow(model, image_size)
    rows = _layer_costs(calls)
    elements, peak = _activation_elements(calls)
    return Analysis(
        name=model.name,
        input_shapes=tuple(
            row.output_shape for row in rows if row.type == "InputLayer"
        ),
        layers=tuple(rows),
        stages=tuple(_stages(calls, rows)),
        trainable_parameters=sum(math.prod(w.shape) for w in model.trainable_weights),
        total_parameters=model.count_params(),
        multiply_adds=sum(row.multiply_adds or 0 for row in rows),
        not_counted=tuple(row.name for row in rows if row.multiply_adds is None),
        activation_bytes=elements * bytes_per_element,
        peak_bytes=peak * bytes_per_element,
        bytes_per_element=bytes_per_element,
    )


def analyze_spec(spec: ModelSpec, image_size: int | None = None) -> Analysis:
    """Analyses a network by its specification, without weights.

    Args:
        spec: A `keras_effnet.specs.ModelSpec`.
        image_size: Height and width of the input; the specification's when `None`.

    Returns:
        An `Analysis`.
    """
    size = image_size or spec.image_size
    return analyze(build_without_weights(spec, input_shape=(size, size, 3)))


def build_without_weights(spec: ModelSpec | str, **options: Any) -> keras.Model:
    """Builds a model that has shapes but no weight values, for `analyze`.

    EfficientNetL2 takes two seconds and no memory so, instead of 2 GB. The
    model cannot run. Meant for a process that ends soon: Keras would give the
    weights their values when it next initialises others lazily.

    Args:
        spec: As for `keras_effnet.build_model`.
        **options: As for `keras_effnet.build_model`, but `weights`.

    Returns:
        A `keras.Model`.
    """
    from keras_effnet.models import build_model

    with keras.StatelessScope(initialize_variables=False):
        return build_model(spec, **options)


@dataclasses.dataclass(frozen=True)
class _Call:
    """One run of one layer: symbolic tensors of batch 1, without values."""

    layer: keras.Operation
    inputs: list
    outputs: list
    is_output: bool = False


def _graph(model):
    # A Sequential holds its graph inside. Keras has no public way to the calls
    # of a graph in running order; `summary` and `plot_model` take this one.
    graph = getattr(model, "_functional", None) or model
    return graph if hasattr(graph, "_nodes_by_depth") else None


def _follow(model, image_size):
    graph = _graph(model) if isinstance(model, keras.Model) else None
    if graph is None:
        raise InputError(
            "The analysis needs a functional or built sequential Keras model. "
            f"Received: model={model!r}"
        )
    inputs = [_sized(x, image_size) for x in graph.inputs]
    calls = [
        _Call(x._keras_history.operation, [], [y])
        for x, y in zip(graph.inputs, inputs, strict=True)
    ]
    # Without it, Keras would give weights without values their values now.
    with keras.StatelessScope(initialize_variables=False):
        try:
            outputs = _run(graph, inputs, calls)
        except InputError:
            raise
        except Exception as error:
            shapes = [tuple(x.shape[1:]) for x in inputs]
            raise InputError(
                f"The model cannot run on this input: {first_line(error)}. "
                f"Received: {', '.join(map(str, shapes))}"
            ) from error
    outputs = {id(x) for x in outputs}
    return [
        dataclasses.replace(call, is_output=any(id(x) in outputs for x in call.outputs))
        for call in calls
    ]


def _sized(x, image_size):
    shape = list(x.shape)
    if image_size is not None and len(shape) == 4:
        first = keras.config.image_data_format() == "channels_first"
        shape[2 if first else 1] = shape[3 if first else 2] = image_size
    if None in shape[1:]:
        raise InputError(
            "The analysis needs a fixed input size and this model leaves it open: "
            "give an image size. "
            f"Received: input shape {tuple(shape[1:])}"
        )
    return keras.KerasTensor((1, *shape[1:]), dtype=x.dtype)


def _run(graph, inputs, calls):
    """Appends every call inside `graph`; returns its output tensors."""
    known = {id(x): y for x, y in zip(graph.inputs, inputs, strict=True)}
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            if node.is_input:
                continue
            args, kwargs = node.arguments.fill_in(known)
            given = [
                x
                for x in tree.flatten((args, kwargs))
                if keras.utils.is_keras_tensor(x)
            ]
            inner = _graph(node.operation)
            if inner is not None:
                results = _run(inner, given, calls)
            else:
                results = tree.flatten(
                    node.operation.compute_output_spec(*args, **kwargs)
                )
                calls.append(_Call(node.operation, given, results))
            known.update((id(x), y) for x, y in zip(node.outputs, results, strict=True))
    return [known[id(x)] for x in graph.outputs]


def _layer_costs(calls):
    seen = set()
    rows = []
    for call, stage in zip(calls, _stage_names(calls), strict=True):
        # An operation such as `x + y` is no layer and has no weights.
        counts = isinstance(call.layer, keras_layers.Layer) and call.layer not in seen
        seen.add(call.layer)
        rows.append(
            LayerCosts(
                name=call.layer.name,
                type=type(call.layer).__name__,
                stage=stage,
                output_shape=tuple(call.outputs[0].shape[1:]),
                parameters=call.layer.count_params() if counts else 0,
                multiply_adds=_multiply_adds(call),
            )
        )
    return rows


def _multiply_adds(call):
    layer = call.layer
    if isinstance(layer, _CONVOLUTIONS):
        # Every weight of the kernel (which knows groups and multipliers) is
        # used once at every position of the output.
        shape = call.outputs[0].shape
        spatial = shape[2:] if _channel_axis(layer) == 1 else shape[1:-1]
        return math.prod(spatial) * math.prod(layer.kernel.shape)
    if isinstance(layer, keras_layers.Dense):
        *positions, width = call.inputs[0].shape
        rows, columns = layer.kernel.shape
        if width != rows:
            raise InputError(
                f"The layer {layer.name!r} takes {rows} features and would get {width} "
                "at this input size. Received: a tensor of shape "
                f"{call.inputs[0].shape}"
            )
        return math.prod(positions) * rows * columns
    kernels = getattr(layer, "trainable_weights", ())
    return None if any(len(w.shape) > 1 for w in kernels) else 0


def _channel_axis(layer):
    return 1 if layer.data_format == "channels_first" else -1


def _stage_names(calls):
    """The stage of every call: by name, and for those without one (a head that
    somebody put on) by their place before, between or after the named ones."""
    names = [_stage_by_name(call.layer) for call in calls]
    named = [index for index, name in enumerate(names) if name not in (None, "input")]
    if not named:
        return [name or "other" for name in names]
    return [
        name
        or ("input" if index < named[0] else "top" if index > named[-1] else "other")
        for index, name in enumerate(names)
    ]


def _stage_by_name(layer):
    block = _BLOCK.match(layer.name)
    if block:
        return block[1]
    if layer.name.startswith("stem_"):
        return "stem"
    if isinstance(layer, _PREPARATIONS):
        return "input"
    return "top" if _TOP.match(layer.name) else None


def _stages(calls, rows):
    groups = {}
    for call, row in zip(calls, rows, strict=True):
        groups.setdefault(row.stage, []).append((call, row))
    if not any(name.startswith("block") for name in groups):
        return
    for name, group in groups.items():
        if name in ("input", "other"):
            continue
        members = [call for call, _ in group]
        describe = {"stem": _stem, "top": _top}.get(name, _blocks)
        description = describe(members)
        if description is not None:
            yield StageCosts(
                name=name,
                **description,
                parameters=sum(row.parameters for _, row in group),
                multiply_adds=sum(row.multiply_adds or 0 for _, row in group),
            )


def _stem(calls):
    conv = _first(calls, keras_layers.Conv2D)
    return conv and _row(_conv_name(conv), conv, _channels(conv, conv.outputs), 1)


def _top(calls):
    parts = []
    conv = _first(calls, keras_layers.Conv2D)
    pooling = _first(
        calls, (keras_layers.GlobalAveragePooling2D, keras_layers.GlobalMaxPooling2D)
    )
    if conv:
        parts.append(_conv_name(conv))
    if pooling:
        parts.append("Pooling")
    if _first(calls, keras_layers.Dense):
        parts.append("FC")
    start = conv or pooling
    return start and _row(
        " & ".join(parts), start, _channels(start, (conv or pooling).outputs), 1
    )


def _blocks(calls):
    """Reads MBConv or Fused-MBConv off the first block of the stage."""
    letters = {_BLOCK.match(call.layer.name)[2]: None for call in calls}
    first = [
        call
        for call in calls
        if _BLOCK.match(call.layer.name)[2] == next(iter(letters))
        and isinstance(call.layer, (keras_layers.Conv2D, keras_layers.DepthwiseConv2D))
        and "_se_" not in call.layer.name
    ]
    if not first:
        return None
    depthwise = _first(first, keras_layers.DepthwiseConv2D)
    entering = _channels(first[0], first[0].inputs)
    if depthwise:
        kind, kernel = "MBConv", depthwise.layer.kernel_size
        expanded = _channels(depthwise, depthwise.inputs)
    else:
        kind, kernel = "Fused-MBConv", first[0].layer.kernel_size
        expanded = (
            entering if len(first) == 1 else _channels(first[0], first[0].outputs)
        )
    operator = f"{kind}{expanded / entering:.3g}, k{kernel[0]}x{kernel[1]}"
    return _row(
        operator, first[0], _channels(first[-1], first[-1].outputs), len(letters)
    )


def _first(calls, kind):
    return next((call for call in calls if isinstance(call.layer, kind)), None)


def _conv_name(call):
    height, width = call.layer.kernel_size
    return f"Conv{height}x{width}"


def _channels(call, tensors):
    axis = _channel_axis(call.layer)
    # Behind a pooling layer the channels are all that is left.
    return tensors[0].shape[axis if len(tensors[0].shape) == 4 else -1]


def _row(operator, start, channels, layers):
    shape = start.inputs[0].shape
    first = _channel_axis(start.layer) == 1
    return {
        "operator": operator,
        "resolution": tuple(shape[2:] if first else shape[1:3]),
        "channels": channels,
        "layers": layers,
    }


def _activation_elements(calls):
    """Returns the sum of all tensors and the most that is alive at once."""
    last_use = {}
    for step, call in enumerate(calls):
        for x in call.inputs:
            last_use[id(x)] = max(last_use[id(x)], step)
        for x in call.outputs:
            # An output of the model is never freed, one nobody reads at once.
            last_use[id(x)] = math.inf if call.is_output else step
    alive = {}
    total = peak = 0
    for step, call in enumerate(calls):
        for x in call.outputs:
            alive[id(x)] = math.prod(x.shape)
            total += alive[id(x)]
        peak = max(peak, sum(alive.values()))
        alive = {key: size for key, size in alive.items() if last_use[key] > step}
    return total, peak
