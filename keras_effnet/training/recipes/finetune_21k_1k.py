"""EfficientNetV2 from ImageNet-21k weights to ImageNet, or to another large set.

Source: google/automl `efficientnetv2/datasets.py`, `ImagenetFt`, and
`preprocessing.py`, `preprocess_for_finetune`: 15 epochs, at least 10,000 steps of 512
images, at the size of evaluation; learning rate .0005 per 256 images, constant behind
one epoch of warm-up; moving average .9996; no dropout, drop-connect .2; the whole
image is resized and flipped, and a square of half its side is blanked.

Data: ImageNet, 1,281,167 images, 1000 classes; CIFAR and Flowers in the paper too.

Cost: in the hours of `pretrain_21k`, which are published for both together.

Expected accuracy (published, top-1 %): S 84.9, M 86.2, L 86.9, XL 87.2; re-measured
by others 84.3, 85.6, 86.3, 86.5 (keras_efficientnet_v2).

Command: keras-effnet train DATA --recipe finetune_21k_1k --model EfficientNetV2S
"""

import dataclasses
import math

from keras_effnet.errors import InputError
from keras_effnet.specs import get_spec
from keras_effnet.training.recipe import Recipe
from keras_effnet.training.recipes import v1_paper

_EPOCHS = 15
_STEPS = 10_000
_BATCH_SIZE = 512


def recipe(model="EfficientNetV2S", images=None) -> Recipe:
    """The recipe of any EfficientNetV2 and of a number of images."""
    spec = get_spec(model)
    if spec.family != "v2":
        raise InputError(
            f"`finetune_21k_1k` trains EfficientNetV2. Received: model={model!r}"
        )
    epochs = _EPOCHS
    if images:
        epochs = max(_EPOCHS, math.ceil(_STEPS * _BATCH_SIZE / images))
    return dataclasses.replace(
        v1_paper.RECIPE,
        name="finetune_21k_1k",
        model=model,
        weights="imagenet21k",
        epochs=epochs,
        batch_size=_BATCH_SIZE,
        learning_rate=0.0005,
        schedule="constant",
        warmup_epochs=1.0,
        ema=0.9996,
        augmentation="flip",
        cutout=spec.image_size // 2,
        dropout_rate=(0.0, 0.0),
    )


RECIPE = recipe()
