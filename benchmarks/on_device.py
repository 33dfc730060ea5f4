"""Whether a file is right on the target itself: photographs run there and here."""

import pathlib

import numpy as np

from keras_effnet.benchmarks.targets.host import Host
from keras_effnet.data import photos
from keras_effnet.evaluation import labelled_photos
from keras_effnet.progress import bar
from keras_effnet.tflite import TFLiteModel

# Images that go to a target at once.
_BATCH = 32


def evaluate(path, target, source, progress=None):
    """Runs photographs on a target and on this machine, and compares the answers.

    Args:
        path: The .tflite file, its sheet beside it.
        target: Where it runs.
        source: A folder of one folder per class, a CSV file with the columns file and
            class_index, or a folder of photographs without classes.
        progress: As for `benchmark_many`; with it, the photographs are counted.

    Returns:
        A dict: `images`; `top1` and `top1_host`, the shares of right answers on the
        target and on this machine, `None` without classes; `agreement`, the share of
        images to which both give one answer; `largest_steps` or
        `largest_relative_error` of all outputs, as in a result's `agreement`.

    Raises:
        InputError: A photograph or the file can't be read.
        TargetLost: The target went away.
    """
    model = TFLiteModel(path)
    paths, labels = labelled_photos(source, model, optional=True)
    host, here, there = Host(), [], []
    batches = photos.batches(
        paths, model.input_shape, model.preprocessing, batch_size=_BATCH
    )
    name = pathlib.Path(path).name
    with bar(name=name, unit="image", total=len(paths), shown=progress) as done:
        for batch in batches:
            stored = model.stored(batch)
            here.append(host.answers(path, stored))
            there.append(target.answers(path, stored))
            done.update(len(batch))
    here, there = np.concatenate(here), np.concatenate(there)
    return _compared(here, there, labels)


def _compared(here, there, labels):
    found, expected = there.argmax(-1), here.argmax(-1)
    difference = np.abs(there.astype(np.float64) - here).max()
    floats = np.issubdtype(here.dtype, np.floating)
    return {
        "images": len(here),
        "top1": None if labels is None else float(np.mean(found == labels)),
        "top1_host": None if labels is None else float(np.mean(expected == labels)),
        "agreement": float(np.mean(found == expected)),
        "largest_steps": None if floats else int(difference),
        "largest_relative_error": (
            float(difference / (np.abs(here).max() or 1)) if floats else None
        ),
    }
