"""EfficientNetV2 on ImageNet from nothing, as the released code does it.

Source: google/automl `efficientnetv2/main.py`, `hparams.py`, `effnetv2_configs.py`.
It differs from the paper (`v2_paper`): the first stage is one step above the
smallest image, 171, 214, 257 and 300 pixels for S; M and L end at 384; RandAugment
goes to 10, 15 and 20; where there is mixup there is CutMix of the same alpha, each
for half of a batch; dropout stays that of the network, because the line that sets
it is commented out. B0 to B3 have the crop and AutoAugment of the first generation.

Data: ImageNet, 1,281,167 images, 1000 classes.

Cost (published, paper, Table 7): 7.1, 13 and 24 hours on 32 TPUv3 cores for S, M
and L.

Expected accuracy (published, top-1 %): S 83.9, M 85.2, L 85.7; B0 78.7, B1 79.8,
B2 80.5, B3 82.1.

Command: keras-effnet train DATA --recipe v2_automl --model EfficientNetV2S
"""

import dataclasses

from keras_effnet.errors import InputError
from keras_effnet.training.recipe import Recipe
from keras_effnet.training.recipes import v1_paper

# fmt: off
#                     train size  RandAugment  mixup, CutMix
_PARAMS = {
    "EfficientNetV2S":  (300,       10.0,        0.0),
    "EfficientNetV2M":  (384,       15.0,        0.2),
    "EfficientNetV2L":  (384,       20.0,        0.5),
    "EfficientNetV2XL": (384,       20.0,        0.5),
    "EfficientNetV2B0": (192,       0.0,         0.0),
    "EfficientNetV2B1": (192,       0.0,         0.0),
    "EfficientNetV2B2": (208,       0.0,         0.0),
    "EfficientNetV2B3": (240,       0.0,         0.0),
}
# fmt: on
_IBASE = 128


def recipe(model="EfficientNetV2S", images=None) -> Recipe:
    """The recipe of any EfficientNetV2."""
    if model not in _PARAMS:
        raise InputError(
            f"`v2_automl` trains {', '.join(_PARAMS)}. Received: model={model!r}"
        )
    size, magnitude, alpha = _PARAMS[model]
    randaugment = magnitude > 0
    return dataclasses.replace(
        v1_paper.RECIPE,
        name="v2_automl",
        model=model,
        stages=4,
        progression="automl",
        image_size=(_IBASE, size),
        augmentation="randaugment" if randaugment else "autoaugment",
        crop_area=0.05 if randaugment else 0.08,
        randaugment_layers=2,
        randaugment_magnitude=(5.0, magnitude) if randaugment else (0.0, 0.0),
        mixup_alpha=(0.0, alpha),
        cutmix_alpha=(0.0, alpha),
    )


RECIPE = recipe()
