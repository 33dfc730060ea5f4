"""Learning rate as a function of the epoch, exact to the step."""

import inspect
import math

import keras
from keras import ops

from keras_effnet.training.stages import stages


@keras.saving.register_keras_serializable("keras_effnet")
class EpochSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Warm-up, then exponential, cosine or constant, over stages of any batch.

    The batch may differ between the stages, and with it the number of steps in an
    epoch; the schedule is a function of the epoch all the same. A step is one batch:
    with gradient accumulation several of them make one update. `peaks`, `epochs` and
    `steps_per_epoch` have a value for each stage.

    Warm-up is linear from 0 and ends at `int(warmup_epochs * steps_per_epoch)` steps.
    Decay counts from step 0, not from the end of the warm-up: after five epochs of
    warm-up the published exponential schedule, a staircase of a step every
    `decay_epochs`, goes on at .97**2 of its peak; the cosine goes to 0. Source:
    tensorflow/tpu `efficientnet/utils.py`, `build_learning_rate`; google/automl
    `efficientnetv2/utils.py` has the same.

    The epochs in which only the classifier learns come first and have a constant rate
    of their own; warm-up and decay count from their end.
    """

    def __init__(
        self,
        kind,
        peaks,
        epochs,
        steps_per_epoch,
        warmup_epochs=0.0,
        decay_rate=0.97,
        decay_epochs=2.4,
        head_epochs=0,
        head_learning_rate=0.001,
    ):
        super().__init__()
        self.kind = kind
        self.peaks = [float(peak) for peak in peaks]
        self.epochs = list(epochs)
        self.steps_per_epoch = list(steps_per_epoch)
        self.warmup_epochs = warmup_epochs
        self.decay_rate = decay_rate
        self.decay_epochs = decay_epochs
        self.head_epochs = head_epochs
        self.head_learning_rate = head_learning_rate
        lengths = [
            count * steps
            for count, steps in zip(self.epochs, self.steps_per_epoch, strict=True)
        ]
        self._first_epochs = _sums_before(self.epochs)
        self._first_steps = _sums_before(lengths)
        self.total_epochs = sum(self.epochs)
        self.total_steps = sum(lengths)
        self._head_steps = int(self.step_at(head_epochs))
        self._warmup_steps = (
            int(self.step_at(head_epochs + warmup_epochs)) - self._head_steps
        )
        self._decay_steps = self._staircase() if kind == "exponential" else []

    def __call__(self, step):
        step = ops.cast(step, "int32")
        peak = ops.take(ops.convert_to_tensor(self.peaks, "float32"), self._stage(step))
        main_step = ops.cast(step - self._head_steps, "float32")
        rate = peak * self._factor(step)
        if self._warmup_steps:
            rate = ops.where(
                main_step < self._warmup_steps,
                peak * main_step / self._warmup_steps,
                rate,
            )
        if self._head_steps:
            rate = ops.where(main_step < 0, self.head_learning_rate, rate)
        return rate

    def epoch(self, step):
        """The epoch of a step, with its fraction, as a float32 tensor."""
        step = ops.cast(step, "int32")
        stage = self._stage(step)

        def of_stage(values, dtype):
            return ops.take(ops.convert_to_tensor(values, dtype), stage)

        steps = ops.cast(step - of_stage(self._first_steps, "int32"), "float32")
        return of_stage(self._first_epochs, "float32") + steps / of_stage(
            self.steps_per_epoch, "float32"
        )

    def step_at(self, epoch):
        """The step at which an epoch is reached, a float: the inverse of `epoch`."""
        stage = sum(epoch >= first for first in self._first_epochs[1:])
        since = epoch - self._first_epochs[stage]
        return self._first_steps[stage] + since * self.steps_per_epoch[stage]

    def get_config(self):
        return {name: getattr(self, name) for name in _CONFIG}

    def _stage(self, step):
        return _count_reached(step, self._first_steps[1:])

    def _factor(self, step):
        if self.kind == "exponential":
            stairs = ops.cast(_count_reached(step, self._decay_steps), "float32")
            return ops.power(ops.convert_to_tensor(self.decay_rate, "float32"), stairs)
        if self.kind == "cosine":
            share = (self.epoch(step) - self.head_epochs) / (
                self.total_epochs - self.head_epochs
            )
            return 0.5 * (1 + ops.cos(math.pi * ops.clip(share, 0.0, 1.0)))
        return 1.0

    def _staircase(self):
        # Whole steps: in float32 epoch / decay_epochs is below an integer as
        # often as it is equal to it, and the stair would come a step late.
        count = int((self.total_epochs - self.head_epochs) / self.decay_epochs)
        return [
            math.ceil(
                round(self.step_at(self.head_epochs + stair * self.decay_epochs), 6)
            )
            for stair in range(1, count + 1)
        ]


_CONFIG = tuple(inspect.signature(EpochSchedule).parameters)


def build_schedule(recipe, steps_per_epoch, batch_sizes=None):
    """The schedule of a recipe.

    The peak of a stage is `learning_rate * batch / learning_rate_batch`, where the
    batch is that of an update: `batch_size * accumulate`. With Adam and AdamW it grows
    with the square root of that (Malladi et al., "On the SDEs and Scaling Rules for
    Adaptive Gradient Algorithms", NeurIPS 2022). The warm-up is counted in epochs: it
    takes as many images, whatever the batch. `batch_sizes` has one for each stage,
    where they are not the recipe's.
    """
    plan = stages(recipe)
    if isinstance(steps_per_epoch, int):
        steps_per_epoch = [steps_per_epoch] * len(plan)
    batch_sizes = batch_sizes or [stage.batch_size for stage in plan]
    scales = [
        size * recipe.accumulate / (recipe.learning_rate_batch or 1)
        for size in batch_sizes
    ]
    if recipe.optimizer in ("adam", "adamw"):
        scales = [scale**0.5 for scale in scales]
    if recipe.learning_rate_batch is None:
        scales = [1.0] * len(plan)
    return EpochSchedule(
        recipe.schedule,
        peaks=[recipe.learning_rate * scale for scale in scales],
        epochs=[stage.epochs for stage in plan],
        steps_per_epoch=steps_per_epoch,
        warmup_epochs=recipe.warmup_epochs,
        decay_rate=recipe.decay_rate,
        decay_epochs=recipe.decay_epochs,
        head_epochs=recipe.head_epochs,
        head_learning_rate=recipe.head_learning_rate,
    )


def _sums_before(values):
    return [sum(values[:index]) for index in range(len(values))]


def _count_reached(step, boundaries):
    """How many of the boundaries a step has reached."""
    if not boundaries:
        return ops.zeros((), "int32")
    reached = step >= ops.convert_to_tensor(boundaries, "int32")
    return ops.sum(ops.cast(reached, "int32"))
