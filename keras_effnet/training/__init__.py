"""Training: recipes, the loop, and what it needs; `train` is all of it in one call."""

import contextlib
import importlib.util
import os
from collections.abc import Callable
from typing import TYPE_CHECKING
from typing import Any

from keras_effnet import lazy
from keras_effnet.errors import InputError
from keras_effnet.progress import silent
from keras_effnet.quiet import import_keras
from keras_effnet.quiet import native_stderr_held_back

if TYPE_CHECKING:
    from keras_effnet.evaluation import Evaluation


__getattr__ = lazy.modules(__name__)


def train(
    data: str | os.PathLike,
    folder: str | os.PathLike = "runs/train",
    recipe: str = "finetune",
    *,
    model: str | None = None,
    train_split: str | None = None,
    validation_split: str | None = None,
    write_split: str | os.PathLike | None = None,
    on_broken: str = "skip",
    cache: str | os.PathLike | None = None,
    devices: int | None = None,
    cluster: str | None = None,
    processes: int | None = None,
    process_id: int | None = None,
    listen: str | None = None,
    service: str | None = None,
    progress: Callable[[str], None] | None = print,
    bars: bool = True,
    **overrides: Any,
) -> "Evaluation | None":
    """Opens images, trains a network on them, evaluates it and writes a report.

    What `keras-effnet train` does. Stopped in whatever way, the same call goes on from
    the last checkpoint in the folder.

        found = train("photos/", "runs/mine", "finetune", epochs=30)
        print(found.top1, found.interval)

    Args:
        data: What `keras_effnet.data.formats.open_source` opens: a folder of one folder
            per class, `"tfds:NAME"`, TFRecord files, a folder of MNIST's IDX files, or
            `"digits"`.
        folder: Of the run; see `keras_effnet.training.running.train`.
        recipe: A name of `keras_effnet.training.recipes.RECIPES`.
        model: The network's name; the recipe's own when `None`.
        train_split: Name of the split to train with; `None` for `train`, or all.
        validation_split: Name of the split to validate with; when `None` that which the
            data has, or a share that is held out by a hash of the names.
        write_split: A new folder where both parts of a folder of photographs are
            written for other tools; see `keras_effnet.data.split.write_split`.
        on_broken: What becomes of images that can't be decoded: `"skip"` or `"fail"`.
        cache: A folder where it is kept which images can be decoded, so that the next
            run looks only at those that have changed; `None` keeps nothing.
        devices: Number of this machine's devices; `None` for every GPU or TPU core, or
            one processor.
        cluster: `"HOST:PORT"` of the first of several processes that train together,
            or `"auto"`: see `keras_effnet.training.machines.joined`.
        processes: How many there are in the cluster.
        process_id: Number of this one, from 0, the chief.
        listen: Address of the interface on which the chief listens; that of `cluster`
            when `None`.
        service: `"HOST:PORT"` of a tf.data service's dispatcher, whose workers read
            and augment the images; this process when `None`.
        progress: Called with a line of text for each epoch; `None` for silence.
        bars: Whether bars are shown besides, where standard error is a terminal.
        **overrides: Other values for fields of the recipe, as for
            `keras_effnet.training.recipes.get_recipe`.

    Returns:
        The `keras_effnet.evaluation.Evaluation` of the trained model on the validation
        images; `None` in the processes of a cluster that are not its chief.

    Raises:
        InputError: The recipe, the data or the devices are impossible, the folder holds
            another run, or the training diverged.
        Preempted: SIGTERM or SIGHUP came, or another process of the cluster was
            stopped; the last step is saved.
        WorkerLost: Another process of the cluster is gone.
    """
    _check_cluster(cluster, processes, process_id, devices)
    import_keras()
    import keras

    from keras_effnet.data import split
    from keras_effnet.training import machines
    from keras_effnet.training import running
    from keras_effnet.training.devices import open_devices
    from keras_effnet.training.recipes import get_recipe

    opened: contextlib.AbstractContextManager
    planned = get_recipe(recipe, model, **overrides)
    if service:
        with native_stderr_held_back():
            from keras_effnet.data import service as data_service

        data_service.check(service)
    if cluster:
        machines.prepare(cluster, processes, process_id)
        # A notebook may have imported Keras with another one before.
        _check_jax(keras.backend.backend())
    else:
        opened = contextlib.nullcontext(open_devices(devices))
    # Before the cluster is joined: from then on SIGTERM waits for the end of a step.
    source, validation = split.train_and_validation(
        data,
        validation=planned.validation,
        train_split=train_split,
        validation_split=validation_split,
        on_broken=on_broken,
        cache=cache,
        progress=silent if bars and progress and not process_id else None,
    )
    if write_split and not process_id:
        split.write_split(source, validation, write_split)
    if cluster:
        opened = machines.joined(cluster, processes, process_id, listen)
    with opened as joined:
        if progress and joined.chief:
            progress(
                f"{source.count} images of {len(source.class_names)} classes to learn "
                f"from, {validation.count} held out"
            )
        return running.train(
            get_recipe(recipe, model, source.count, **overrides),
            source,
            validation,
            folder,
            progress=progress,
            bars=bars,
            devices=joined,
            service=service,
        )


def _check_jax(backend: str) -> None:
    if backend != "jax":
        raise InputError(
            "A cluster trains on JAX: leave KERAS_BACKEND away, or set it to jax. "
            f"Received: {backend!r}"
        )


def _check_cluster(
    cluster: str | None,
    processes: int | None,
    process_id: int | None,
    devices: int | None,
) -> None:
    """Before Keras is imported: it chooses its backend then."""
    if not cluster:
        if processes is not None or process_id is not None:
            raise InputError(
                "`processes` and `process_id` belong to `cluster`. Received: "
                f"processes={processes}, process_id={process_id}"
            )
        return
    if devices is not None:
        raise InputError(
            "`devices` is for one process; those of a cluster use all that they "
            f"see (CUDA_VISIBLE_DEVICES). Received: {devices}"
        )
    _check_jax(os.environ.setdefault("KERAS_BACKEND", "jax"))
    if not importlib.util.find_spec("jax"):
        raise InputError(
            "A cluster needs JAX: pip install 'keras-effnet[cluster]'. "
            f"Received: {cluster!r}"
        )
