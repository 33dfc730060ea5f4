"""Accuracy of a Keras model, a SavedModel or a .tflite file, in one way."""

import dataclasses
import os
import pathlib
import unicodedata
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any
from typing import TypeAlias

import numpy as np

from keras_effnet import files
from keras_effnet import made_with
from keras_effnet import notes
from keras_effnet import preprocessing
from keras_effnet import saved_model_ops
from keras_effnet import saving
from keras_effnet.class_names import Prediction
from keras_effnet.class_names import decode_predictions
from keras_effnet.class_names import imagenet_classes
from keras_effnet.class_names import imagenet_names
from keras_effnet.errors import InputError
from keras_effnet.errors import explained
from keras_effnet.errors import suggest
from keras_effnet.paired import wilson_interval
from keras_effnet.tflite import Classifier
from keras_effnet.tflite import TFLiteModel
from keras_effnet.tflite import check_classifier

# Of networks that take any size and are none that is known.
_USUAL_SIZE = 224

if TYPE_CHECKING:
    import keras

Path: TypeAlias = str | os.PathLike
Source: TypeAlias = "keras.Model | Classifier | Path"


class KerasClassifier(Classifier):
    """A Keras model.

    Raises:
        InputError: It is no classifier of images.
    """

    def __init__(self, model: "keras.Model") -> None:
        shapes = [
            [tuple(tensor.shape) for tensor in getattr(model, side, None) or ()]
            for side in ("inputs", "outputs")
        ]
        check_classifier(*shapes, model.name)
        check_channels_last(model)
        self.model = model
        self.name = model.name
        self.rule = preprocessing.of_model(model)
        self.class_names = saving.class_names(model)
        self.made_with = saving.made_with(model)
        self.classes = max(2, int(shapes[1][0][-1]))
        last = model
        while hasattr(last, "outputs"):
            last = last.outputs[0]._keras_history.operation
        activation = getattr(last, "activation", None)
        self.has_logits = getattr(activation, "__name__", None) == "linear"
        height, width, channels = shapes[0][0][1:]
        if height is None or width is None:
            self.assumed_size = True
            spec = preprocessing.spec_of(model)
            size = spec.image_size if spec else _USUAL_SIZE
            height, width = height or size, width or size
        self.input_shape = height, width, channels

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Answers: `(batch, height, width, channels)` to `(batch, outputs)`."""
        images = np.asarray(images, "float32")
        return np.asarray(self.model.predict_on_batch(images), "float32")


def check_channels_last(model: "keras.Model") -> None:
    """Raises an `InputError` for a Keras model whose layers put the channels first."""
    for layer in model._flatten_layers(False):
        if getattr(layer, "data_format", None) == "channels_first":
            raise InputError(
                "The channels must come last, (batch, height, width, channels): build "
                "the model with keras.config.set_image_data_format('channels_last'); "
                f"its weights are the same. Received: {layer.name!r}, channels first"
            )


class SavedModelClassifier(Classifier):
    """A SavedModel's `serving_default` signature.

    Its folder, or the folder above its versions, of which the highest is taken.
    """

    # TensorFlow Serving leaves this folder to whoever made the model.
    SIDECAR = "assets.extra/keras_effnet.json"

    def __init__(self, path: str | os.PathLike, trust: bool = False) -> None:
        import tensorflow as tf

        path = pathlib.Path(path)
        self.name = path.name
        self.rule = self.class_names = None
        versions = [p for p in path.glob("*/saved_model.pb") if p.parts[-2].isdecimal()]
        if versions and not (path / "saved_model.pb").exists():
            path = max(versions, key=lambda p: int(p.parts[-2])).parent
        if not trust and any(path.glob("saved_model.*")):
            saved_model_ops.check(path)
        try:
            # The signature lives as long as the object it was loaded with.
            self._loaded = tf.saved_model.load(str(path))
            self._serve = self._loaded.signatures["serving_default"]
        except Exception as error:
            raise InputError(
                "The folder holds no SavedModel with a 'serving_default' signature. "
                f"Received: {str(path)!r}"
            ) from error
        inputs = self._serve.structured_input_signature[1]
        outputs = self._serve.structured_outputs.values()
        shapes = [
            [s.shape.rank and s.shape.as_list() for s in side]
            for side in (inputs.values(), outputs)
        ]
        check_classifier(*shapes, path)
        ((self._name, self._spec),) = inputs.items()
        if not (self._spec.dtype.is_floating or self._spec.dtype.is_integer):
            raise InputError(
                "The input must be numbers, pixels. "
                f"Received: {self._spec.dtype.name} in {str(path)!r}"
            )
        self.classes = max(2, shapes[1][0][-1])
        height, width, channels = shapes[0][0][1:]
        self.assumed_size = height is None or width is None
        self.input_shape = height or _USUAL_SIZE, width or _USUAL_SIZE, channels
        if (path / self.SIDECAR).exists():
            self._read(path / self.SIDECAR)

    def _read(self, path: pathlib.Path) -> None:
        with explained("The model's description can't be read: {}.", path):
            values = files.parse_json(files.read_bytes(path, files.JSON_LIMIT))
            self.name = str(values["name"])
            names = values["class_names"]
            self.class_names = names and tuple(map(str, names))
            self.rule = saving.from_json(values["preprocessing"])
            self.made_with = made_with.from_text(values.get("made_with"))

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Answers: `(batch, height, width, channels)` to `(batch, outputs)`."""
        import tensorflow as tf

        images = tf.cast(np.asarray(images), self._spec.dtype)
        size = self._spec.shape[0] or len(images)
        rows = [
            next(iter(self._serve(**{self._name: images[i : i + size]}).values()))
            for i in range(0, len(images), size)
        ]
        return np.concatenate(rows).astype("float32")


def load_classifier(source: Source, trust: bool = False) -> Classifier:
    """Anything that classifies images, behind one door.

    Args:
        source: A `keras.Model`, or the path of a `.keras` file, a `.tflite`
            file or a SavedModel folder; or the result of this function.
        trust: Whether a SavedModel may have operators that read and write files or
            reach other programs.

    Returns:
        A `keras_effnet.tflite.Classifier`: its `predict(images)` goes from `(batch,
        height, width, channels)` to what the model answers, `(batch, outputs)`
        float32, and `probabilities` from there to `(batch, classes)`.

    Raises:
        InputError: There is no such file, it can't be read, or the model has other
            inputs and outputs than one image and one row of classes.
    """
    if isinstance(source, Classifier):
        return source
    if hasattr(source, "predict_on_batch"):
        return KerasClassifier(source)
    path = pathlib.Path(source)
    if path.suffix == ".tflite":
        return TFLiteModel(path)
    if path.is_dir():
        return SavedModelClassifier(path, trust)
    if path.suffix == ".keras" and path.is_file():
        return KerasClassifier(saving.load_model(path))
    raise InputError(
        "A model is a .keras file, a .tflite file or a SavedModel folder that "
        f"exists. Received: {str(source)!r}"
    )


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a classifier made of images; without labels, only what needs none.

    Attributes:
        probabilities: Float array, `(images, classes)`.
        labels: Int array, `(images,)`, or `None`.
        learned_from: How many of the images the model learned from, 0 where such were
            left out; `None` where nothing is known of that.
    """

    probabilities: np.ndarray
    labels: np.ndarray | None
    learned_from: int | None = None

    @property
    def predictions(self) -> np.ndarray:
        """The most probable class of each image, `(images,)`."""
        return self.probabilities.argmax(axis=1)

    @property
    def top1(self) -> float:
        """The fraction of images whose most probable class is right."""
        return float(np.mean(self.predictions == self.labels))

    @property
    def top5(self) -> float:
        """The fraction whose right class is among the five most probable."""
        best = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :5]
        return float(np.mean((best == self.labels[:, None]).any(axis=1)))

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of `top1` (Wilson 1927), two fractions."""
        right = int((self.predictions == self.labels).sum())
        return wilson_interval(right, len(self.labels))

    @property
    def confusion(self) -> np.ndarray:
        """Counts, `(classes, classes)`: the true class down, the predicted across."""
        classes = self.probabilities.shape[1]
        counts = np.zeros((classes, classes), int)
        np.add.at(counts, (self.labels, self.predictions), 1)
        return counts

    @property
    def mistakes(self) -> list[int]:
        """Indices of the wrongly classified images, the most confident first."""
        wrong = np.flatnonzero(self.predictions != self.labels)
        confidence = self.probabilities.max(axis=1)[wrong]
        return wrong[np.argsort(-confidence, kind="stable")].tolist()

    def per_class(
        self, class_names: Sequence[str] | None = None
    ) -> list[dict[str, Any]]:
        """Precision and recall of each class.

        Args:
            class_names: Names in order; the indices when `None`.

        Returns:
            A list of dicts with `class`, `images`, `recall` and `precision`,
            fractions, or `None` where there is nothing to divide by.
        """
        confusion = self.confusion
        names = class_names or map(str, range(len(confusion)))
        return [
            {
                "class": name,
                "images": int(true),
                "recall": float(right / true) if true else None,
                "precision": float(right / said) if said else None,
            }
            for name, right, true, said in zip(
                names,
                confusion.diagonal(),
                confusion.sum(axis=1),
                confusion.sum(axis=0),
                strict=True,
            )
        ]

    def as_json(self, class_names: Sequence[str] | None = None) -> dict[str, Any]:
        """All figures as a dict of plain values.

        Args:
            class_names: As for `per_class`.
        """
        return {
            "images": len(self.labels),
            "learned_from": self.learned_from,
            "top1": self.top1,
            "interval": list(self.interval),
            "top5": self.top5,
            "classes": self.per_class(class_names),
            "confusion": self.confusion.tolist(),
        }

    def agreement(self, other: "Evaluation") -> float:
        """The fraction of images on which two evaluations name the same class."""
        return float(np.mean(self.predictions == other.predictions))


def evaluate(
    source: Source,
    batches: Iterable[np.ndarray],
    labels: Sequence[int] | np.ndarray | None = None,
) -> Evaluation:
    """Runs a classifier over images.

    Args:
        source: As for `load_classifier`.
        batches: An iterable of arrays, `(batch, height, width, channels)`.
        labels: Class indices of all images, in the same order, or `None`.

    Returns:
        An `Evaluation`.

    Raises:
        InputError: The numbers of images and labels differ, there are no images, or
            a label is no class of the model.
    """
    classifier = load_classifier(source)
    rows = [classifier.predict(batch) for batch in batches]
    count = sum(map(len, rows))
    given = count if labels is None else len(labels)
    if not rows or count != given:
        raise InputError(
            "There must be at least one image, and as many labels if there are any. "
            f"Received: {count} images, {given} labels"
        )
    probabilities = classifier.probabilities(np.concatenate(rows))
    if labels is None:
        return Evaluation(probabilities, None)
    labels = np.asarray(labels)
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        raise InputError(
            f"The model has the classes 0 to {probabilities.shape[1] - 1}. "
            f"Received: labels from {labels.min()} to {labels.max()}"
        )
    return Evaluation(probabilities, labels)


def evaluate_photos(
    source: Source,
    photographs: Path,
    progress: Callable[[str], None] | None = None,
    on_broken: str = "skip",
    all_images: bool = False,
) -> Evaluation:
    """Runs a classifier over photographs with classes that it didn't learn from.

    Args:
        source: As for `load_classifier`.
        photographs: Path of a folder of one folder per class, of a CSV file, or of the
            folder of a run; see `held_out_photos`.
        progress: A function of a line of text; with it, photographs are counted.
        on_broken: What becomes of photographs that can't be read: `"skip"` leaves them
            out and tells which, `"fail"` ends at them.
        all_images: Whether those count that the model learned from, too.

    Returns:
        An `Evaluation`.

    Raises:
        InputError: The model or a photograph can't be read, a class is none of the
            model's, or it learned from all of the photographs.
    """
    classifier = load_classifier(source)
    classifier.note_guess()
    paths, labels, learned = held_out_photos(
        photographs, classifier, on_broken, all_images, progress=progress
    )
    batches = photo_batches(classifier, paths, None, progress)
    found = evaluate(classifier, batches, labels)
    return dataclasses.replace(found, learned_from=learned)


def held_out_photos(
    source: Path,
    classifier: Classifier,
    on_broken: str = "skip",
    all_images: bool = False,
    *,
    optional: bool = False,
    known: np.ndarray | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[list[pathlib.Path], np.ndarray | None, int | None]:
    """Photographs that a model wasn't made with, to be judged by.

    Those that it learned from are recognised by the digests that it carries, and left
    out, which `keras_effnet.notes` tells.

    Args:
        source: As for `labelled_photos`; or the folder of a run of `keras-effnet
            train`, which means the photographs that were held out there.
        classifier: As `load_classifier` gives it.
        on_broken: As for `evaluate_photos`.
        all_images: As for `evaluate_photos`.
        optional: As for `labelled_photos`.
        known: Digests, of `keras_effnet.made_with`, of others that are left out in any
            case.
        progress: As for `evaluate_photos`.

    Returns:
        `(paths, labels, learned)`, the last of them how many of these photographs the
        model learned from, 0 where such were left out. Where it knows none of them it
        is `None`: they may be new, or saved anew.

    Raises:
        InputError: As for `labelled_photos`, or none are left.
    """
    from keras_effnet.data import photos

    folder, of_run = pathlib.Path(source), None
    is_run = (folder / "environment.json").is_file()
    if is_run:
        folder, of_run = _of_run(folder)
    paths, labels = labelled_photos(folder, classifier, optional)
    paths, labels = photos.readable(paths, labels, on_broken, progress)
    never, own = made_with.united(known, of_run), classifier.made_with
    if never is None and own is None:
        return paths, labels, None
    digests = photos.digests(paths, progress)
    out = np.isin(digests, () if never is None else never)
    learned = np.isin(digests, () if own is None else own) & ~out
    if not (out | learned).any():
        return paths, labels, None
    if not all_images:
        out, learned = out | learned, learned & False
    if learned.any():
        notes.warn(
            f"{classifier.name} learned from {learned.sum()} of these {len(paths)} "
            "photographs: what it makes of them says little of others"
        )
    if out.all():
        raise InputError(
            "A model is never judged by photographs that it was made with, and all "
            f"{len(paths)} are such: give others, or insist by `all_images` if it "
            f"learned from them. Received: {str(source)!r}"
        )
    if out.any() and not is_run:
        notes.note(
            f"{classifier.name} was made with {out.sum()} of the {len(paths)} "
            f"photographs of {source}: it is judged by the other {(~out).sum()}; "
            "--all-images takes those that it learned from, too"
        )
    paths = [path for path, left_out in zip(paths, out, strict=True) if not left_out]
    labels = None if labels is None else labels[~out]
    return paths, labels, int(learned.sum())


def _of_run(folder: pathlib.Path) -> tuple[pathlib.Path, np.ndarray | None]:
    """Where the photographs of a run are, and the digests of those it learned from."""
    path = folder / "model.keras"
    if not path.is_file():
        raise InputError(
            "The run holds no model.keras: `keras-effnet train` writes it at its end. "
            f"Received: {str(folder)!r}"
        )
    found = (files.read_json(folder / "environment.json") or {}).get("photographs")
    if not isinstance(found, str) or not os.path.exists(found):
        raise InputError(
            "The run's photographs are not where they were: give a folder or a list; "
            "the model knows those that it learned from. "
            f"Received: {str(folder)!r}, trained on {found!r}"
        )
    return pathlib.Path(found), saving.read_made_with(path)


def classify_photo(source: Source, path: Path, top: int = 5) -> list[Prediction]:
    """The most probable classes of one photograph.

    Args:
        source: As for `load_classifier`.
        path: Of the photograph.
        top: How many classes.

    Returns:
        A list of `keras_effnet.class_names.Prediction`, the most probable first.

    Raises:
        InputError: The model or the photograph can't be read.
    """
    classifier = load_classifier(source)
    (batch,) = photo_batches(classifier, [path])
    names = classifier.class_names
    if names is None:
        names = [f"class {index}" for index in range(classifier.classes)]
    found = classifier.probabilities(classifier.predict(batch))
    return decode_predictions(found, top, names)[0]


def photo_batches(
    source: Source,
    paths: Sequence[Path],
    name: str | None = None,
    progress: Callable[[str], None] | None = None,
    batch_size: int = 32,
) -> Iterator[np.ndarray]:
    """Photographs as a classifier takes them, in batches.

    Args:
        source: As for `load_classifier`.
        paths: Paths of photographs.
        name: As for `keras_effnet.data.photos.batches`.
        progress: As for `keras_effnet.data.photos.batches`.
        batch_size: Photographs in a batch; the last may have fewer.

    Returns:
        An iterator of arrays, `(batch, height, width, channels)`.
    """
    from keras_effnet.data import photos

    classifier = load_classifier(source)
    shape, rule = classifier.input_shape, classifier.preprocessing
    return photos.batches(paths, shape, rule, batch_size, name, progress)


def labelled_photos(
    source: Path, classifier: Classifier, optional: bool = False, split: str = "test"
) -> tuple[list[pathlib.Path], np.ndarray | None]:
    """Photographs with the classes that they belong to.

    Args:
        source: A folder of one folder per class, or of splits of such; or a list for
            `keras_effnet.data.finding.read_list`.
        classifier: As `load_classifier` gives it. Folders have the names of its
            classes; ImageNet's also the WordNet ids. A classifier without names
            has its classes in the folders' sorted order.
        optional: Whether a folder of photographs without classes will do.
        split: Which of several is taken, `"test"` (else that for validation) or
            `"train"`.

    Returns:
        `(paths, labels)`: a list of `pathlib.Path` and an int array, or `None` where
        there are no classes.

    Raises:
        InputError: There are no photographs, or a folder is no class.
    """
    from keras_effnet.data import finding

    source = pathlib.Path(source)
    if optional and not finding.has_classes(source):
        return finding.find_photos([source]), None
    if not source.is_dir():
        listed = finding.read_list(source)
        names = tuple(dict.fromkeys(listed.splits))
        listed = listed.of_split(finding.chosen(source, names, split, "validation"))
        if listed.indices is not None:
            return listed.paths, listed.indices
        indices = _indices_of_classes(classifier, sorted(set(listed.names)), source)
        return listed.paths, np.array([indices[name] for name in listed.names])
    source = finding.of_kind(source, split, "validation")
    folders = finding.class_folders(source)
    indices = _indices_of_classes(classifier, folders, source)
    paths, labels = [], []
    for name, found in folders.items():
        paths += found
        labels += [indices[name]] * len(found)
    return paths, np.array(labels)


def _indices_of_classes(
    classifier: Classifier, wanted: Iterable[str], source: pathlib.Path
) -> dict[str, int]:
    """Of each class that is wanted, which all must be the classifier's."""
    indices = _known_classes(classifier, list(wanted))
    indices |= {unicodedata.normalize("NFC", name): i for name, i in indices.items()}
    for name in wanted:
        if name not in indices:
            raise InputError(
                f"The model has no class of this name. {suggest(name, indices)}"
                f"It has {len(indices)} names. Received: {str(source / name)!r}"
            )
    return indices


def _known_classes(classifier: Classifier, folders: list[str]) -> dict[str, int]:
    names, classes = classifier.class_names, classifier.classes
    rows = imagenet_classes()
    known = {name: index for index, row in enumerate(rows) for name in row}
    # Of a model without names the folders' own say that the classes are ImageNet's.
    unnamed = names is None and classes == len(rows) and known.keys() >= {*folders}
    if unnamed or names == imagenet_names():
        return known
    if names:
        return {name: index for index, name in enumerate(names)}
    if len(folders) != classes:
        raise InputError(
            f"The model has {classes} classes without names, so that there must be as "
            f"many folders. Received: {len(folders)} folders"
        )
    return {name: index for index, name in enumerate(folders)}
