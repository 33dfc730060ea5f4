"""Weights of the Hugging Face hub: timm's repositories, there or in a folder.

A repository's `config.json`, as timm writes it, says what its weights are: the network,
the pixels that it takes, the names of its classes. That is believed.
"""

import dataclasses
import os
import pathlib
import re
from typing import Any

from keras_effnet import files
from keras_effnet import notes
from keras_effnet.class_names import imagenet_names
from keras_effnet.errors import InputError
from keras_effnet.errors import explained
from keras_effnet.rule import INTERPOLATIONS
from keras_effnet.rule import Preprocessing
from keras_effnet.specs import SPECS
from keras_effnet.specs import get_spec
from keras_effnet.weights import store
from keras_effnet.weights.convention import of_architecture
from keras_effnet.weights.table import WeightSet

SCHEME = "hf://"
# No name or revision may lead out of its place in the cache.
_NAME = r"[\w-][\w.-]*"
_ADDRESS = re.compile(rf"hf://({_NAME}/{_NAME})(?:@({_NAME}(?:/{_NAME})*))?")
_SITE = "https://huggingface.co/"
_CONFIG = "config.json"
_WEIGHTS = "model.safetensors"


def is_address(weights: object) -> bool:
    """Whether a value for `weights` names a repository, `"hf://OWNER/NAME"`, or a
    folder that holds one."""
    text = os.fspath(weights) if isinstance(weights, os.PathLike) else weights
    if not isinstance(text, str):
        return False
    return text.startswith(SCHEME) or os.path.isfile(os.path.join(text, _CONFIG))


def describe(
    address: str | os.PathLike, model_name: str = ""
) -> tuple[WeightSet, tuple[str, ...] | None]:
    """What a repository's `config.json`, downloaded if it is not there yet, says.

    Args:
        address: `"hf://OWNER/NAME"`, `"hf://OWNER/NAME@REVISION"`, or a folder.
        model_name: The network that is wanted; any where it is that of none.

    Returns:
        `(weights, names)`: the `WeightSet` that they are, and the names of its classes,
        a tuple, or `None`.

    Raises:
        InputError: There is none, or it holds none of the 26 networks as timm has them,
            or another than is wanted.
    """
    text = os.fspath(address)
    if not text.startswith(SCHEME):
        found, names = _described(pathlib.Path(text, _CONFIG), text, "")
    else:
        match = _ADDRESS.fullmatch(text)
        if not match:
            raise InputError(
                "A repository of the hub is named hf://OWNER/NAME, or "
                f"hf://OWNER/NAME@REVISION. Received: {text!r}"
            )
        base = f"{_SITE}{match[1]}/resolve/{match[2] or 'main'}/"
        config = store.fetch(_file(text, base + _CONFIG), progress=False)
        found, names = _described(config, text, base)
    try:
        wanted = get_spec(model_name).name
    except InputError:
        return found, names  # of a network of the user's own
    if wanted != found.model:
        raise InputError(
            f"The repository holds weights of {found.model}, not of {wanted}. "
            f"Received: weights={text!r}"
        )
    return found, names


def fetch(
    address: str | os.PathLike, found: WeightSet, progress: bool = True
) -> pathlib.Path:
    """The weights file that `describe` found, downloaded if it is not there yet."""
    if os.fspath(address).startswith(SCHEME):
        return store.fetch(found, progress)
    paths = [pathlib.Path(address, n) for n in (_WEIGHTS, "pytorch_model.bin")]
    return next((path for path in paths if path.is_file()), paths[0])


def _file(address: str, url: str) -> WeightSet:
    """A file of a repository of which no more is known."""
    return WeightSet(
        model="",
        name=address,
        source="huggingface",
        url=url,
        format="safetensors",
        hash="",
        include_top=True,
        classes=0,
        image_size=0,
        preprocessing=Preprocessing((0.0,), (1.0,)),
        padding="",
        bn_epsilon=0.0,
        top1=None,
        licence="",
        page="",
    )


def _described(
    config: pathlib.Path, address: str, base: str
) -> tuple[WeightSet, tuple[str, ...] | None]:
    message = (
        f"Its {_CONFIG} is none of timm's, with `architecture`, `num_classes` and "
        "`pretrained_cfg`: {}."
    )
    with explained(message, address):
        told = files.parse_json(files.read_bytes(config, files.JSON_LIMIT))
        architecture = str(told.get("architecture"))
        model = _NETWORKS.get(architecture.removeprefix("tf_").removesuffix("_pruned"))
        convention = of_architecture(architecture)
        if model is None or convention is None:
            raise InputError(
                f"Its architecture is {architecture}, and the networks here are timm's "
                f"{', '.join(_NETWORKS)}, and the same with tf_ before it."
            )
        rule, size = _rule(told["pretrained_cfg"])
        classes = int(told["num_classes"])
        found = dataclasses.replace(
            _file(address, base + _WEIGHTS),
            model=model,
            classes=classes,
            image_size=size,
            preprocessing=rule,
            licence=str(told["pretrained_cfg"].get("license", "")),
            page=base.partition("/resolve/")[0],
            **convention.options,
        )
        names = told.get("label_names")
        if names is None and str(told["pretrained_cfg"].get("tag")).endswith("in1k"):
            names = imagenet_names()
        names = tuple(map(str, names)) if names and len(names) == classes else None
        return found, names


def _rule(told: dict[str, Any]) -> tuple[Preprocessing, int]:
    """What timm's `pretrained_cfg` says of pixels, and the size at evaluation."""
    sizes = [told["input_size"][-1], told.get("test_input_size", (0,))[-1]]
    crops = [told.get("crop_pct", 0.875), told.get("test_crop_pct")]
    interpolation = told.get("interpolation", "bicubic")
    if interpolation not in INTERPOLATIONS:
        notes.note(f"photographs are resized bicubic, and not {interpolation}")
        interpolation = "bicubic"
    trained = int(sizes[0]), float(crops[0])
    evaluated = int(sizes[1]) or trained[0], float(crops[1] or trained[1])
    above = ((trained[0] + 1, evaluated[1]),) if trained != evaluated else ()
    whole = told.get("crop_mode") == "squash"
    rule = Preprocessing(
        mean=tuple(255 * float(value) for value in told["mean"]),
        std=tuple(255 * float(value) for value in told["std"]),
        interpolation=interpolation,
        crop_padding=None if whole else 32,
        crop_fraction=None if whole else trained[1],
        crops=() if whole else above and ((0, trained[1]), *above),
    )
    return rule, evaluated[0]


def _architecture(network: str) -> str:
    """What timm calls a network, `"efficientnet_es"` for `"EfficientNetEdgeTPUS"`."""
    part = network.removeprefix("EfficientNet").lower()
    if part.startswith("v2"):
        return f"efficientnetv2_{part[2:]}"
    return f"efficientnet_{part.replace('edgetpu', 'e')}"


_NETWORKS = {_architecture(network): network for network in SPECS}
