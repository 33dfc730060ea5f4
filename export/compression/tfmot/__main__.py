"""One job: a model compressed by TF-MOT.

`python -m keras_effnet.export.compression.tfmot FOLDER`, which holds job.json,
weights.npz, images.npy, labels.npy and probe.npz; result.npz and result.json are what
came out. `keras_effnet.children` runs it, and hears how far it is.
"""

import json
import os
import pathlib
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
import tf_keras

from keras_effnet import files
from keras_effnet.errors import InputError
from keras_effnet.export.compression import twin
from keras_effnet.export.compression.tfmot import learning
from keras_effnet.export.compression.tfmot.wrappers import TECHNIQUES

# Of the greatest value, between the twin and the model: ten times what rounding in
# another order makes of a network.
_TOLERANCE = 1e-4


def main(folder):
    """Does the job of a folder; what a user can mend is told in a line."""
    try:
        _work(pathlib.Path(folder))
        _tell(done=True)
    except InputError as error:
        _tell(error=str(error))
        sys.exit(1)


def _work(folder):
    job = files.read_json(folder / "job.json")
    tf_keras.utils.set_random_seed(job["recipe"]["seed"])
    description = job["description"]
    before = files.read_arrays(folder / "weights.npz")
    probe = files.read_arrays(folder / "probe.npz")
    until, _ = twin.logits(description)
    teacher_arrays = files.read_arrays(folder / "teacher.npz")
    difference = _check_twin(description, teacher_arrays, probe)
    model = _twin(description, before, until)
    technique = TECHNIQUES[job["technique"]](model, job["options"])
    images = np.load(folder / "images.npy", mmap_mode="r")
    labels = folder / "labels.npy"
    original = _twin(description, teacher_arrays, until)
    history = learning.train(
        technique,
        tf.function(lambda batch: original(batch, training=False)),
        images,
        np.load(labels) if labels.exists() else None,
        job["recipe"],
        folder,
        lambda step, loss: _tell(step=step, loss=loss),
    )
    # What the network answers with its numbers rounded, for comparison with the file.
    rounded = twin.answers(technique.model, probe["images"])
    arrays, extra = technique.finish()
    arrays = before | arrays
    outputs = twin.answers(_twin(description, arrays, None), probe["images"])
    files.write_arrays(folder / "result.npz", arrays)
    files.write_arrays(folder / "answers.npz", {"rounded": rounded, "outputs": outputs})
    result = extra | {
        "twin_difference": difference,
        "history": history,
        "wrappers": _wrappers(technique.model),
    }
    files.write_text(folder / "result.json", json.dumps(result))


def _twin(description, arrays, until):
    model = twin.build(description, tf_keras, until)
    twin.assign(model, arrays)
    return model


def _check_twin(description, arrays, probe):
    """The greatest difference of the twin's answers, a share of the greatest answer."""
    found = twin.answers(_twin(description, arrays, None), probe["images"])
    expected = probe["answers"]
    largest = max(np.abs(expected).max(), np.finfo("float32").tiny)
    difference = float(np.abs(found - expected).max() / largest)
    if not difference <= _TOLERANCE:
        raise RuntimeError(f"the twin answers otherwise, by {difference:g}")
    return difference


def _wrappers(model):
    """`{module.class: how many}` of the layers that are TF-MOT's."""
    found = {}
    for layer in model.layers:
        kind = type(layer)
        if kind.__module__.startswith("tensorflow_model_optimization"):
            name = f"{kind.__module__}.{kind.__name__}"
            found[name] = found.get(name, 0) + 1
    return found


def _tell(**values):
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
