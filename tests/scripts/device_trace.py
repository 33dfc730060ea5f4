"""Prints the losses of every step, on one device and on two, as JSON.

Run as a script: devices must be made before anything is computed.
"""

import json
import sys
import tempfile

import tiny_command

from keras_effnet.data.formats import open_source
from keras_effnet.training import loop
from keras_effnet.training.devices import Devices
from keras_effnet.training.devices import open_devices
from keras_effnet.training.recipes import get_recipe


class _Traced(loop.Training):
    def after_step(self, logs):
        self.trace.append(float(logs["loss"]))
        super().after_step(logs)


def trace(devices, recipe, source, validation):
    with tempfile.TemporaryDirectory() as folder:
        training = _Traced(
            recipe,
            source,
            validation,
            folder,
            progress=None,
            devices=devices,
        )
        training.trace = []
        training.run()
        losses = [row["val_loss"] for row in training.state.history]
        return {"loss": training.trace, "val_loss": losses}


def main():
    two = open_devices(2)
    tiny_command.shrink_networks()
    recipe = get_recipe(
        "digits",
        width=0.25,
        depth=0.25,
        epochs=2,
        warmup_epochs=0,
        image_size=24,
        stages=1,
        eval_image_size=24,
        batch_size=16,
        optimizer="sgd",
        schedule="constant",
        learning_rate=0.001,
        augmentation="crop",
        dropout_rate=0.0,
        drop_connect_rate=0.0,
        mixup_alpha=0.2,
        ema=0.9,
        synchronized_bn="--per-replica" not in sys.argv,
    )
    digits = open_source("digits")
    # 96 to learn from; 40 to evaluate on, which are no whole batches.
    source = digits.subset("training", [i < 96 for i in range(digits.count)])
    validation = digits.subset(
        "validation", [96 <= i < 136 for i in range(digits.count)]
    )
    both = [trace(devices, recipe, source, validation) for devices in (Devices(), two)]
    sys.stdout.write(json.dumps(both) + "\n")


if __name__ == "__main__":
    main()
