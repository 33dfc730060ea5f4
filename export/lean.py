"""Whether a file's graph is lean: read from the file itself."""

import collections

from keras_effnet.errors import InputError
from keras_effnet.export import flatbuffer
from keras_effnet.export.precisions import PRECISIONS
from keras_effnet.sheet import Sheet

# What a dynamic batch or a Reshape would leave. No PAD: XNNPACK folds it into the
# convolution behind it, at no cost (`benchmarks/studies/padding.py`).
WASTE = (
    "PADV2",
    "SHAPE",
    "STRIDED_SLICE",
    "PACK",
    "RESHAPE",
    "GATHER",
    "TRANSPOSE",
    "BATCH_MATMUL",
)
_BUILT_IN = set(flatbuffer.OPERATOR_NAMES.values()) - {"CUSTOM", "DELEGATE"}


def check_built_in(model):
    """Raises an `InputError` where a `schema.ModelT` has operators that phones lack."""
    names = [
        flatbuffer.operator_name(model, operator)
        for subgraph in model.subgraphs
        for operator in subgraph.operators
    ]
    foreign = [name for name in names if name not in _BUILT_IN]
    if foreign:
        raise InputError(
            "The file must have built-in operators only. "
            f"Received: {', '.join(sorted(set(foreign)))}"
        )


def waste(sheet: Sheet) -> tuple[str, ...]:
    """What keeps a file from being lean, short texts, by what its sheet says.

    None for an open batch, which may need arithmetic of shapes.
    """
    if sheet.batch_size is None:
        return ()
    counts = sheet.operators
    found = [f"{counts[name]} {name}" for name in WASTE if name in counts]
    expected = PRECISIONS[sheet.precision].partitions
    if expected is not None and sheet.partitions != expected:
        found.append(f"{sheet.partitions} XNNPACK partitions, not {expected}")
    return tuple(found)


def partitions(operators, graph_inputs) -> tuple[int, dict[str, int]]:
    """How XNNPACK divides a graph, from an interpreter that has applied it.

    `operators` are LiteRT's `_get_ops_details()`, where the delegate's own nodes stand
    among the others and name the tensors that they read and write. Returns how many
    pieces XNNPACK took, and the names and counts of the operators in none of them.
    """
    delegates = [op for op in operators if op["op_name"] == "DELEGATE"]
    own = [op for op in operators if op["op_name"] != "DELEGATE"]
    maker = {int(out): i for i, op in enumerate(own) for out in op["outputs"]}
    inside = set()
    for piece in delegates:
        stop = set(map(int, piece["inputs"])) | set(graph_inputs)
        pending = [int(out) for out in piece["outputs"]]
        while pending:
            index = pending.pop()
            if index in stop or index not in maker or maker[index] in inside:
                continue
            inside.add(maker[index])
            pending += map(int, own[maker[index]]["inputs"])
    outside = collections.Counter(
        op["op_name"] for i, op in enumerate(own) if i not in inside
    )
    return len(delegates), dict(sorted(outside.items()))
