"""EfficientNetV2-S, M and L on ImageNet from nothing, as the paper describes it.

Source: Tan and Le, "EfficientNetV2", ICML 2021, Sections 4.2 and 5.1, Table 6:
four stages of about 87 epochs in which image size, RandAugment magnitude, mixup
and dropout grow together. Optimizer, schedule and moving average as in `v1_paper`,
batch 4096, drop-connect .2. Mixup of L ends at .5, as in the released code; some
copies of the table print .4. The released code leaves the dropout schedule out and
has other sizes: `v2_automl`.

Data: ImageNet, 1,281,167 images, 1000 classes.

Cost (published, Table 7): 7.1, 13 and 24 hours on 32 TPUv3 cores for S, M and L.

Expected accuracy (published, top-1 %): S 83.9 at 384 pixels, M 85.1 and L 85.7 at
480.

Command: keras-effnet train DATA --recipe v2_paper --model EfficientNetV2S
"""

import dataclasses

from keras_effnet.errors import InputError
from keras_effnet.training.recipe import Recipe
from keras_effnet.training.recipes import v1_paper

# fmt: off
#                     image size  RandAugment  mixup       dropout
_TABLE_6 = {
    "EfficientNetV2S": ((128, 300), (5.0, 15.0), (0.0, 0.0), (0.1, 0.3)),
    "EfficientNetV2M": ((128, 380), (5.0, 20.0), (0.0, 0.2), (0.1, 0.4)),
    "EfficientNetV2L": ((128, 380), (5.0, 25.0), (0.0, 0.5), (0.1, 0.5)),
}
# fmt: on


def recipe(model="EfficientNetV2S", images=None) -> Recipe:
    """The recipe of EfficientNetV2S, M or L."""
    if model not in _TABLE_6:
        raise InputError(
            f"The paper's table has {', '.join(_TABLE_6)} alone; `v2_automl` has "
            f"more. Received: model={model!r}"
        )
    size, magnitude, mixup, dropout = _TABLE_6[model]
    return dataclasses.replace(
        v1_paper.RECIPE,
        name="v2_paper",
        model=model,
        stages=4,
        progression="linear",
        image_size=size,
        augmentation="randaugment",
        crop_area=0.05,
        randaugment_layers=2,
        randaugment_magnitude=magnitude,
        mixup_alpha=mixup,
        dropout_rate=dropout,
    )


RECIPE = recipe()
