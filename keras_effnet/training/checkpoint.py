"""All that a training needs to go on, in one file that is whole or not there."""

import json
import pathlib

import numpy as np

from keras_effnet import files
from keras_effnet import notes
from keras_effnet.errors import InputError
from keras_effnet.errors import first_line

_PATTERN = "step-*.npz"
KEPT = 2


def save(folder, arrays, state):
    """Writes a checkpoint of `{"model": [array, ...], ...}` and a JSON-ready dict with
    `"global_step"`, removes all but the last ones, and gives its path. Where it can't
    be written the earlier ones are untouched."""
    path = pathlib.Path(folder) / f"step-{state['global_step']:010d}.npz"
    write(path, arrays, state)
    for old in checkpoints(folder)[:-KEPT]:
        old.unlink()
    return path


def write(path, arrays, state):
    """Writes one file of what `save` takes, whole or not at all."""
    flat = {
        f"{name}/{index}": np.asarray(array)
        for name, group in arrays.items()
        for index, array in enumerate(group)
    }
    text = np.frombuffer(json.dumps(state).encode(), np.uint8)
    files.write_arrays(path, {"state": text, **flat})


def read(path):
    """`(arrays, state)` of a file as `write` took them."""
    flat = files.read_arrays(path)
    state = files.parse_json(flat.pop("state").tobytes())
    arrays = {}
    for key, array in flat.items():  # in the order in which `write` wrote them
        arrays.setdefault(key.rpartition("/")[0], []).append(array)
    return arrays, state


def checkpoints(folder):
    """The checkpoints of a folder, the last one last."""
    return sorted(pathlib.Path(folder).glob(_PATTERN))


def load_last(folder, use=lambda arrays, state: None):
    """`(arrays, state)` of the last checkpoint that can be read, as `save` took them,
    and that `use` of them raises nothing of.

    `None` where there is none; an `InputError` where there are, and none will do.
    """
    found = checkpoints(folder)
    failures = []
    for path in reversed(found):
        try:
            use(*(last := read(path)))
        except Exception as error:  # whatever a changed byte can lead to
            failures.append(f"{path.name}: {first_line(error)}")
            continue
        if failures:
            damaged = "; ".join(failures)
            notes.warn(f"going on from {path.name}; damaged is {damaged}")
        return last
    if not found:
        return None
    raise InputError(
        f"No checkpoint can be read: {'; '.join(failures)}. Received: {str(folder)!r}"
    )


def restore(variables, arrays, what):
    """Puts arrays into Keras variables, all or none; a message calls them `what`."""
    shapes = [tuple(variable.shape) for variable in variables]
    if shapes != [array.shape for array in arrays]:
        raise InputError(
            f"The checkpoint is of another training: its {what} differ in number or "
            f"shape. Received: {len(arrays)} arrays for {len(variables)} variables"
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
