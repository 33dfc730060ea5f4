"""how often a model is right on labelled photographs

  keras-effnet evaluate runs/mine/model.keras photos/
  keras-effnet evaluate out/model_int8.tflite runs/mine --per-class
  keras-effnet evaluate EfficientNetB0 labels.csv --weights imagenet --json

PHOTOS is a folder of one folder per class, named as the model's classes are, a list,
CSV or JSON Lines, with file and label or class_index, or the folder of a run, for the
photographs that were held out there. Those that the model learned from are left out. A
.keras file, a SavedModel and a .tflite file go through the same photographs, cropped as
their weights want them.
"""

import json

from keras_effnet.cli import _model
from keras_effnet.cli import _photos
from keras_effnet.progress import silent
from keras_effnet.report.text import cell
from keras_effnet.report.text import tabulate


def add_arguments(parser):
    parser.add_argument(
        "model",
        help="a .keras file, a .tflite file, a SavedModel folder, or a network's name "
        "with --weights",
    )
    parser.add_argument("photos", help="see above")
    _model.add_weights(parser)
    _model.add_trust(parser)
    _photos.add_on_broken(parser)
    _photos.add_all_images(parser)
    parser.add_argument(
        "--per-class", action="store_true", help="recall and precision of each class"
    )
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")


def run(args):
    from keras_effnet.evaluation import evaluate_photos

    classifier = _model.classifier(args)
    found = evaluate_photos(
        classifier, args.photos, silent, args.on_broken, args.all_images
    )
    names = classifier.class_names
    if args.json:
        print(json.dumps(found.as_json(names), indent=2))
        return
    low, high = found.interval
    kind, learned = "images", ""
    if found.learned_from == 0:
        kind = "held-out images"
    elif found.learned_from:
        learned = f", {found.learned_from} of them learned from,"
    top5 = f", top-5 {found.top5:.1%}" if found.probabilities.shape[1] > 5 else ""
    print(
        f"top-1 {found.top1:.1%} of {len(found.labels)} {kind}{learned} (95 % interval "
        f"{low:.1%} to {high:.1%}){top5}"
    )
    if args.per_class:
        print(_per_class(found, names))


def _per_class(found, names):
    columns = {
        "class": lambda row: row["class"],
        "images": lambda row: str(row["images"]),
        "recall": lambda row: f"{row['recall']:.1%}",
        "precision": lambda row: cell(row["precision"], ".1%", "-"),
    }
    rows = [row for row in found.per_class(names) if row["images"]]
    return tabulate(rows, columns, left=(0,))
