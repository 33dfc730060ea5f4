"""TensorFlow checkpoints of tensorflow/tpu (EfficientNet V1, Lite, EdgeTPU) and
google/automl (V2), as a folder, a file or the published archive."""

import contextlib
import re

import numpy as np

from keras_effnet.errors import InputError
from keras_effnet.errors import explained
from keras_effnet.weights import archives
from keras_effnet.weights import tensor_bundle
from keras_effnet.weights import tf_names
from keras_effnet.weights.blocks import blocks
from keras_effnet.weights.convention import TENSORFLOW
from keras_effnet.weights.keras_h5 import size_limit

# The pointer, the table of names, and the arrays; no graph, events or .tflite.
_FILE = re.compile(r"checkpoint|[^.].*\.(index|data-\d{5}-of-\d{5})")
_POINTER = re.compile(r'^model_checkpoint_path:\s*"(?:.*[/\\])?(.+?)"', re.MULTILINE)


def read(path, model):
    """Reads a checkpoint as `importing.read`, of a variable with a moving average the
    average; nothing else is read from the disk.

    The path is that of a `.tar.gz` or `.tgz`, which is unpacked into a temporary
    folder, of a checkpoint's `.index` file, with or without this ending, or of a folder
    with exactly one.
    """
    message = (
        "The TensorFlow checkpoint can't be read: it is damaged, or a file of it is "
        "missing: {}."
    )
    with _prefix(path, model) as prefix, explained(message, path):
        bundle = tensor_bundle.TensorBundle(prefix)
        names = tf_names.sources(bundle.names, blocks(model))
        return {
            ours: bundle.read(name).astype(np.float32) for ours, name in names.items()
        }


def convention(path):
    """Every one is TensorFlow's own."""
    return TENSORFLOW


@contextlib.contextmanager
def _prefix(path, model):
    """What the names of a checkpoint's files begin with."""
    if path.is_dir():
        yield _only(path, sorted(path.glob("*.index")), path)
    elif path.name.endswith((".tar.gz", ".tgz")):
        with archives.unpacked(path, _FILE, size_limit(model)) as folder:
            yield _only(folder, sorted(folder.rglob("*.index")), path)
    else:
        yield str(path).removesuffix(".index")


def _only(folder, indices, path):
    pointed = [index for index in indices if index.name == _pointed(index.parent)]
    for choice in (pointed, indices):
        if len(choice) == 1:
            return str(choice[0]).removesuffix(".index")
    if not indices:
        raise InputError(
            "There is no TensorFlow checkpoint in it: no .index file. "
            f"Received: {str(path)!r}"
        )
    names = ", ".join(str(index.relative_to(folder)) for index in indices[:5])
    more = f" and {len(indices) - 5} more" if len(indices) > 5 else ""
    raise InputError(
        "There are several TensorFlow checkpoints in it; give the path of one: "
        f"{names}{more}. Received: {str(path)!r}"
    )


def _pointed(folder):
    """The name of the `.index` file that the file `checkpoint` points to.

    Of the path in it only the last part: it was written on another machine.
    """
    try:
        with open(folder / "checkpoint", encoding="utf-8", errors="replace") as file:
            match = _POINTER.search(file.read(2**16))
    except OSError:
        return None
    return match and f"{match[1]}.index"
