"""scikit-learn's digits, from nothing: a small EfficientNet-Lite0 at 48 pixels.

Half of Lite0's width and depth, one channel; Adam, a cosine from .003 behind two
epochs of warm-up, batch 64. BatchNormalization's momentum is .9: with the published
.99 the moving statistics lag so far behind on 22 steps an epoch that validation stays
at chance. Crops keep at least 70 % of an image. `keras-effnet demo` trains by it.

Data: 1,797 digits of scikit-learn, 10 classes, which ship with it.

Cost: two minutes on two cores.

Expected accuracy: 98 to 99 % of 364 held-out digits (`runs/demo/results.json` has that
of the demo's last run).

Command: keras-effnet train digits --recipe digits
"""

from keras_effnet.training.recipe import Recipe


def recipe(model="EfficientNetLite0", images=None):
    """The recipe of a small version of any network."""
    return Recipe(
        name="digits",
        model=model,
        width=0.5,
        depth=0.5,
        channels=1,
        epochs=20,
        image_size=(48, 48),
        whole_image=True,
        eval_image_size=48,
        batch_size=64,
        optimizer="adam",
        learning_rate=0.003,
        learning_rate_batch=64,
        schedule="cosine",
        warmup_epochs=2.0,
        momentum=0.9,
        rho=0.999,
        epsilon=1e-7,
        augmentation="crop",
        crop_area=0.7,
        flip=False,  # a mirrored 2 is no 2
        drop_connect_rate=(0.0, 0.0),
        bn_momentum=0.9,
    )


RECIPE = recipe()
