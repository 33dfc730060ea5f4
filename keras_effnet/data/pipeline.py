"""From a source of labelled images to batches, reproducible to the last pixel.

What an image looks like in a training depends on the seed, the epoch and its
place in the epoch alone, so a training that goes on in the middle of an epoch
sees what it would have seen.
"""

import numpy as np
import tensorflow as tf

from keras_effnet import notes
from keras_effnet.data import augment
from keras_effnet.data import mix
from keras_effnet.data import service as data_service
from keras_effnet.data.source import order

_PREFETCH = 4
_IN_ORDER = tf.data.Options()
_IN_ORDER.deterministic = True


class TrainingBatches:
    """The batches of one `Stage` of a training with a `Recipe`.

    `part` is `(number, parts)`: the part of each batch that this process makes, from 0,
    and how many there are; together they are what one process would make. `service` is
    `"HOST:PORT"` of a tf.data service's dispatcher, whose workers make the batches,
    `None` for this process; `progress` is told where this process must make them
    itself. Images that other machines can't decode are an `InputError` then.

    Attributes: `steps_per_epoch`, whole batches (the rest of the images is left out,
    others in every epoch); `batch_size`, of all parts together: the stage's, or all
    images if they are fewer.
    """

    def __init__(
        self,
        source,
        recipe,
        stage,
        preprocessing,
        part=(0, 1),
        service=None,
        progress=notes.warn,
    ):
        self._source = source
        self._recipe = recipe
        self._stage = stage
        self.batch_size = min(stage.batch_size, source.count)
        self.steps_per_epoch = source.count // self.batch_size
        self._classes = len(source.class_names)
        number, parts = part
        self._part_size = self.batch_size // parts
        self._first_row = number * self._part_size
        self._service = None
        if service is not None:
            data_service.check_source(source)
            self._service = data_service.DataService(service, progress)

        # Traced once: every epoch's pipeline calls it.
        @tf.function(autograph=False)
        def training_image(image, seed):
            return augment.training_image(image, seed, stage, recipe, preprocessing)

        self._training_image = training_image

    def epoch(self, number, first_step=0):
        """The batches of one epoch, from 0, behind the `first_step` that have been
        seen.

        A `tf.data.Dataset` of `(images, labels)`: float32, `(batch, size, size,
        channels)`, 0-255, and `(batch, classes)`, one-hot or mixed; of the part of the
        batch.
        """

        def drawn(first, last):
            return self._drawn(number, first, last)

        if self._service:
            batches = self._service.batches(drawn, first_step, self.steps_per_epoch)
        else:
            batches = drawn(first_step, self.steps_per_epoch)
        return (
            batches.map(self._mixed(number), num_parallel_calls=tf.data.AUTOTUNE)
            .prefetch(_PREFETCH)
            .with_options(_IN_ORDER)
        )

    def _drawn(self, epoch, first_step, last_step):
        """The steps before `last_step`, each as `(step, images, labels)`: int64, uint8
        `(batch, size, size, channels)` and int64 `(batch,)`."""
        seed = self._recipe.seed
        # A row for each step: what a data service hands out is never part of a batch.
        steps = np.arange(first_step, last_step)[:, None]
        places = steps * self.batch_size + self._first_row + np.arange(self._part_size)
        chosen = order(self._source.count, _order_seed(seed, epoch), places)
        columns = (places, self._source.rows(chosen), self._source.labels[chosen])
        return (
            tf.data.Dataset.from_tensor_slices(columns)
            .unbatch()
            .map(
                lambda place, row, label: (
                    place,
                    self._training_image(
                        self._source.image(row),
                        tf.stack([_image_seed(seed, epoch), place]),
                    ),
                    label,
                ),
                num_parallel_calls=tf.data.AUTOTUNE,
            )
            .batch(self._part_size, drop_remainder=True)
            .map(
                lambda places, images, labels: (
                    places[0] // self.batch_size,
                    images,
                    labels,
                )
            )
            .with_options(_IN_ORDER)
        )

    def _mixed(self, epoch):
        """What makes the batch of the training of a batch as drawn, in a graph."""
        stage = self._stage
        mixes = stage.mixup_alpha or stage.cutmix_alpha

        def mixed(step, images, labels):
            labels = tf.one_hot(labels, self._classes)
            if not mixes:
                return _as_float(images, labels)
            return mix.mix(
                images,
                labels,
                seed=tf.stack([_image_seed(self._recipe.seed, epoch) + 1, step]),
                mixup_alpha=stage.mixup_alpha,
                cutmix_alpha=stage.cutmix_alpha,
                rows=(self._first_row, self.batch_size),
            )

        return mixed


def _order_seed(seed, epoch):
    return seed * 1_000_003 + epoch


def _image_seed(seed, epoch):
    return tf.constant(2 * _order_seed(seed, epoch), tf.int64)


def _as_float(images, *rest):
    return tf.cast(images, tf.float32), *rest


def evaluation_batches(source, size, preprocessing, batch_size, channels=3, part=None):
    """The evaluation crops of a source, in its order, one pass, the last batch with
    fewer.

    A `tf.data.Dataset` of `(images, labels)`: float32, `(batch, size, size, channels)`,
    0-255, and `(batch, classes)`, one-hot. With a `part`, as for `TrainingBatches`, the
    last batch is filled up with black images of no class, and weights come third,
    `(batch,)`, 0 for what fills up.
    """
    classes = len(source.class_names)
    places, missing = None, 0
    if part is not None:
        number, parts = part
        batch_size //= parts
        # The batches of all parts together are those of one.
        padded = -(-source.count // (batch_size * parts)) * batch_size * parts
        rows = np.arange(padded).reshape(-1, parts, batch_size)[:, number].ravel()
        places = rows[rows < source.count]
        missing = len(rows) - len(places)

    @tf.function(autograph=False)
    def evaluation_image(image):
        # As Pillow does for `keras-effnet evaluate`, so that both say the same.
        return augment.evaluation_image(
            image, (size, size), preprocessing, channels, antialias=True
        )

    examples = source.dataset(places=places).map(
        lambda example: (
            evaluation_image(example["image"]),
            tf.one_hot(example["label"], classes),
        ),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    if part is not None:
        examples = _filled_up(examples, missing)
    return (
        examples.batch(batch_size)
        .map(_as_float, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(_PREFETCH)
    )


def _filled_up(examples, missing):
    """The examples with weights of 1, then as many as are missing, of 0."""
    image, label = examples.element_spec
    nothing = (
        tf.zeros(image.shape, image.dtype),
        tf.zeros(label.shape, label.dtype),
        0.0,
    )
    return examples.map(lambda image, label: (image, label, 1.0)).concatenate(
        tf.data.Dataset.from_tensors(nothing).repeat(missing)
    )
