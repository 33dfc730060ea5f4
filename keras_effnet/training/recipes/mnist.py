"""Handwritten digits of 28 x 28 pixels, one channel: the classic tutorial.

Plain SGD of learning rate .01 and momentum .8, batches of 50, crops of at least 70 % of
an image, no regularisation but the network's dropout. Ten epochs of MNIST's 60,000
digits; of fewer up to sixty. BatchNormalization's momentum is .9, so that small sets
too have settled statistics.

Data: MNIST, 60,000 training images, 10 classes; IDX files, `tfds:mnist`, or any
28 x 28 digits.

Cost: 12 minutes on two cores, not all of them its own, for 1,437 digits of
scikit-learn.

Expected accuracy: 97 to 99 % of 360 held-out ones. Measured by
`benchmarks/studies/mnist.py`, whose last run is in `benchmarks/results/mnist.json`.

Command: keras-effnet train tfds:mnist --recipe mnist
"""

from keras_effnet.training.recipe import Recipe


def recipe(model="EfficientNetLite0", images=None):
    """The recipe of any network."""
    return Recipe(
        name="mnist",
        model=model,
        channels=1,
        epochs=max(10, min(60, 600_000 // images)) if images else 10,
        image_size=(28, 28),
        whole_image=True,
        eval_image_size=28,
        batch_size=50,
        optimizer="sgd",
        learning_rate=0.01,
        learning_rate_batch=50,
        momentum=0.8,
        schedule="constant",
        augmentation="crop",
        crop_area=0.7,
        flip=False,  # a mirrored 2 is no 2
        drop_connect_rate=(0.0, 0.0),
        bn_momentum=0.9,
    )


RECIPE = recipe()
