"""Your own photographs, from 100 to 1,000,000: the default.

ImageNet weights; first the new classifier alone, then the whole network.

    images        below 1,000   10,000   100,000   more
    epochs        40            20       12        8
    head epochs   5             2        1         1
    learning rate 1e-4          2e-4     5e-4      1e-3
    batch         16            32       64        256
    RandAugment   5             7        9         10
    mixup         0             .1       .2        .2
    crop, area    .5            .35      .2        .08
    moving average none         .99      .999      .9999
    BatchNorm     frozen        frozen   learns    learns

- Epochs: fewer images need more passes, but even 8 passes over a million are as many
  updates as the network can use from weights that are good already.
- Two phases: the random classifier's first gradients would spoil the features.
- AdamW with a cosine to zero: of the usual optimizers it forgives a wrong learning
  rate best, and nobody tunes one for a folder of photographs. The rate is smaller
  where steps are few and the batch is small.
- BatchNormalization keeps ImageNet's statistics below 10,000 images: those of a small
  batch are noisy, and too few steps pass for the moving ones to settle.
- Augmentation: a crop keeps at least half of the photograph in a small set, where
  losing the subject costs most; RandAugment and mixup grow with the time to learn
  from them.
- The moving average spans about the last 100 to 10,000 updates, never more than an
  epoch or two.
- Early stopping waits a quarter of the training: with a cosine the best epochs are
  the last, so it only ends what went wrong.
- Label smoothing .1 and weight decay .01, as is usual with each.

Data: a folder of class folders, a TFDS name, TFRecord shards.

Cost: that of the epochs above at the network's own image size; on a machine without a
GPU see `flowers`, which has six epochs of smaller images for 2,350 photographs.

Expected accuracy: that of the data; on photographs of things ImageNet has, better than
a linear classifier on frozen features.

Command: keras-effnet train DATA --recipe finetune
"""

import bisect

from keras_effnet.training.recipe import Recipe

_LIMITS = (1_000, 10_000, 100_000)
_UNKNOWN = 5_000
# fmt: off
_EPOCHS =        (40,    20,    12,    8)
_HEAD_EPOCHS =   (5,     2,     1,     1)
_LEARNING_RATE = (1e-4,  2e-4,  5e-4,  1e-3)
_BATCH_SIZE =    (16,    32,    64,    256)
_MAGNITUDE =     (5.0,   7.0,   9.0,   10.0)
_MIXUP =         (0.0,   0.1,   0.2,   0.2)
_CROP_AREA =     (0.5,   0.35,  0.2,   0.08)
_EMA =           (None,  0.99,  0.999, 0.9999)
_FREEZE_BN =     (True,  True,  False, False)
# fmt: on


def recipe(model="EfficientNetLite0", images=None):
    """The recipe of any network with ImageNet weights and of a number of images.

    Where the number isn't known, it is taken to be some thousands.
    """
    row = bisect.bisect_right(_LIMITS, images or _UNKNOWN)
    return Recipe(
        name="finetune",
        model=model,
        weights="imagenet",
        epochs=_EPOCHS[row],
        batch_size=_BATCH_SIZE[row],
        optimizer="adamw",
        learning_rate=_LEARNING_RATE[row],
        learning_rate_batch=_BATCH_SIZE[row],
        schedule="cosine",
        warmup_epochs=1.0,
        momentum=0.9,
        rho=0.999,
        epsilon=1e-7,
        weight_decay=0.01,
        ema=_EMA[row],
        label_smoothing=0.1,
        augmentation="randaugment",
        crop_area=_CROP_AREA[row],
        randaugment_layers=2,
        randaugment_magnitude=(_MAGNITUDE[row],) * 2,
        mixup_alpha=(_MIXUP[row],) * 2,
        freeze_bn=_FREEZE_BN[row],
        head_epochs=_HEAD_EPOCHS[row],
        head_learning_rate=0.001,
        early_stopping=max(3, _EPOCHS[row] // 4),
    )


RECIPE = recipe()
