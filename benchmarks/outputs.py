"""Whether a target computes what this machine computes."""

import base64

import numpy as np

from keras_effnet.benchmarks.targets.host import Host

# Kernels for different processors round a step apart, or two; GPUs may halve floats.
_MOST_STEPS, _MOST_ERROR = 2, 1e-3
_ONCE = {
    "threads": 1,
    "xnnpack": True,
    "min_runs": 1,
    "min_seconds": 0,
    "warmup_runs": 0,
    "warmup_seconds": 0,
    "max_seconds": 600,
}


def agreement(path, answer):
    """How far a target's outputs are from this machine's on the same input.

    Args:
        path: The .tflite file.
        answer: What the target's `measure` returned.

    Returns:
        A dict: `largest_steps`, of outputs of whole numbers, the largest difference in
        steps of their scale, else `None`; `largest_relative_error`, of outputs of
        floats, the largest difference over this machine's largest value, else `None`.
        `None` for a target that does not give its outputs.
    """
    if answer.get("output_base64") is None:
        return None
    found = _arrays(answer)
    expected = _arrays(Host().measure(path, _ONCE))
    steps, errors = [], []
    for here, there in zip(expected, found, strict=True):
        difference = np.abs(there.astype(np.float64) - here).max()
        if np.issubdtype(here.dtype, np.floating):
            largest = np.abs(here).max()
            errors.append(float(difference / largest) if largest else float(difference))
        else:
            steps.append(int(difference))
    return {
        "largest_steps": max(steps, default=None),
        "largest_relative_error": max(errors, default=None),
    }


def disagreement(found):
    """How far off a target is, in words, where it is more than rounding; else `None`.

    Args:
        found: What `agreement` returned.
    """
    steps, error = found["largest_steps"], found["largest_relative_error"]
    if steps is not None and steps > _MOST_STEPS:
        return f"{steps} steps"
    if error is not None and not error <= _MOST_ERROR:
        return f"{error:.1e}"
    return None


def _arrays(answer):
    """The outputs, split by the sizes that the file gives them."""
    data, arrays = base64.b64decode(answer["output_base64"]), []
    for tensor in answer["outputs"]:
        dtype = np.dtype(tensor["dtype"])
        size = dtype.itemsize * int(np.prod(tensor["shape"], dtype=int))
        arrays.append(np.frombuffer(data[:size], dtype))
        data = data[size:]
    return arrays
