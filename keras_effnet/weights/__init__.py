"""Weights: published sets and files of several formats, put into a model."""

import dataclasses
import functools
import importlib.util
import os
import pathlib
from typing import TYPE_CHECKING

import numpy as np

from keras_effnet import lazy
from keras_effnet import notes
from keras_effnet import saving
from keras_effnet.class_names import imagenet12k_names
from keras_effnet.class_names import imagenet_names
from keras_effnet.errors import InputError
from keras_effnet.rule import Preprocessing
from keras_effnet.rule import at_size
from keras_effnet.weights import convention
from keras_effnet.weights import hub
from keras_effnet.weights import importing
from keras_effnet.weights import store
from keras_effnet.weights import table
from keras_effnet.weights.assign import assign
from keras_effnet.weights.assign import variables_by_name
from keras_effnet.weights.convention import Convention
from keras_effnet.weights.fit import fit
from keras_effnet.weights.importing import importer_of
from keras_effnet.weights.importing import is_path
from keras_effnet.weights.importing import read

if TYPE_CHECKING:
    import keras

__getattr__ = lazy.modules(__name__)


@dataclasses.dataclass(frozen=True)
class Located:
    """A weights file on this machine, and what is known of it.

    Attributes:
        path: Of the file.
        published: The `table.WeightSet` that it is, or `None` for a file that
            is in no table and no repository.
        names: Of its classes, where the repository that it comes from tells.
    """

    path: pathlib.Path
    published: table.WeightSet | None
    names: tuple[str, ...] | None = None

    def preprocessing(self, size: int | None) -> Preprocessing | None:
        """The weights' own, at `size` pixels, or `None` where nothing is known."""
        if self.published is not None:
            rule = self.published.preprocessing
            return at_size(rule, size or self.published.image_size)
        return saving.read(self.path) if self._is_archive else None

    @functools.cached_property
    def convention(self) -> Convention | None:
        """How the network pads that they were trained in, and its epsilon, or `None`
        where that isn't known."""
        if self.published is not None:
            return Convention(self.published.padding, self.published.bn_epsilon)
        return importing.convention(self.path)

    @property
    def made_with(self) -> np.ndarray | None:
        """The digests of the photographs that they learned from, or `None`."""
        return saving.read_made_with(self.path) if self._is_archive else None

    @property
    def _is_archive(self) -> bool:
        return self.path.suffix == ".keras" and self.path.is_file()

    def class_names(self, classes: int) -> tuple[str, ...] | None:
        """The names of its classes, where they are `classes`, or `None`."""
        names = self.names
        row = self.published
        if row and row.source in table.SOURCES and row.classes in (1000, 1001):
            names = imagenet_names()
        elif row and row.source in table.SOURCES and row.name == "in12k":
            names = imagenet12k_names()
        elif self._is_archive:
            names = saving.read_class_names(self.path)
        return names if names and len(names) == classes else None


def locate(
    weights: str | os.PathLike,
    model_name: str,
    include_top: bool = True,
    progress: bool = True,
) -> Located:
    """Finds weights; a published set is downloaded if it is not there yet.

    Args:
        weights: A path, or a set's name, `"noisy-student"`, which may name its
            source, `"noisy-student@timm"`. Without one, a source whose file is
            already there is preferred. Or a repository of the Hugging Face hub,
            `"hf://timm/efficientnet_b0.ra_in1k"`, or a folder that holds one.
        model_name: The network's name, `"EfficientNetB0"`.
        include_top: Whether the classifier is wanted.
        progress: Whether a bar is shown.

    Returns:
        A `Located`.

    Raises:
        InputError: The network has no such set, or it can't be downloaded.
    """
    if not isinstance(weights, str | os.PathLike) or not str(weights):
        raise InputError(
            "`weights` must be None, the name of a published set such as 'imagenet', "
            f"or the path of a weights file. Received: {weights!r}"
        )
    if hub.is_address(weights):
        row, names = hub.describe(weights, model_name)
        return Located(hub.fetch(weights, row, progress), row, names)
    if is_path(weights):
        path = pathlib.Path(weights)
        importer_of(path)
        return Located(path, _recognised(path, model_name))
    found = table.find(model_name, str(weights), include_top)
    readable = list(filter(_is_readable, found))
    if not readable:
        raise InputError(
            "This set is served as a PyTorch file: pip install 'keras-effnet[torch]'. "
            f"Received: weights={weights!r}"
        )
    chosen = next(filter(store.is_cached, readable), readable[0])
    return Located(store.fetch(chosen, progress), chosen)


def _is_readable(row: table.WeightSet) -> bool:
    return row.format != "pytorch" or importlib.util.find_spec("torch") is not None


def _recognised(path: pathlib.Path, model_name: str) -> table.WeightSet | None:
    """The published set that a file is, by its name and its hash."""
    rows = (row for row in table.published() if row.model == model_name)
    return next((row for row in rows if store.is_published(path, row)), None)


def load_weights(model: "keras.Model", weights: str | os.PathLike) -> None:
    """Loads weights into a model; all of a file or nothing.

    The input channels and the number of classes may differ from the file's:
    the first convolution is fitted, and a classifier of another number of
    classes starts random, which the log says.

    Args:
        model: A `keras.Model` with the layer names of `keras.applications`.
        weights: The name of a published set, see `keras-effnet weights list`
            (the model has its network's name then), or the path of a file: a
            Keras `.h5`, `.weights.h5` or `.keras`; a PyTorch `.safetensors`, or
            `.pth` (needs `keras-effnet[torch]`); a TensorFlow checkpoint,
            `.tar.gz`, `.index` or its folder.

    Raises:
        InputError: The set is unknown, the file can't be read, or it belongs
            to another network; the model is unchanged.
    """
    load_file(model, locate(weights, model.name))


def load_file(model: "keras.Model", located: Located, chosen: bool = False) -> None:
    """`load_weights` of what `locate` returned; with `chosen` the user has said how the
    network pads, where the file does not."""
    found, ours = located.convention, convention.of_model(model)
    if found and found.assumed and not chosen:
        (other,) = convention.PADDINGS.keys() - {ours.padding}
        notes.note(
            f"{located.path.name} does not say how its network pads: taken for "
            f"padding={ours.padding!r} with bn_epsilon={ours.bn_epsilon:g}. If that is "
            f"wrong, build it with padding={other!r}, or convert it with `keras-effnet "
            f"weights convert --padding {other}`"
        )
    elif found and not found.assumed and found.padding != ours.padding:
        notes.note(
            f"{located.path.name} was trained with padding={found.padding!r}, and the "
            f"model has padding={ours.padding!r}: it will answer otherwise"
        )
    put(model, read_located(located, model), located.path.name)
    if (learned := located.made_with) is not None:
        names = saving.class_names(model)
        saving.attach(model, saving.attached(model), names, learned)


def read_located(located: Located, model: "keras.Model") -> dict[str, np.ndarray]:
    """`read` of what `locate` returned."""
    values = read(located.path, model)
    if located.published:
        # The table tells it; some files hold the deviation for the variance.
        values = {k: v for k, v in values.items() if not k.startswith("normalization/")}
    found = located.convention
    if found and found.bn_epsilon is not None and not found.assumed:
        for layer in model.layers:
            name = f"{layer.name}/moving_variance"
            shift = np.float32(found.bn_epsilon - getattr(layer, "epsilon", 0))
            # sqrt(variance + epsilon) must stay what it is. A variance may get
            # below zero by this; with the epsilon it is above again.
            if shift and name in values:
                values[name] = values[name] + shift
    return values


def put(model: "keras.Model", values: dict[str, np.ndarray], source: str) -> None:
    """Puts what `read` gave into a model; all of it or nothing.

    Args:
        model: A `keras.Model` with the layer names of `keras.applications`.
        values: `{"layer/variable": array}`.
        source: What messages call the file.

    Raises:
        InputError: The values belong to another network.
    """
    variables = variables_by_name(model)
    shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
    values, text = fit(values, shapes, source, saving.attached(model))
    assign(model, values, source)
    if text:
        notes.warn(text)
