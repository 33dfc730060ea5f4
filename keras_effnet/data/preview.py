"""What the network will see: photographs as each stage of a recipe draws them."""

import dataclasses

import tensorflow as tf

from keras_effnet.data.augment import evaluation_image
from keras_effnet.data.augment import training_image
from keras_effnet.data.mix import mix
from keras_effnet.report import charts


@dataclasses.dataclass(frozen=True)
class StagePreview:
    """The uint8 images of one `Stage`: `evaluation` `(photos, height, width,
    channels)`, `training` `(photos, draws, height, width, channels)`."""

    stage: object
    evaluation: object
    training: object


def draw(photos, stage, recipe, preprocessing, draws=6):
    """Draws training images of uint8 photographs, `(height, width, channels)`, as in
    the first steps, by the recipe's seed.

    Each draw is a batch of all of them, mixed where the stage mixes; one photograph
    alone is mixed with itself.
    """
    size = (recipe.eval_image_size or stage.image_size,) * 2
    seeds = tf.random.experimental.stateless_split([recipe.seed, stage.number], draws)
    photo_spec = tf.TensorSpec([None, None, None], tf.uint8)

    @tf.function(input_signature=[photo_spec])
    def evaluated(photo):
        return evaluation_image(
            photo, size, preprocessing, recipe.channels, antialias=True
        )

    @tf.function(input_signature=[photo_spec, tf.TensorSpec([2], seeds.dtype)])
    def augmented(photo, seed):
        return training_image(photo, seed, stage, recipe, preprocessing)

    tensors = [tf.constant(photo) for photo in photos]
    columns = []
    for seed in tf.unstack(seeds):
        own = tf.random.experimental.stateless_split(seed, len(tensors) + 1)
        images = tf.stack(
            [augmented(photo, own[n]) for n, photo in enumerate(tensors, start=1)]
        )
        mixed, _ = mix(
            images,
            tf.eye(len(tensors)),
            own[0],
            stage.mixup_alpha,
            stage.cutmix_alpha,
        )
        columns.append(tf.cast(mixed + 0.5, tf.uint8))
    return StagePreview(
        stage,
        tf.stack([evaluated(photo) for photo in tensors]).numpy(),
        tf.stack(columns, axis=1).numpy(),
    )


def figure(previews):
    """A `matplotlib.figure.Figure`, a block for each `StagePreview`: photographs below
    each other, the evaluation crop first, then the draws side by side."""
    blocks = []
    for preview in previews:
        rows = zip(preview.evaluation, preview.training, strict=True)
        images = [image for crop, drawn in rows for image in (crop, *drawn)]
        blocks.append((f"{title(preview.stage)}; first as evaluated", images))
    return charts.image_grid(blocks, columns=1 + previews[0].training.shape[1])


def title(stage):
    """What a stage is, in one line."""
    last = stage.first_epoch + stage.epochs
    parts = [
        f"stage {stage.number + 1}: epochs {stage.first_epoch + 1} to {last}",
        f"{stage.image_size} px",
        f"RandAugment magnitude {stage.randaugment_magnitude:g}",
        f"mixup {stage.mixup_alpha:g}",
    ]
    if stage.cutmix_alpha:
        parts.append(f"CutMix {stage.cutmix_alpha:g}")
    return ", ".join(parts)
