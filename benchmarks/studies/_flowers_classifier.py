"""A classifier of five flowers for benchmarks: ImageNet features, a head trained."""

import hashlib

import keras
import numpy as np

from keras_effnet import build_model
from keras_effnet import saving
from keras_effnet.benchmarks.studies import accuracy
from keras_effnet.benchmarks.studies import comparison
from keras_effnet.data import finding
from keras_effnet.data import photos
from keras_effnet.evaluation import load_classifier
from keras_effnet.specs import get_spec

NETWORK = "EfficientNetLite0"
_TRAINED, _EVALUATED = 120, 100


def _split():
    """`(trained, evaluated)`: lists of (path, class), of each class evenly."""
    trained, evaluated = [], []
    folders = finding.class_folders(comparison.FLOWERS)
    for label, found in enumerate(folders.values()):
        found.sort(key=lambda path: hashlib.sha256(path.name.encode()).hexdigest())
        trained += [(path, label) for path in found[:_TRAINED]]
        evaluated += [(path, label) for path in found[-_EVALUATED:]]
    return trained, evaluated


def evaluated():
    """`(paths, labels)` of photographs that the head did not see, classes in turn."""
    found = sorted(
        _split()[1],
        key=lambda item: hashlib.sha256(item[0].name.encode()).hexdigest(),
    )
    return [path for path, _ in found], np.array([label for _, label in found])


def network():
    """The network with ImageNet's weights."""
    return build_model(get_spec(NETWORK), weights=accuracy.WEIGHTS[NETWORK]())


def features(base, paths):
    """What a network's classifier would see of photographs, `(images, channels)`."""
    seeing = keras.Model(base.inputs, base.layers[-2].output)
    classifier = load_classifier(base)
    images = photos.batches(paths, classifier.input_shape, classifier.preprocessing)
    return np.concatenate([seeing.predict_on_batch(batch) for batch in images])


def trained(path):
    """The model, trained once and kept at `path`."""
    if path.exists():
        return saving.load_model(path)
    spec, base = get_spec(NETWORK), network()
    found, _ = _split()
    inputs = features(base, [item for item, _ in found])
    keras.utils.set_random_seed(0)
    head = keras.Sequential([keras.layers.Dense(5, activation="softmax")])
    head.compile("adam", "sparse_categorical_crossentropy")
    labels = np.array([label for _, label in found])
    head.fit(inputs, labels, batch_size=32, epochs=30, verbose=0)
    model = build_model(spec, classes=5)
    for layer, source in zip(model.layers[:-1], base.layers[:-1], strict=True):
        layer.set_weights(source.get_weights())
    model.layers[-1].set_weights(head.layers[-1].get_weights())
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    return model
