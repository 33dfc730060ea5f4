"""Progressive learning against a fixed size: time to the same number of epochs.

    python benchmarks/studies/progressive.py

The recipe `v2_automl` of EfficientNetV2-B0 on photographs of flowers
(KERAS_EFFNET_SHARED names their folder), in batches of 8: once as it is, in four
stages, once at the last stage's size and regularisation throughout. Each stage has two
epochs, of which the second counts: the first traces the step, which in a real
training's dozens of epochs of a stage is nothing. The time of the steps, without
validation. Writes results/progressive.json.
"""

import functools
import os
import statistics
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from keras_effnet.benchmarks.studies import comparison
from keras_effnet.data.formats import open_source
from keras_effnet.training.loop import Training
from keras_effnet.training.recipes import get_recipe
from keras_effnet.training.stages import stages

RECIPE = "v2_automl", "EfficientNetV2B0"
BATCH, EPOCHS_OF_A_STAGE = 8, 2


def recipes():
    """The two sides."""
    settings = {"batch_size": BATCH, "checkpoint_minutes": 1000, "warmup_epochs": 0}
    last = stages(get_recipe(*RECIPE))[-1]
    fixed = {
        "stages": 1,
        "image_size": last.image_size,
        "randaugment_magnitude": last.randaugment_magnitude,
    }
    return {
        "progressive": get_recipe(
            *RECIPE, epochs=(last.number + 1) * EPOCHS_OF_A_STAGE, **settings
        ),
        "fixed size": get_recipe(
            *RECIPE, epochs=EPOCHS_OF_A_STAGE, **settings, **fixed
        ),
    }


def seconds_of_an_image(recipe, source):
    """Of each stage's last epoch, by image size."""
    nothing = source.subset("one", np.arange(source.count) < 1)
    with tempfile.TemporaryDirectory() as folder:
        training = Training(recipe, source, nothing, folder, progress=None)
        training.run()
        return {
            row["image_size"]: 1 / row["images_per_second"]
            for row in training.state.history
        }


def measure(args):
    source = open_source(str(comparison.FLOWERS))
    place = np.arange(source.count)
    source = source.subset("some", place % (source.count // args.images) == 0)
    sides = {
        name: functools.partial(seconds_of_an_image, recipe, source)
        for name, recipe in recipes().items()
    }
    found = comparison.in_turn(sides, args.rounds)
    seconds = comparison.medians(
        {
            name: [statistics.fmean(run.values()) for run in runs]
            for name, runs in found.items()
        }
    )
    share = seconds["progressive"] / seconds["fixed size"]
    print(f"Progressive learning takes {share:.2f} of the time of a fixed size.")
    yield {
        "devices": [device.name for device in tf.config.list_logical_devices()],
        "seconds_of_an_image_by_size": found,
        "mean_seconds_of_an_image": seconds,
        "time_of_the_fixed_size": share,
    }


main = comparison.study(
    measure,
    counts={
        "--images": (32, BATCH, "photographs"),
        "--rounds": (1, 1, "trainings of each side"),
    },
    idle=True,
)
