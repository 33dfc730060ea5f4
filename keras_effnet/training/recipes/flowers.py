"""Five kinds of flowers, 2,350 photographs to learn from, in minutes on two cores.

EfficientNet-Lite0 from its ImageNet weights: one epoch of the classifier alone, then
the whole network with BatchNormalization frozen, at 128 and then at 160 pixels.
Evaluated at 192: what is learnt from crops at one size is recognised best at a
somewhat larger one (Touvron et al., "Fixing the train-test resolution discrepancy",
2019). A training step costs in proportion to the pixels, so that two epochs at 224
pixels would take as long as all of these.

Data: tf_flowers, or a folder of it.

Cost: 11 to 15 minutes on two cores.

Expected accuracy: 93 to 95 % of a held-out fifth (a linear classifier on frozen
features at 224 pixels: 92.4 %). Measured by `benchmarks/studies/flowers.py`, whose
last run is in `benchmarks/results/flowers.json`.

Command: keras-effnet train DATA --recipe flowers
"""

from keras_effnet.training.recipe import Recipe


def recipe(model="EfficientNetLite0", images=None):
    """The recipe of any small network with ImageNet weights."""
    return Recipe(
        name="flowers",
        model=model,
        weights="imagenet",
        epochs=6,
        stages=2,
        image_size=(128, 160),
        eval_image_size=192,
        batch_size=32,
        optimizer="adamw",
        learning_rate=3e-4,
        learning_rate_batch=32,
        schedule="cosine",
        warmup_epochs=0.5,
        momentum=0.9,
        rho=0.999,
        epsilon=1e-7,
        weight_decay=0.01,
        ema=0.99,
        label_smoothing=0.1,
        augmentation="crop",
        crop_area=0.35,
        freeze_bn=True,
        head_epochs=1,
        head_learning_rate=3e-3,
    )


RECIPE = recipe()
