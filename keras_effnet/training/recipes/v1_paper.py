"""EfficientNet on ImageNet from nothing, as published.

Source: Tan and Le, "EfficientNet", ICML 2019, Section 5.2; the flags of
tensorflow/tpu `models/official/efficientnet/main.py` with `--augment_name
autoaugment`. RMSProp of decay and momentum .9, epsilon .001, BatchNormalization
momentum .99; learning rate .256 at a batch of 4096 (the flags' default batch is
2048), .97 times that every 2.4 epochs, behind 5 epochs of warm-up; weight decay
1e-5, moving average .9999, label smoothing .1, AutoAugment, drop-connect .2,
dropout and image size growing with the network. The released code decays biases
too; here, as in the code of EfficientNetV2, only kernels decay.

Data: ImageNet, 1,281,167 images, 1000 classes.

Cost: for B7, 139 hours on 32 TPUv3 cores (published, EfficientNetV2 paper, Table
7). With fewer images in a step, `batch_size=256 accumulate=16` is the same update
but for the BatchNormalization statistics; the learning rate follows the batch.

Expected accuracy (published, top-1 %): B0 77.1, B1 79.1, B2 80.1, B3 81.6,
B4 83.0, B5 83.6, B6 84.0, B7 84.3; Lite0 75.1, Lite1 76.7, Lite2 77.6,
Lite3 79.8, Lite4 80.8 (at 300 pixels).

Command: keras-effnet train DATA --recipe v1_paper --model EfficientNetB0
"""

from keras_effnet.errors import InputError
from keras_effnet.specs import get_spec
from keras_effnet.training.recipe import Recipe


def recipe(model="EfficientNetB0", images=None):
    """The recipe of a network of the first generation, Lite and EdgeTPU included."""
    if get_spec(model).family == "v2":
        raise InputError(
            "`v1_paper` trains V1, Lite and EdgeTPU networks; for this one take "
            f"v2_paper or v2_automl. Received: model={model!r}"
        )
    return Recipe(
        name="v1_paper",
        model=model,
        epochs=350,
        batch_size=4096,
        optimizer="rmsprop",
        learning_rate=0.016,
        learning_rate_batch=256,
        schedule="exponential",
        warmup_epochs=5.0,
        decay_rate=0.97,
        decay_epochs=2.4,
        momentum=0.9,
        rho=0.9,
        epsilon=0.001,
        weight_decay=1e-5,
        ema=0.9999,
        label_smoothing=0.1,
        augmentation="autoaugment",
        crop_area=0.08,
        mixed_precision="mixed_bfloat16",
    )


RECIPE = recipe()
