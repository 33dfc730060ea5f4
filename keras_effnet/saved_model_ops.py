"""What a SavedModel folder would run, read before TensorFlow loads it."""

import os
import pathlib
import re

from keras_effnet import files
from keras_effnet.errors import InputError
from keras_effnet.errors import explained

_LIMIT = 2**31  # bytes, protocol buffers' own
# Operators of tensorflow/core/ops that read or write files, reach other machines or
# processes, or run code of this one.
_REFUSED = re.compile(
    "File|Save|Restore|Checkpoint|Merge.*V2Ch|Reader|Summary|PyFunc|Rpc|Send|Recv|"
    "Remote|Service|TextLine|TFRecord|Sql|Snapshot|LMDB|Debug|Dump|Print|Record|"
    "Collective|Nccl|Load|Export|Worker|Server|Bigtable|BigQuery|Gcs|CacheDataset|"
    "Abort|Socket|Enqueue|Distribute"
)
# With these TensorFlow writes and reads the variables of the folder itself.
_SAVER = ("SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename")


def check(path: str | os.PathLike) -> None:
    """Refuses a SavedModel with operators that a classifier has no use for.

    Those of the saver stand in functions that nothing else calls.

    Args:
        path: Of its folder.

    Raises:
        InputError: It can't be read, or has an operator that reads or writes files or
            reaches the network.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    path = pathlib.Path(path)
    for name in ("saved_model.cpb", "saved_model.pbtxt"):  # TensorFlow takes them, too
        if path.joinpath(name).exists():
            raise InputError(
                f"A SavedModel with a {name} can't be looked into; --trust "
                f"(`trust=True`) runs it all the same. Received: {str(path)!r}"
            )
    with explained("The SavedModel can't be read, it may be damaged: {}.", path):
        data = files.read_bytes(path / "saved_model.pb", _LIMIT)
        graphs = saved_model_pb2.SavedModel.FromString(data).meta_graphs
        found = sorted({name for graph in graphs for name in _found(graph)})
    if found:
        raise InputError(
            "The SavedModel reads or writes files, or reaches other programs, which a "
            "classifier has no use for; --trust (`trust=True`) runs it all the same: "
            f"{', '.join(found)}. Received: {str(path)!r}"
        )


def _found(graph):
    functions = {f.signature.name: f.node_def for f in graph.graph_def.library.function}
    saver = graph.saver_def
    ends = (saver.save_tensor_name, saver.restore_op_name)
    ends = {name.partition(":")[0] for name in ends}
    own, others = [], []
    for node in graph.graph_def.node:
        (own if node.name in ends else others).append(node)
    kept = _reached(own, functions)
    rest = [name for name in functions if name not in kept]
    # What objects offer is called by whoever loads them.
    rest += graph.object_graph_def.concrete_functions
    used = {*rest, *_reached(others, functions)}
    for name in rest:
        used |= _reached(functions.get(name, ()), functions)
    for name, nodes in [(None, others), *functions.items()]:
        allowed = _SAVER if name in kept - used else ()
        for node in nodes:
            if _REFUSED.search(node.op) and node.op not in allowed:
                yield node.op


def _reached(nodes, functions):
    """The names of functions that nodes call, and those that these call."""
    found, waiting = set(), list(nodes)
    while waiting:
        for value in waiting.pop().attr.values():
            for func in (value.func, *value.list.func):
                if func.name in functions and func.name not in found:
                    found.add(func.name)
                    waiting += functions[func.name]
    return found
