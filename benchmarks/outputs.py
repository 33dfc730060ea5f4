"""Whether a target computes what this machine computes."""

import base64
import pathlib

import numpy as np

from keras_effnet import made_with
from keras_effnet.benchmarks.targets.host import Host
from keras_effnet.benchmarks.targets.target import ONCE
from keras_effnet.evaluation import held_out_photos
from keras_effnet.evaluation import photo_batches
from keras_effnet.tflite import TFLiteModel

# Kernels for different processors round a step apart, or two; GPUs may halve floats.
_MOST_STEPS, _MOST_ERROR = 2, 1e-3


def difference_from_host(path, answer):
    """How far a target's outputs, of its `measure`'s answer, are from this machine's on
    the same input.

    `largest_steps`, of outputs of whole numbers, is the largest difference in steps of
    their scale, else `None`; `largest_relative_error`, of outputs of floats, the
    largest difference over this machine's largest value, else `None`. `None` for a
    target that does not give its outputs."""
    if answer.get("output_base64") is None:
        return None
    request = ONCE | {"threads": 1, "xnnpack": True, "max_seconds": 600}
    expected = Host().measure(path, request)
    pairs = zip(_arrays(expected), _arrays(answer), strict=True)
    found = [_difference(here, there) for here, there in pairs]
    return {
        key: max((each[key] for each in found if each[key] is not None), default=None)
        for key in ("largest_steps", "largest_relative_error")
    }


def too_far(found):
    """How far off a target is, in words, where it is more than rounding; else
    `None`."""
    steps, error = found["largest_steps"], found["largest_relative_error"]
    if steps is not None and steps > _MOST_STEPS:
        return f"{steps} steps"
    if error is not None and not error <= _MOST_ERROR:
        return f"{error:.1e}"
    return None


def photographs(files, source, on_broken="skip", all_images=False):
    """`{file: (paths, labels)}` of those in a source that can be read and that none of
    the files was made with; `held_out_photos` knows the kinds of sources."""
    models = {path: TFLiteModel(path) for path in files}
    for model in models.values():
        model.note_guess()  # now, not after all that is measured before
        # One set for all, so that their figures compare.
        model.made_with = made_with.united(*(m.made_with for m in models.values()))
    return {
        path: held_out_photos(source, model, on_broken, all_images, optional=True)[:2]
        for path, model in models.items()
    }


def evaluate(path, target, opened, progress=None):
    """Runs photographs, opened by `photographs`, on a target and on this machine, and
    compares the answers.

    `top1` and `top1_host` are the shares of right answers on the target and on this
    machine, `None` without classes; `agreement` the share of images to which both give
    one answer; `largest_steps` or `largest_relative_error` of all outputs as in a
    result's `agreement`."""
    model = TFLiteModel(path)
    paths, labels = opened
    host, here, there = Host(), [], []
    for batch in photo_batches(model, paths, pathlib.Path(path).name, progress):
        stored = model.stored(batch)
        here.append(host.answers(path, stored))
        there.append(target.answers(path, stored))
    here, there = np.concatenate(here), np.concatenate(there)
    found, expected = there.argmax(-1), here.argmax(-1)
    return {
        "images": len(here),
        "top1": None if labels is None else float(np.mean(found == labels)),
        "top1_host": None if labels is None else float(np.mean(expected == labels)),
        "agreement": float(np.mean(found == expected)),
        **_difference(here, there),
    }


def _difference(here, there):
    """The largest of two arrays: in steps of whole numbers, or of floats' largest."""
    difference = np.abs(there.astype(np.float64) - here).max()
    if np.issubdtype(here.dtype, np.floating):
        error = float(difference / (np.abs(here).max() or 1))
        return {"largest_steps": None, "largest_relative_error": error}
    return {"largest_steps": int(difference), "largest_relative_error": None}


def _arrays(answer):
    """The outputs, split by the sizes that the file gives them."""
    data, arrays = base64.b64decode(answer["output_base64"]), []
    for tensor in answer["outputs"]:
        dtype = np.dtype(tensor["dtype"])
        size = dtype.itemsize * int(np.prod(tensor["shape"], dtype=int))
        arrays.append(np.frombuffer(data[:size], dtype))
        data = data[size:]
    return arrays
