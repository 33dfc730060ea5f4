"""A training from a recipe to a model with its numbers and its report."""

import contextlib
import json
import signal

import numpy as np

from keras_effnet import ending
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

    SIGTERM, with which schedulers take a machine back, or SIGHUP ends in `Preempted`
    with the last step saved. (In the main thread; elsewhere Python handles no signals.)
    """
    training = loop.Training(recipe, source, validation, folder, **options)
    with _alone(training), _stopped_by_signals(training):
        return _trained(training, recipe, validation)


def _trained(training, recipe, validation):
    model = training.run()
    if model is None:
        return None

    def batches():
        for images, _ in training.evaluation_batches(validation):
            training.stop_if_asked()
            yield images

    evaluation = evaluate(model, batches(), validation.labels)
    names = training.source.class_names
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
        counts=(training.source.count, validation.count),
    )
    files.write_text(path / "report.html", page)
    return evaluation


@contextlib.contextmanager
def _alone(training):
    """The run's folder for one training at a time; of a cluster the chief has it."""
    path = training.folder.path
    if not training.devices.chief:
        yield
        return
    with files.told("The output can't be written", path):
        path.mkdir(parents=True, exist_ok=True)
    busy = "Another process trains in that folder: wait for it, or name another one."
    with files.locked(path, busy):
        yield


def _stopped_by_signals(training):
    # A cluster is stopped by JAX, which tells all of its processes.
    alone = training.devices.part[1] == 1
    numbers = (signal.SIGTERM, signal.SIGHUP) if alone else ()
    return ending.answered(lambda *_: training.stop(), numbers)


def _worst(evaluation, validation, training):
    """The most confident mistakes, the worst first: image, index, file name."""
    wanted = evaluation.mistakes[:_WORST]
    mask = np.isin(np.arange(validation.count), wanted)
    batches = training.evaluation_batches(validation.subset(validation.name, mask))
    images = [image.numpy() for image, _ in batches.unbatch()]
    found = dict(zip(np.flatnonzero(mask).tolist(), images, strict=True))
    return [(found[index], index, validation.keys[index]) for index in wanted]
