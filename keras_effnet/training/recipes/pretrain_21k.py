"""EfficientNetV2 on ImageNet-21k from nothing.

Source: google/automl `efficientnetv2/datasets.py`, `ImageNet21k`: 60 epochs at 224
pixels, no stages, nothing but crop and flip, no dropout, no drop-connect, no label
smoothing; learning rate .008 per 256 images, cosine behind one epoch of warm-up. Its
labels may be several for an image, and the loss is the softmax cross-entropy against
their mean (`loss_type` is left at its default); one label for an image, as a folder
or TFDS gives, is the same loss. `loss=sigmoid` is the other choice.

Data: ImageNet-21k (fall 2011), 12,720,275 training images, 21,843 classes.

Cost (published, paper, Table 7): 9.0, 15, 26 and 45 hours on 32 TPUv3 cores for S,
M, L and XL, fine-tuning included.

Expected accuracy: none is published on its own; after `finetune_21k_1k`, top-1 %:
S 84.9, M 86.2, L 86.9, XL 87.2.

Command: keras-effnet train DATA --recipe pretrain_21k --model EfficientNetV2S
"""

import dataclasses

from keras_effnet.errors import InputError
from keras_effnet.specs import get_spec
from keras_effnet.training.recipe import Recipe
from keras_effnet.training.recipes import v1_paper


def recipe(model="EfficientNetV2S", images=None) -> Recipe:
    """The recipe of any EfficientNetV2."""
    if get_spec(model).family != "v2":
        raise InputError(
            f"`pretrain_21k` trains EfficientNetV2. Received: model={model!r}"
        )
    return dataclasses.replace(
        v1_paper.RECIPE,
        name="pretrain_21k",
        model=model,
        epochs=60,
        image_size=(224, 224),
        eval_image_size=224,
        learning_rate=0.008,
        schedule="cosine",
        warmup_epochs=1.0,
        label_smoothing=0.0,
        augmentation="crop",
        crop_area=0.05,
        dropout_rate=(0.0, 0.0),
        drop_connect_rate=(0.0, 0.0),
    )


RECIPE = recipe()
