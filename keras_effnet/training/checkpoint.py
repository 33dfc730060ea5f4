"""All that a training needs to go on, in one file that is whole or not there."""

import json
import pathlib
import zipfile
import zlib

import numpy as np

from keras_effnet import files
from keras_effnet.errors import InputError

_PATTERN = "step-*.npz"
_DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)
KEPT = 2


def save(folder, arrays, state):
    """Writes a checkpoint and removes all but the last ones.

    Args:
        folder: Of the checkpoints.
        arrays: `{"model": [array, ...], ...}`, lists of arrays by name.
        state: A JSON-ready dict with `"global_step"`.

    Returns:
        The `pathlib.Path` of the file.

    Raises:
        InputError: It can't be written; the earlier ones are untouched.
    """
    folder = pathlib.Path(folder)
    path = folder / f"step-{state['global_step']:010d}.npz"
    flat = {
        f"{name}/{index}": np.asarray(array)
        for name, group in arrays.items()
        for index, array in enumerate(group)
    }
    text = np.frombuffer(json.dumps(state).encode(), np.uint8)
    with files.replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, state=text, **flat)
    for old in checkpoints(folder)[:-KEPT]:
        old.unlink()
    return path


def checkpoints(folder):
    """The checkpoints of a folder, the last one last."""
    return sorted(pathlib.Path(folder).glob(_PATTERN))


def load_last(folder):
    """The last checkpoint that can be read.

    Args:
        folder: Of the checkpoints.

    Returns:
        `(arrays, state)` as `save` took them, or `None` where there is none.

    Raises:
        InputError: There are checkpoints, and none can be read.
    """
    found = checkpoints(folder)
    for path in reversed(found):
        try:
            return _load(path)
        except _DAMAGED as error:
            failure = error
    if not found:
        return None
    raise InputError(
        f"No checkpoint can be read, the last one says: {failure}. "
        f"Received: {str(folder)!r}"
    )


def _load(path):
    # Opened here: of a damaged file np.load leaves its own open.
    with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
        state = json.loads(file["state"].tobytes().decode())
        groups = {}
        for key in file.files:
            name, _, index = key.rpartition("/")
            if name:
                groups.setdefault(name, {})[int(index)] = file[key]
    arrays = {name: [group[i] for i in sorted(group)] for name, group in groups.items()}
    return arrays, state


def restore(variables, arrays, what):
    """Puts arrays into variables, all of them.

    Args:
        variables: Keras variables.
        arrays: As many arrays of their shapes.
        what: What a message calls them.

    Raises:
        InputError: The numbers or shapes differ.
    """
    shapes = [tuple(variable.shape) for variable in variables]
    if shapes != [array.shape for array in arrays]:
        raise InputError(
            f"The checkpoint is of another training: its {what} differ in number or "
            f"shape. Received: {len(arrays)} arrays for {len(variables)} variables"
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
