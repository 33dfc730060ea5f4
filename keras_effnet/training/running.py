"""A training from a recipe to a model with its numbers and its report."""

import contextlib
import json
import signal
import threading

import numpy as np

from keras_effnet import files
from keras_effnet.evaluation import evaluate
from keras_effnet.training import loop
from keras_effnet.training import run_page

_WORST = 24


def train(recipe, source, validation, folder, **options):
    """Trains, evaluates and reports; goes on where the folder's run stopped. Further
    options are those of `keras_effnet.training.loop.Training`.

    The folder receives `recipe.json`, `data.json`, `environment.json`, `history.csv`,
    `checkpoints/`, `tensorboard/`, `model.keras`, `evaluation.json` and `report.html`.
    Gives the `Evaluation` of the trained model on the validation images; `None` in the
    processes of a cluster that are not its chief.

    SIGTERM, with which schedulers take a machine back, ends in `Preempted` with the
    last step saved. (In the main thread; elsewhere Python handles no signals.)
    """
    training = loop.Training(recipe, source, validation, folder, **options)
    with _sigterm(training):
        model = training.run()
    if model is None:
        return None
    images = (images for images, _ in training.evaluation_batches(validation))
    evaluation = evaluate(model, images, validation.labels)
    names = source.class_names
    path = training.folder.path
    files.write_text(
        path / "evaluation.json",
        json.dumps(evaluation.as_json(names), indent=2) + "\n",
    )
    page = run_page.render(
        recipe,
        training.state.history,
        evaluation,
        names,
        _worst(evaluation, validation, training),
        counts=(source.count, validation.count),
    )
    files.write_text(path / "report.html", page)
    return evaluation


@contextlib.contextmanager
def _sigterm(training):
    # A cluster is stopped by JAX, which tells all of its processes.
    alone = training.devices.part[1] == 1
    if not alone or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: training.stop())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _worst(evaluation, validation, training):
    """The images of the most confident mistakes, the worst first."""
    wanted = evaluation.mistakes[:_WORST]
    mask = np.isin(np.arange(validation.count), wanted)
    batches = training.evaluation_batches(validation.subset(validation.name, mask))
    images = [image.numpy() for image, _ in batches.unbatch()]
    found = dict(zip(np.flatnonzero(mask).tolist(), images, strict=True))
    return [(found[index], index) for index in wanted]
