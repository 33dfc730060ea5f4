"""The training loop, around `keras.Model.fit`, one epoch at a time.

Everything that decides the next step is in a checkpoint: weights, optimizer,
moving average, metrics of the epoch under way, and the counters that the order
and the augmentation of the images follow from. A training that was killed goes
on from the last one as if nothing had happened.
"""

import dataclasses
import math
import re
import time

import keras
import numpy as np

from keras_effnet.data import pipeline
from keras_effnet.data import service as data_service
from keras_effnet.errors import InputError
from keras_effnet.errors import Preempted
from keras_effnet.progress import bar
from keras_effnet.progress import silent
from keras_effnet.training import checkpoint
from keras_effnet.training import networks
from keras_effnet.training.devices import Devices
from keras_effnet.training.ema import EMA
from keras_effnet.training.losses import build_loss
from keras_effnet.training.losses import class_weights
from keras_effnet.training.optimizers import build_optimizer
from keras_effnet.training.run_folder import RunFolder
from keras_effnet.training.schedules import build_schedule
from keras_effnet.training.stages import stages

# A network's file system may show a new file to others as late as that.
_SHARED_FOLDER_SECONDS = 60


@dataclasses.dataclass
class State:
    """Where a training is, batches and epochs counted as done, each from 0; `best` is
    the best validation accuracy, and the epoch it came after."""

    epoch: int = 0
    step: int = 0
    global_step: int = 0
    history: list = dataclasses.field(default_factory=list)
    best: tuple | None = None
    stopped: bool = False


class Training:
    """One run of a recipe on a `Source`, evaluated on another after each epoch.

    A run of the same recipe and data that the folder holds goes on where its last
    checkpoint is; one of others is refused. `devices` are `open_devices`' of
    `keras_effnet.training.devices`, `service` `"HOST:PORT"` of a tf.data service's
    dispatcher, whose workers read and augment the images; `progress` is called with a
    line of text for each epoch.
    """

    def __init__(
        self,
        recipe,
        source,
        validation,
        folder,
        progress=print,
        bars=True,
        devices=None,
        service=None,
    ):
        if service is not None:
            data_service.check(service)
        self._service = service
        self.devices = devices or Devices()
        self.recipe = recipe
        self.source = source
        self.folder = RunFolder(folder, recipe, source, validation)
        self.devices.check_equal(
            "recipe, data and versions", lambda: self.folder.identity
        )
        self.stages = stages(recipe)
        self.state = State()
        tell = progress or silent
        self._tell = tell if self.devices.chief else silent
        self._bars = bars and progress and self.devices.chief
        number, parts = self.devices.part
        prefix = f"process {number}: " if parts > 1 else ""
        self._tell_of_process = lambda line: tell(prefix + line)
        self._phase = self._stage = None
        self._metrics = self._logs = None
        self._saved_at = time.monotonic()
        self._asked_to_stop = False
        with self.devices.scope():
            self._build(validation)

    def _build(self, validation):
        recipe, source = self.recipe, self.source
        keras.utils.set_random_seed(recipe.seed)
        self.model, self.preprocessing = networks.training_model(
            recipe, source, self.devices.replicas
        )
        # Once: its pipeline is the same after every epoch.
        self._validate_on(validation)
        classes = len(source.class_names)
        self._weights = None
        if recipe.class_weights:
            self._weights = dict(enumerate(class_weights(source.labels, classes)))
        sizes = [min(stage.batch_size, source.count) for stage in self.stages]
        for size in sizes:
            self._check_divisible(size)
        steps = [source.count // size for size in sizes]
        schedule = build_schedule(recipe, steps, sizes)
        self.optimizer = build_optimizer(recipe, schedule)
        self.optimizer.learning = lambda: self.model.trainable_variables
        # Of all that will ever learn: a phase moves some of it.
        networks.set_trainable(self.model, "all", recipe)
        self.model.compile(
            self.optimizer,
            loss=build_loss(recipe, from_logits=True),
            metrics=networks.metrics(classes),
            # JAX without it runs operation by operation.
            jit_compile=recipe.jit_compile or keras.backend.backend() == "jax",
        )
        # Keras has wrapped it for float16.
        self.optimizer = self.model.optimizer
        self.optimizer.build(self.model.trainable_variables)
        self.ema = (
            EMA(self.model, recipe.ema, recipe.accumulate) if recipe.ema else None
        )

    def _validate_on(self, validation):
        replicas = self.devices.replicas
        if replicas == 1:
            self._validation_batches = self.evaluation_batches(validation)
            self._filled = 1
            return
        # Every device gets as many images as the others, in the last batch too.
        size = -(-self.recipe.batch_size // replicas) * replicas
        self._validation_batches = self.evaluation_batches(
            validation, size, self.devices.part
        )
        self._filled = -(-validation.count // size) * size / validation.count

    def _check_divisible(self, size):
        replicas, (_, parts) = self.devices.replicas, self.devices.part
        # Images are mixed in pairs.
        unit = math.lcm(replicas, 2 * parts if parts > 1 else 1)
        if size % unit:
            raise InputError(
                f"A batch must be a multiple of {unit} on {replicas} devices, and it "
                "is no larger than the training data; grow_batch makes multiples of 8. "
                f"Received: {size} images, batch_size={self.recipe.batch_size}"
            )

    def run(self):
        """Trains to the end and gives the `keras.Model` of the evaluation size, with
        probabilities, its preprocessing and its class names, also written to
        `model.keras`; `None` in processes other than the chief.

        A loss or a weight that is no finite number is an `InputError`, the checkpoints
        stay; after `stop` `Preempted`, the last step is saved.
        """
        with self.devices.scope():
            self._train()
        return self._finish()

    def _train(self):
        try:
            self._fit_epochs()
        except Exception as error:
            # TensorFlow, JAX and PyTorch have a class each, and others in between.
            text = f"{type(error).__name__}: {error}"
            if not re.search(
                "RESOURCE_?EXHAUSTED|OUT_?OF_?MEMORY", text, re.IGNORECASE
            ):
                raise
            raise InputError(
                "The device's memory doesn't hold a batch in training: a smaller "
                "batch_size, with accumulate for the same update, or mixed_precision "
                f"may fit. Received: batch_size={self._batches.batch_size}, "
                f"image_size={self._stage.image_size}"
            ) from error

    def _fit_epochs(self):
        if self.devices.chief:
            self.folder.begin()
        self.devices.check_equal("start", str)
        self.devices.check_equal(
            "output folder, one that all see",
            lambda: self.folder.environment,
            _SHARED_FOLDER_SECONDS,
        )
        self._resume()
        steps = _Steps(self)
        while self.state.epoch < self.recipe.epochs and not self.state.stopped:
            epoch = self.state.epoch
            self._enter(epoch)
            started = time.perf_counter()
            first_step = self.state.step
            # A checkpoint may stand behind the last batch.
            if first_step < self._batches.steps_per_epoch:
                with self._bar(epoch) as self._shown:
                    self.model.fit(
                        self._batches.epoch(epoch, first_step),
                        initial_epoch=epoch,
                        epochs=epoch + 1,
                        class_weight=self._weights,
                        callbacks=steps,
                        shuffle=False,  # the batches are
                        verbose=0,
                    )
                    self._look_at_last_step()
            self.restore_metrics()
            trained = (self.state.step - first_step) * self._batches.batch_size
            self._end_of_epoch(trained / (time.perf_counter() - started))
            self.stop_if_asked()

    def stop(self):
        """Ends the training after the step under way; a signal handler may call it."""
        self._asked_to_stop = True

    def stop_if_asked(self):
        """Raises `Preempted` where `stop` was called."""
        if self._asked_to_stop:
            raise Preempted(
                f"stopped after {self.state.epoch} epochs and {self.state.step} "
                f"batches; the same command goes on from there"
            )

    def evaluation_batches(self, source, batch_size=None, part=None):
        """The images of a source as the model evaluates them, as
        `keras_effnet.data.pipeline.evaluation_batches` gives them."""
        return pipeline.evaluation_batches(
            source,
            networks.eval_size(self.recipe),
            self.preprocessing,
            batch_size or self.recipe.batch_size,
            self.recipe.channels,
            part,
        )

    def _enter(self, epoch):
        """What the epoch's phase and stage need that the one before had not."""
        recipe = self.recipe
        phase = "head" if epoch < recipe.head_epochs else "all"
        stage = next(s for s in reversed(self.stages) if s.first_epoch <= epoch)
        if phase == self._phase and stage == self._stage:
            return
        if stage != self._stage:
            self._batches = pipeline.TrainingBatches(
                self.source,
                recipe,
                stage,
                self.preprocessing,
                self.devices.part,
                self._service,
                self._tell_of_process,
            )
            networks.set_rates(self.model, stage)
        networks.set_trainable(self.model, phase, recipe)
        # Rates, and what learns, are constants of the traced steps, made anew by `fit`
        # and `evaluate`.
        self.model.train_function = self.model.test_function = None
        self._phase, self._stage = phase, stage

    def after_step(self, logs):
        """Called after each batch with the running means of the epoch, which the
        device may still be at work on."""
        # A step late: to read a number of the one just begun is to wait for it.
        self._look_at_last_step()
        self._logs = logs
        self.state.step += 1
        self.state.global_step += 1
        if self.ema:
            self.ema.update()
        every = self.recipe.checkpoint_steps
        # Not by `|=`, which would undo a signal that comes meanwhile.
        if self.devices.must_stop(self.state.global_step):
            self._asked_to_stop = True
        due = (
            self.state.global_step % every == 0
            if every
            else time.monotonic() - self._saved_at > 60 * self.recipe.checkpoint_minutes
        )
        if due or self._asked_to_stop:
            self._look_at_last_step()
            self._check_weights()
            self.save()
        self.stop_if_asked()

    def _look_at_last_step(self):
        logs, self._logs = self._logs, None
        if logs is None:
            return
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise self._diverged("The loss", f"loss={loss}")
        self._shown.set_postfix_str(
            f"loss {loss:.3f}, accuracy {float(logs['accuracy']):.1%}", refresh=False
        )
        self._shown.update(self._batches.batch_size)

    def _check_weights(self):
        # The loss is that of the weights before the step.
        networks.synchronise(self.model)
        for weight in self.model.weights:
            if not np.isfinite(keras.ops.convert_to_numpy(weight)).all():
                raise self._diverged("A weight", weight.path)

    def _diverged(self, what, received):
        return InputError(
            f"{what} is no finite number after batch {self.state.step} of epoch "
            f"{self.state.epoch + 1}: a smaller learning_rate or a gradient_clip may "
            f"help, in a new folder. This one keeps its last checkpoint. "
            f"Received: {received}"
        )

    def _end_of_epoch(self, images_per_second):
        self._check_weights()
        logs = self.model.get_metrics_result()
        logs = {name: float(value) for name, value in logs.items()}
        with networks.averaged(self.ema):
            found = self.model.evaluate(
                self._validation_batches, verbose=0, return_dict=True
            )
        # Keras divides the losses by what fills up, too.
        found["loss"] *= self._filled
        state = self.state
        row = {
            "epoch": state.epoch + 1,
            "stage": self._stage.number + 1,
            "image_size": self._stage.image_size,
            "learning_rate": float(self.optimizer.learning_rate),
            **logs,
            **{f"val_{name}": float(value) for name, value in found.items()},
            "images_per_second": round(images_per_second, 2),
        }
        state.history.append(row)
        state.epoch += 1
        state.step = 0
        if state.best is None or row["val_accuracy"] > state.best[0]:
            state.best = (row["val_accuracy"], state.epoch)
            if self.recipe.early_stopping:
                # By all processes: on JAX they compute the same, in the same order.
                with networks.averaged(self.ema):
                    best = self.model.get_weights()
                if self.devices.chief:
                    self.folder.write_best(best)
        elif self.recipe.early_stopping:
            # The first phase has no say: its best is where the second begins.
            waited = state.epoch - max(state.best[1], self.recipe.head_epochs)
            state.stopped = waited >= self.recipe.early_stopping
        self.save()
        if self.devices.chief:
            self.folder.write_history(state.history)
        self._tell(
            f"epoch {row['epoch']}/{self.recipe.epochs}: loss {row['loss']:.3f}, "
            f"accuracy {row['accuracy']:.1%}, validation {row['val_accuracy']:.1%}, "
            f"{images_per_second:.{1 if images_per_second < 10 else 0}f} images/s"
        )

    def _finish(self):
        if not self.devices.chief:
            return None
        average, state = self.ema, self.state
        if state.stopped:
            self._tell(
                f"stopped early, after {state.epoch} of {self.recipe.epochs} epochs: "
                f"{self.recipe.early_stopping} in a row were no better"
            )
        if self.recipe.early_stopping and (best := self.folder.read_best()):
            self._tell(
                f"kept: the weights after epoch {state.best[1]}, the best, validation "
                f"{state.best[0]:.1%}"
            )
            checkpoint.restore(self.model.weights, best, "best weights")
            average = None
        with networks.averaged(average):
            model = networks.final_model(
                self.recipe, self.source, self.model, self.preprocessing
            )
        model.save(self.folder.path / "model.keras")
        return model

    def save(self):
        """Writes a checkpoint of this moment."""
        self._saved_at = time.monotonic()
        if not self.devices.chief:
            return
        networks.synchronise(self.model)
        arrays = {
            "model": self.model.variables,
            "optimizer": self.optimizer.variables,
            # After an epoch they are those of the evaluation.
            "metrics": self.model.metrics_variables if self.state.step else [],
            "ema": self.ema.state() if self.ema else [],
        }
        checkpoint.save(self.folder.checkpoints, arrays, dataclasses.asdict(self.state))

    def _resume(self):
        found = checkpoint.load_last(self.folder.checkpoints, self._restore)
        self.devices.check_equal("checkpoint", lambda: str(self.state.global_step))
        if found is None:
            return
        if self.state.history and self.devices.chief:
            self.folder.write_history(self.state.history)
        self._tell(
            f"Going on after {self.state.epoch} epochs and {self.state.step} batches"
        )

    def _restore(self, arrays, state):
        found = State(**state)
        counts = [state[name] for name in ("epoch", "step", "global_step")]
        best, epoch = found.best or (0, 0)
        numbers = all(isinstance(n, int) and n >= 0 for n in (*counts, epoch))
        columns = {tuple(row) for row in found.history}
        if not numbers or not isinstance(best, int | float) or len(columns) > 1:
            raise ValueError("its state is damaged")
        checkpoint.restore(self.model.variables, arrays["model"], "weights")
        checkpoint.restore(self.optimizer.variables, arrays["optimizer"], "optimizer")
        self._metrics = arrays["metrics"] if found.step else None
        if self.ema:
            self.ema.restore(arrays["ema"])
        self.state = found

    def restore_metrics(self):
        """Keras has just reset them for an epoch that is half done."""
        if self._metrics:
            # Keras makes their variables with the first batch.
            zeros = keras.ops.zeros((1, len(self.source.class_names)))
            self.model.compute_metrics(None, zeros, zeros)
            variables = self.model.metrics_variables
            checkpoint.restore(variables, self._metrics, "metrics")
            self._metrics = None

    def _bar(self, epoch):
        stage = self._stage
        of_stages = f", stage {stage.number + 1}/{len(self.stages)}"
        size = self._batches.batch_size
        return bar(
            name=f"epoch {epoch + 1}/{self.recipe.epochs}"
            f"{of_stages if len(self.stages) > 1 else ''}, {stage.image_size} px",
            unit="image",
            total=self._batches.steps_per_epoch * size,
            shown=self._bars,
            initial=self.state.step * size,
        )


class _Steps(keras.callbacks.CallbackList):
    # A list, not a callback of one: Keras' own reads all numbers of a step, and so
    # waits for it, before it calls anyone.
    def __init__(self, training):
        super().__init__(add_history=True, model=training.model)
        self._training = training

    def on_epoch_begin(self, epoch, logs=None):
        self._training.restore_metrics()

    def on_train_batch_end(self, batch, logs=None):
        self._training.after_step(logs)
