"""The published weight sets: where each file lies and what belongs to it.

`published.csv` has a row per file. Its `crop` is a number of pixels, `crop_padding`, or
one with a point, `crop_fraction`, or `whole`; `.9 225:1.` is .9 for images below 225
pixels and 1. from there on. Its accuracies are those of the checkpoint that a file was
converted from, as who trained it published them at the row's size (tensorflow/tpu
`models/official/efficientnet`, google/automl `efficientnetv2`, timm's
`results-imagenet.csv`, torchvision). Some files of kecam are not what their names say:

- `efficientnetv1-b*-imagenet.h5` are the AdvProp checkpoints.
- `efficientnetv1-l2-noisy_student.h5` is taken for the one for 475 pixels, for
  kecam's converter knows no other; its documentation says 800.
- `efficientnetedgetpu-*.h5` are timm's own trainings, not Google's: kecam builds their
  networks with PyTorch's padding and epsilon, as timm does.
"""

import csv
import dataclasses
import functools
import importlib.resources
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

from keras_effnet.errors import InputError
from keras_effnet.errors import suggest
from keras_effnet.rule import NORMALIZATIONS
from keras_effnet.rule import Preprocessing
from keras_effnet.rule import at_size
from keras_effnet.specs import get_spec


@dataclasses.dataclass(frozen=True)
class Source:
    """Who publishes weights: the URL that the table's addresses are relative to, that
    of the page that describes them, their SPDX identifier."""

    base: str
    page: str
    licence: str = "Apache-2.0"


# In order of preference: HDF5 files with a whole hash, which need nothing else to
# be read; PyTorch files with a part of one; checkpoints without, several times as
# large.
SOURCES = {
    "keras": Source(
        "https://storage.googleapis.com/",
        "https://keras.io/api/applications/",
    ),
    "kecam": Source(
        "https://github.com/leondgarse/keras_efficientnet_v2/releases/download/",
        "https://github.com/leondgarse/keras_efficientnet_v2",
    ),
    "qubvel": Source(
        "https://github.com/",
        "https://github.com/qubvel/efficientnet",
    ),
    "lite-keras": Source(
        "https://github.com/sebastian-sz/efficientnet-lite-keras/releases/download/v1.0/",
        "https://github.com/sebastian-sz/efficientnet-lite-keras",
    ),
    "timm": Source(
        "https://github.com/rwightman/pytorch-image-models/releases/download/",
        "https://github.com/huggingface/pytorch-image-models",
    ),
    "torchvision": Source(
        "https://download.pytorch.org/models/",
        "https://docs.pytorch.org/vision/stable/models.html",
        "BSD-3-Clause",
    ),
    "google": Source(
        "https://storage.googleapis.com/cloud-tpu-checkpoints/efficientnet/",
        "https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet",
    ),
}

_GOOGLE_V2_PAGE = "https://github.com/google/automl/tree/master/efficientnetv2"

_FORMATS = {
    ".h5": "h5",
    ".tar.gz": "tf-checkpoint",
    ".tgz": "tf-checkpoint",
    ".pth": "pytorch",
    ".safetensors": "safetensors",
}


@dataclasses.dataclass(frozen=True)
class WeightSet:
    """One published file.

    Attributes:
        model: The network's constructor, `"EfficientNetB0"`.
        name: The set, `"noisy-student"`: what it was trained on, and how.
        source: A key of `SOURCES`.
        url: Where the file lies.
        format: `"h5"`, `"tf-checkpoint"`, `"pytorch"` or `"safetensors"`.
        hash: `"md5:..."` or `"sha256:..."` in hexadecimal digits, the latter
            whole or the first 8 or more of them; empty where none is published.
        include_top: Whether the classifier is in it.
        classes: Of the classifier, 0 without one.
        image_size: Height and width at evaluation, in pixels.
        preprocessing: The `Preprocessing` that it is evaluated with at `image_size`.
        padding: `"same"` or `"symmetric"`, and
        bn_epsilon: what every BatchNormalization adds, of the network that it was
            trained in; see `keras_effnet.build_model`.
        top1: Published top-1 accuracy on ImageNet's validation set, percent, or
            `None`.
        licence: An SPDX identifier.
        page: Where the publisher describes it, a URL.
    """

    model: str
    name: str
    source: str
    url: str
    format: str
    hash: str
    include_top: bool
    classes: int
    image_size: int
    preprocessing: Preprocessing
    padding: str
    bn_epsilon: float
    top1: float | None
    licence: str
    page: str

    @property
    def file(self) -> str:
        """The last part of the address; files of two sets may share it."""
        return self.url.rsplit("/", 1)[-1]


@functools.cache
def published() -> tuple[WeightSet, ...]:
    """Every published file, a tuple of `WeightSet`, network by network."""
    table = importlib.resources.files("keras_effnet.weights") / "published.csv"
    rows = csv.DictReader(table.read_text(encoding="utf-8").splitlines())
    return tuple(_weight_set(row) for row in rows)


def _weight_set(row: dict[str, str]) -> WeightSet:
    source = SOURCES[row["source"]]
    file = row["file"]
    return WeightSet(
        model=row["model"],
        name=row["set"],
        source=row["source"],
        url=file if file.startswith("https://") else source.base + file,
        format=next(f for suffix, f in _FORMATS.items() if file.endswith(suffix)),
        hash=row["hash"],
        include_top=row["top"] == "yes",
        classes=int(row["classes"]),
        image_size=int(row["size"]),
        preprocessing=_preprocessing(row),
        padding=row["padding"],
        bn_epsilon=float(row["bn_epsilon"]),
        top1=float(row["top1"]) if row["top1"] else None,
        licence=source.licence,
        page=_GOOGLE_V2_PAGE if file.startswith("v2/") else source.page,
    )


def _preprocessing(row: dict[str, str]) -> Preprocessing:
    fractions = "." in row["crop"]
    crops = []
    for step in row["crop"].split():
        least, _, crop = step.rpartition(":")
        number = float(crop) if fractions else None if crop == "whole" else int(crop)
        crops.append((int(least or 0), number))
    own: dict[str, Any] = {
        "crop_fraction" if fractions else "crop_padding": crops[0][1]
    }
    if len(crops) > 1:
        own["crops"] = tuple(crops)
    mean, std = NORMALIZATIONS[row["normalization"]]
    return at_size(
        Preprocessing(mean, std, row["interpolation"], **own), int(row["size"])
    )


def select(
    model: str | None = None, name: str | None = None, source: str | None = None
) -> Sequence[WeightSet]:
    """The published files, maybe none, of a network as `keras_effnet.specs.get_spec`
    takes it, a set, `"noisy-student"`, and a key of `SOURCES`; `None` stands for
    all."""
    rows: Sequence[WeightSet] = published()
    if model:
        found = get_spec(model).name
        rows = [row for row in rows if row.model == found]
    for what, field, wanted in (("set", "name", name), ("source", "source", source)):
        valid = list(dict.fromkeys(getattr(row, field) for row in published()))
        if wanted and wanted not in valid:
            raise InputError(
                f"No {what} has this name. {suggest(wanted, valid)}The {what}s are: "
                f"{', '.join(valid)}. Received: {wanted!r}"
            )
        rows = [row for row in rows if wanted in (None, getattr(row, field))]
    return rows


def summary(rows: Sequence[WeightSet]) -> Iterator[tuple[str, str, str, str, list]]:
    """What the files of each set have in common: `(model, name, top1, classes,
    members)`, the published accuracy in percent as text, empty where there is none; the
    class counts joined by `/`; the set's files."""
    sets: dict[tuple[str, str], list[WeightSet]] = {}
    for row in rows:
        sets.setdefault((row.model, row.name), []).append(row)
    for (model, name), members in sets.items():
        top1 = next((f"{row.top1:.1f}" for row in members if row.top1), "")
        classes = dict.fromkeys(str(row.classes) for row in members if row.classes)
        yield model, name, top1, "/".join(classes), members


def sets_of(model_name: str) -> tuple[str, ...]:
    """The names of a network's published sets, a tuple, in the table's order."""
    return tuple(dict.fromkeys(row.name for row in _rows_of(model_name)))


def find(model_name: str, weights: str, include_top: bool = True) -> list[WeightSet]:
    """The files of one set of a network, never none, in the order of `SOURCES`.

    `weights` is `"noisy-student"`, or `"noisy-student@timm"` to name the source, in any
    case, with `_` or `-`. Files without a classifier are left out with `include_top`,
    and preferred, within a source, without it.
    """
    rows = _rows_of(model_name)
    if not rows:
        raise InputError(
            f"No weights are published for the network {str(model_name)!r}: its "
            f"`weights` are None or the path of a file. Received: weights={weights!r}"
        )
    name, at, source = str(weights).lower().replace("_", "-").partition("@")
    found = [r for r in rows if r.name == name and (not at or r.source == source)]
    if not found:
        raise InputError(_no_such_set(rows, name, source, weights))
    if include_top:
        return [row for row in found if row.include_top]
    order = list(SOURCES)
    return sorted(found, key=lambda row: (order.index(row.source), row.include_top))


def _rows_of(model_name: str) -> list[WeightSet]:
    try:
        model = get_spec(model_name).name
    except InputError:
        return []
    return [row for row in published() if row.model == model]


def _no_such_set(rows: Sequence, name: str, source: str, weights: str) -> str:
    sources: dict[str, dict[str, None]] = {}
    for row in rows:
        sources.setdefault(row.name, {})[row.source] = None
    near = suggest(source, sources[name]) if name in sources else suggest(name, sources)
    available = ", ".join(f"{key} ({' | '.join(s)})" for key, s in sources.items())
    return (
        f"{rows[0].model} has no such weights. {near}Its published sets, with their "
        f"sources, are: {available}. Received: weights={weights!r}"
    )
