"""Images: where they come from, and how they become batches."""

# Each does what those before it do; of the last two, one.
AUGMENTATIONS = ("none", "flip", "crop", "randaugment", "autoaugment")
