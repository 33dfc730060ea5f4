"""A Keras 3 model in, a compressed Keras 3 model out, through TF-MOT in a process of
its own."""

import dataclasses
import hashlib
import importlib.util
import json
import pathlib
import tempfile

import keras
import numpy as np

from keras_effnet import children
from keras_effnet import files
from keras_effnet import saving
from keras_effnet.errors import InputError
from keras_effnet.export import tracing
from keras_effnet.export.compression import folding
from keras_effnet.export.compression import twin
from keras_effnet.export.compression.recipe import CompressionRecipe
from keras_effnet.progress import bar
from keras_effnet.progress import silent

_WORKER = "keras_effnet.export.compression.tfmot"
# Images on which the twin is compared with the model, and the file with the training.
PROBES = 32
_KERNELS = ("Conv2D", "Dense")


@dataclasses.dataclass(frozen=True)
class Compressed:
    """What a training through TF-MOT gave.

    Attributes:
        model: A `keras.Model` of the architecture that went in, trained.
        technique: `"quantize"`, `"prune"` or `"cluster"`.
        ranges: `{layer: (least, greatest)}` of activations as learned, of the twin's
            layers; empty but for `"quantize"`.
        rounded: What the network answered in training's arithmetic on the first
            `PROBES` images, `(images, classes)` logits.
        figures: A dict of plain values for a sheet: `history`, the loss of each step,
            `wrappers`, TF-MOT's classes that were trained, `twin_difference` and
            others.
    """

    model: keras.Model
    technique: str
    ranges: dict[str, tuple[float, float]]
    rounded: np.ndarray
    figures: dict


def compress(
    model,
    technique,
    images,
    options,
    *,
    start=None,
    labels=None,
    recipe=None,
    folder=None,
    progress=None,
) -> Compressed:
    """Trains a model in one of TF-MOT's wrappers, `"quantize"`, `"prune"` or
    `"cluster"`.

    The arguments are those of `techniques`, but for `options`, a dict for the
    technique, and `start`: a function of the twin's description and weights that
    returns other weights, and ranges for the options; called unless a training goes on.
    A second training in a folder waits for the first.
    """
    recipe = recipe or CompressionRecipe()
    check_model(model)
    check_images(model, images, labels, recipe)
    if recipe.distillation == 1:
        labels = None
    model = tracing.in_float32(model)
    description = twin.describe(model)
    if options.get("pattern") == "block":
        description = twin.with_matrices(description)
    kind = twin.loss(description, model.outputs[0].shape[-1])
    arrays, folded = folding.fold(description, twin.weights(model))
    description, arrays, undo = folding.without_scale(description, arrays)
    probe = np.asarray(images[:PROBES], "float32")
    answers = twin.answers(model, probe)
    job = {
        "technique": technique,
        "description": description,
        "options": options | {"steps": recipe.steps},
        "recipe": recipe.as_json() | {"loss": kind},
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(folder or temporary)
        files.check_folder(folder)
        with files.locked(folder):
            _prepare(folder, job, start, arrays, images, labels, probe, answers)
            if not (folder / "result.json").exists():
                with bar(name="training", total=recipe.steps, shown=progress) as done:
                    _run(folder, lambda found: _tell(found, done, progress or silent))
            result = files.read_json(folder / "result.json")
            found = files.read_arrays(folder / "result.npz")
            outputs = files.read_arrays(folder / "answers.npz")
    trained = _with_weights(model, undo(arrays | found))
    back = twin.answers(trained, probe)
    difference = float(np.abs(back - outputs["outputs"]).max() / np.abs(back).max())
    ranges = {name: tuple(pair) for name, pair in result.pop("ranges", {}).items()}
    figures = {
        "technique": technique,
        "recipe": recipe.as_json(),
        "images": len(images),
        "labelled": labels is not None,
        "folded": len(folded),
        "back_difference": difference,
    } | result
    return Compressed(trained, technique, ranges, outputs["rounded"], figures)


def kernels(description, pattern=None):
    """Names of the layers to prune and cluster: convolutions and dense layers.

    The first, which sees the pixels, is small and sensitive; TF-MOT leaves depthwise
    convolutions alone, and has blocks for matrices alone.
    """
    found = [node for node in description["nodes"] if node["kind"] in _KERNELS]
    found = found[1:] or found
    if pattern == "block":
        found = [node for node in found if twin.is_matrix(node)]
    return [node["name"] for node in found]


def check_model(model):
    """Raises an `InputError` unless a model can be trained here."""
    for module in ("tensorflow_model_optimization", "tf_keras"):
        if importlib.util.find_spec(module) is None:
            raise InputError(
                "Training through TF-MOT needs `pip install keras-effnet[tfmot]`. "
                f"Received: no module {module}"
            )
    tracing.check(model)
    twin.describe(model)


def check_images(model, images, labels, recipe):
    """Raises an `InputError` unless a model can be trained on images by a recipe."""
    shape = tuple(model.inputs[0].shape[1:])
    if not isinstance(images, np.ndarray) or images.shape[1:] != shape:
        got = getattr(images, "shape", type(images).__name__)
        raise InputError(
            f"`images` must be an array of the shape (images, {shape[0]}, {shape[1]}, "
            f"{shape[2]}). Received: {got}"
        )
    if images.dtype.kind not in "uif":
        raise InputError(f"`images` must be of numbers. Received: {images.dtype}")
    if len(images) < 2:
        raise InputError(f"Training needs two images at least. Received: {len(images)}")
    if not np.isfinite(images).all():
        raise InputError(
            "Every value of an image must be a finite number. Received: NaN or infinity"
        )
    if labels is None and recipe.distillation < 1:
        raise InputError(
            "Without labels the float model is the only teacher: `distillation` must "
            f"be 1, or give labels. Received: distillation={recipe.distillation:g}"
        )
    if labels is not None:
        _check_labels(np.asarray(labels), len(images), model.outputs[0].shape[-1])


def _check_labels(labels, count, classes):
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(
            f"`labels` must be {count} whole numbers, one for each image. "
            f"Received: {labels.dtype} of shape {labels.shape}"
        )
    most = max(classes - 1, 1)
    if labels.min() < 0 or labels.max() > most:
        raise InputError(
            f"`labels` must be class indices from 0 to {most}. "
            f"Received: {labels.min()} to {labels.max()}"
        )


def _prepare(folder, job, start, arrays, images, labels, probe, answers):
    """Writes the job, unless it is there: then its training goes on."""
    seen = hashlib.sha256(json.dumps(job, sort_keys=True).encode())
    for part in (*arrays.values(), images, labels):
        if part is not None:
            seen.update(np.ascontiguousarray(part))
    key = seen.hexdigest()
    files.remove_unfinished(folder)
    stamp = folder / "key"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == key:
        return
    for name in ("key", "result.json", "checkpoint.npz", "labels.npy"):
        (folder / name).unlink(missing_ok=True)
    files.write_arrays(folder / "teacher.npz", arrays)
    if start is not None:
        arrays, job["options"]["ranges"] = start(job["description"], arrays)
    files.write_arrays(folder / "weights.npz", arrays)
    files.write_arrays(folder / "probe.npz", {"images": probe, "answers": answers})
    np.save(folder / "images.npy", images)
    if labels is not None:
        np.save(folder / "labels.npy", np.asarray(labels))
    files.write_text(folder / "job.json", json.dumps(job))
    files.write_text(stamp, key)


def _tell(found, done, tell):
    if "step" in found:
        done.update(found["step"] - done.n)
        done.set_postfix(loss=f"{found['loss']:.3f}")
        tell(f"step {found['step']} of {done.total}: loss {found['loss']:.4f}")


def _run(folder, tell):
    """Runs the job in a process in which Keras is Keras 2."""
    environment = {
        "TF_USE_LEGACY_KERAS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",  # this process has some of it, too
    }
    try:
        children.ask(_WORKER, folder, tell=tell, environment=environment)
    except children.ChildError as error:
        if error.signal is None:
            raise
        raise InputError(
            "The training was killed, most likely for want of memory: take a smaller "
            "batch or fewer images; begun again with the same arguments and folder it "
            f"goes on. Received: {error.signal}"
        ) from error


def _with_weights(model, arrays):
    """A copy of a model with other weights, and what was attached to it."""
    copy = keras.models.clone_model(model)
    twin.assign(copy, twin.weights(model) | arrays)
    if (rule := saving.attached(model)) is not None:
        names, learned = saving.class_names(model), saving.made_with(model)
        saving.attach(copy, rule, names, learned)
    return copy
