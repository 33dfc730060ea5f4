"""Images: where they come from, and how they become batches."""

from keras_effnet import lazy

# Each does what those before it do; of the last two, one.
AUGMENTATIONS = ("none", "flip", "crop", "randaugment", "autoaugment")

__getattr__ = lazy.modules(__name__)
