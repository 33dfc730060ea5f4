"""What a training does, as data: one recipe, and its progressive stages."""

import dataclasses
from typing import Any

from keras_effnet.data import AUGMENTATIONS


def _field(valid: str | tuple, default: Any = dataclasses.MISSING) -> Any:
    """A field that is one of a tuple, or lies in an interval; of a pair, both do."""
    return dataclasses.field(default=default, metadata={"valid": valid})


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of a training with its own image size and regularisation.

    Attributes:
        number: From 0.
        first_epoch: The epoch that it begins with.
        epochs: How many it has.
        image_size: Height and width of the training images, in pixels.
        batch_size: Images in a step.
        randaugment_magnitude: 0 to 30 (RandAugment paper, M).
        mixup_alpha: Of the Beta distribution; 0 for no mixup.
        cutmix_alpha: Of the Beta distribution; 0 for no CutMix.
        dropout_rate: Before the classifier.
        drop_connect_rate: Of the last block, growing linearly from 0.
    """

    number: int
    first_epoch: int
    epochs: int
    image_size: int
    batch_size: int
    randaugment_magnitude: float
    mixup_alpha: float
    cutmix_alpha: float
    dropout_rate: float
    drop_connect_rate: float


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Every choice of a training.

    A field of a pair, `(first, last)`, is that of the first and of the last
    progressive stage; both are equal in a training of one stage.

    Attributes:
        name: `"flowers"`.
        model: The network's name.
        weights: A published set to start from, a file, or `None`.
        channels: 3, or 1 for grey images.
        width: Width coefficient of an untrained network; `None` for its own.
        depth: Depth coefficient of an untrained network; `None` for its own.
        epochs: All of them.
        stages: Number of progressive stages.
        progression: Image sizes between the first and the last:
            `"linear"` (EfficientNetV2 paper, Algorithm 1) or `"automl"`
            (google/automl: the first stage is one step above the minimum).
        image_size: Pair, in pixels; `None` for the network's own.
        eval_image_size: Pixels; `None` for the network's own.
        whole_image: Whether images are evaluated whole, not by the centre crop of
            the weights' rule, which at 28 pixels is 28/(28 + 32) of a digit.
        batch_size: Images in a step, at the last stage.
        grow_batch: Whether earlier stages have larger batches, as many as need
            the same work.
        optimizer: `"rmsprop"`, `"sgd"`, `"adam"` or `"adamw"`.
        learning_rate: Of a batch of `learning_rate_batch` images.
        learning_rate_batch: The batch that `learning_rate` is meant for; with
            another one the peak grows linearly, or, of Adam and AdamW, with the
            square root. `None` takes `learning_rate` as it is.
        schedule: `"exponential"`, `"cosine"` or `"constant"`.
        warmup_epochs: Linear from 0.
        decay_rate: Of the exponential schedule, a staircase.
        decay_epochs: Between its steps.
        momentum: Of SGD and RMSProp, beta 1 of Adam.
        rho: Of RMSProp, beta 2 of Adam.
        epsilon: Of RMSProp (inside the root) and Adam.
        weight_decay: Of kernels, not of biases and BatchNormalization: L2 of
            the loss, or decoupled with `"adamw"`.
        ema: Decay of the moving average of weights and statistics, or `None`.
        label_smoothing: 0 to 1.
        loss: `"softmax"` or `"sigmoid"`.
        class_weights: Whether rare classes weigh more.
        gradient_clip: Of the global norm, or `None`.
        accumulate: Steps whose gradients are averaged before an update.
        augmentation: `"none"`, `"flip"`, `"crop"`, `"randaugment"` or
            `"autoaugment"`: each with what stands before it.
        flip: Whether images may be mirrored; not digits, letters or hands.
        crop_area: Smallest share of a photograph that a crop keeps.
        randaugment_layers: Operations per image (RandAugment paper, N).
        randaugment_magnitude: Pair.
        mixup_alpha: Pair.
        cutmix_alpha: Pair.
        cutout: Side of the square that is blanked, in pixels; 0 for none.
        colour: Strength of brightness, contrast and saturation changes, 0 to 1.
        dropout_rate: Pair; `None` for the network's own.
        drop_connect_rate: Pair; `None` for the network's own.
        bn_momentum: `None` for the network's own.
        freeze_bn: Whether BatchNormalization keeps the weights' statistics.
        synchronized_bn: Whether BatchNormalization takes its statistics from the
            whole batch, on however many devices that lies, or each device from its
            own images.
        head_epochs: Epochs at the start in which the classifier alone learns.
        head_learning_rate: In those.
        early_stopping: Epochs without a better validation, or `None`.
        validation: The share of images that is held out where the data has no
            validation split of its own.
        mixed_precision: A Keras dtype policy, or `None`.
        jit_compile: Whether XLA compiles the step; on JAX it always does.
        seed: Of everything random.
        checkpoint_minutes: Between checkpoints.
        checkpoint_steps: Between checkpoints, instead, or `None`.
    """

    name: str
    model: str
    epochs: int = _field("[1, inf)")
    weights: str | None = None
    channels: int = _field((1, 3), 3)
    width: float | None = _field("(0, inf)", None)
    depth: float | None = _field("(0, inf)", None)
    stages: int = _field("[1, inf)", 1)
    progression: str = _field(("linear", "automl"), "linear")
    image_size: tuple[int, int] | None = _field("[8, inf)", None)
    eval_image_size: int | None = _field("[8, inf)", None)
    whole_image: bool = False
    batch_size: int = _field("[1, inf)", 32)
    grow_batch: bool = False
    optimizer: str = _field(("rmsprop", "sgd", "adam", "adamw"), "rmsprop")
    learning_rate: float = _field("(0, inf)", 0.016)
    learning_rate_batch: int | None = _field("[1, inf)", None)
    schedule: str = _field(("exponential", "cosine", "constant"), "exponential")
    warmup_epochs: float = _field("[0, inf)", 0.0)
    decay_rate: float = _field("(0, 1]", 0.97)
    decay_epochs: float = _field("(0, inf)", 2.4)
    momentum: float = _field("[0, 1)", 0.9)
    rho: float = _field("[0, 1)", 0.9)
    epsilon: float = _field("(0, inf)", 0.001)
    weight_decay: float = _field("[0, inf)", 0.0)
    ema: float | None = _field("[0, 1)", None)
    label_smoothing: float = _field("[0, 1)", 0.0)
    loss: str = _field(("softmax", "sigmoid"), "softmax")
    class_weights: bool = False
    gradient_clip: float | None = _field("(0, inf)", None)
    accumulate: int = _field("[1, inf)", 1)
    augmentation: str = _field(AUGMENTATIONS, "crop")
    flip: bool = True
    crop_area: float = _field("(0, 1]", 0.08)
    randaugment_layers: int = _field("[0, inf)", 2)
    randaugment_magnitude: tuple[float, float] = _field("[0, 30]", (0.0, 0.0))
    mixup_alpha: tuple[float, float] = _field("[0, inf)", (0.0, 0.0))
    cutmix_alpha: tuple[float, float] = _field("[0, inf)", (0.0, 0.0))
    cutout: int = _field("[0, inf)", 0)
    colour: float = _field("[0, 1]", 0.0)
    dropout_rate: tuple[float, float] | None = _field("[0, 1)", None)
    drop_connect_rate: tuple[float, float] | None = _field("[0, 1)", None)
    bn_momentum: float | None = _field("[0, 1)", None)
    freeze_bn: bool = False
    synchronized_bn: bool = True
    head_epochs: int = _field("[0, inf)", 0)
    head_learning_rate: float = _field("(0, inf)", 0.001)
    early_stopping: int | None = _field("[1, inf)", None)
    validation: float = _field("(0, 1)", 0.2)
    mixed_precision: str | None = _field(
        ("float32", "mixed_float16", "mixed_bfloat16"), None
    )
    jit_compile: bool = False
    seed: int = _field("[0, 4294967296)", 0)
    checkpoint_minutes: float = _field("(0, inf)", 10.0)
    checkpoint_steps: int | None = _field("[1, inf)", None)
