"""Sample code that runs one very .tflite file, in four languages, and whole apps.

The templates beside this module hold the code; those of an app lie in a folder of its
name as the app's own files will. In them, the lines from `{{#flag}}`
to `{{/flag}}` stand only where the flag holds, and `{{NAME}}` is replaced.
"""

import os
import pathlib
import re
import shutil
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_effnet import files
from keras_effnet.errors import InputError
from keras_effnet.errors import check_one_of
from keras_effnet.export._sample_literals import LITERALS
from keras_effnet.export._sample_literals import in_comment
from keras_effnet.export._sample_literals import one_line
from keras_effnet.rule import Preprocessing
from keras_effnet.tflite import TFLiteModel

NAMES = ("classify.py", "Classifier.kt", "Classifier.swift", "classify.cc")
# Of an app: which of these it has, and the folders of that and of the model.
_APPS = {
    "android-app": (
        "Classifier.kt",
        "app/src/main/kotlin/com/example/classifier",
        "app/src/main/assets",
    ),
    "ios-app": ("Classifier.swift", "Sources", "Resources"),
}
KINDS = ("code", *_APPS)
_TEMPLATES = pathlib.Path(__file__).with_name("templates")
_DTYPES = ("uint8", "int8", "int16", "float32")
_KOTLIN_GET = {
    "uint8": "output.get().toInt() and 255  // Kotlin's bytes are signed",
    "int8": "output.get().toInt()",
    "int16": "output.getShort().toInt()",
    "float32": "",
}
_SECTION = re.compile(r"^\{\{#(\w+)\}\}\n(.*?)^\{\{/\1\}\}\n", re.DOTALL | re.MULTILINE)
_PLACEHOLDER = re.compile(r"\{\{([A-Z_]+)\}\}")


def samples(
    path: str | os.PathLike, model: str | None = None, kind: str = "code"
) -> dict[str, str]:
    """`{file name: text}` of source code that classifies photographs with one .tflite
    file.

    The file has one image input of 1 or 3 channels and one output of probabilities,
    each uint8, int8, int16 or float32. Sizes, types, scales and zero points are its
    own; crop, interpolation and normalisation are its weights', from the .json file
    beside it. `model` is where the Python and the C++ sample find the file, relative to
    themselves; its name when `None`. `kind` is `"code"`, or an app, in whose folders
    the file is `model.tflite`.
    """
    classifier = TFLiteModel(path)
    _check(classifier)
    rule = classifier.preprocessing.for_channels(classifier.input_shape[2])
    flags, values = _flags(classifier, rule), _values(classifier, rule)
    sources = {name: _TEMPLATES / f"{name}.in" for name in NAMES}
    labels, name = "labels.txt", classifier.path.name
    if kind in _APPS:
        source, folder, resources = _APPS[kind]
        own = _TEMPLATES / kind
        sources = {f"{folder}/{source}": sources[source]} | {
            path.relative_to(own).with_suffix("").as_posix(): path
            for path in sorted(own.rglob("*.in"))
        }
        labels, name = f"{resources}/labels.txt", "model.tflite"
    texts = {}
    for target, template in sources.items():
        if literal := LITERALS.get(pathlib.PurePath(target).suffix):
            values["MODEL"] = literal(str(model or name))
            values["MODEL_NAME"] = literal(name)
        texts[target] = _fill(template.read_text(encoding="utf-8"), flags, values)
    texts[labels] = "".join(f"{label}\n" for label in _labels(classifier))
    return texts


def write_samples(
    path: str | os.PathLike,
    folder: str | os.PathLike,
    kinds: str | Sequence[str] = ("code",),
) -> list[pathlib.Path]:
    """Writes the samples of one .tflite file.

    Args:
        path: Of the .tflite file; programs find it where it is, apps get a copy.
        folder: Where they go; files of the same names are replaced.
        kinds: Of `"code"`, a program in each of four languages, and of
            `"android-app"` and `"ios-app"`, projects for Android Studio and Xcode in
            folders of these names.

    Returns:
        A list of `pathlib.Path`.

    Raises:
        InputError: It is no such file, there is no such kind, or the folder can't be
            written to.
    """
    folder = pathlib.Path(folder)
    model = os.path.relpath(pathlib.Path(path).resolve(), folder.resolve())
    written = []
    for kind in checked_kinds(kinds):
        texts = samples(path, pathlib.Path(model).as_posix(), kind)
        into = folder if kind == "code" else folder / kind
        for name, text in texts.items():
            files.write_text(into / name, text)
            written.append(into / name)
        if kind in _APPS:
            written.append(into / _APPS[kind][-1] / "model.tflite")
            with files.replacing(written[-1]) as temporary:
                shutil.copyfile(path, temporary)
    return written


def folder_of(path: pathlib.Path) -> pathlib.Path:
    """Where `export` writes the samples of a file."""
    return path.with_name(f"{path.stem}_samples")


def checked_kinds(kinds: str | Sequence[str]) -> tuple[str, ...]:
    """The kinds of samples that are meant, each once."""
    kinds = (kinds,) if isinstance(kinds, str) else kinds
    for kind in kinds:
        check_one_of("samples", kind, KINDS)
    return tuple(dict.fromkeys(kinds))


def _check(classifier: TFLiteModel) -> None:
    channels = classifier.input_shape[2]
    if channels not in (1, 3):
        raise InputError(
            "Samples read photographs, which have 1 or 3 channels. "
            f"Received: {channels} channels in {str(classifier.path)!r}"
        )
    if classifier.output["shape"][1] == 1 and classifier.has_logits:
        raise InputError(
            "One output must be a probability, of a sigmoid. "
            f"Received: a number without one in {str(classifier.path)!r}"
        )
    for details in (classifier.input, classifier.output):
        dtype = np.dtype(details["dtype"]).name
        if dtype not in _DTYPES:
            raise InputError(
                f"Samples know tensors of {', '.join(_DTYPES)}. "
                f"Received: {dtype} in {str(classifier.path)!r}"
            )
        if dtype != "float32" and not details["quantization"][0]:
            raise InputError(
                "An integer tensor must have a scale and a zero point. "
                f"Received: {dtype} without them in {str(classifier.path)!r}"
            )


def _flags(classifier: TFLiteModel, rule: Preprocessing) -> set[str]:
    """The names of the templates' sections that stand."""
    grey = classifier.input_shape[2] == 1
    flags = {
        rule.interpolation,
        "whole" if rule.whole else "crop" if rule.crop_fraction is None else "resized",
        "raw" if rule.included else "normalized",
        "logits" if classifier.has_logits else "probabilities",
        "grey" if grey else "color",
    }
    for side, details in (("input", classifier.input), ("output", classifier.output)):
        flags.add(f"{'integer' if _is_integer(details) else 'float'}_{side}")
    if flags & {"integer_input", "resized"}:
        flags.add("rounding")
    if -1 in classifier.input["shape_signature"]:
        flags.add("dynamic")
    elif classifier.input["shape"][0] > 1:
        flags.add("batched")
    return flags


def _values(classifier: TFLiteModel, rule: Preprocessing) -> dict[str, Any]:
    """What the templates' placeholders become."""
    height, width, channels = classifier.input_shape
    longest = max(height, width)
    one_byte = np.dtype(classifier.input["dtype"]).itemsize == 1
    # NumPy divides uint8 pixels in float64 and float32 values in float32.
    double = rule.included and _is_integer(classifier.input)
    inputs, outputs = (
        f"({', '.join(map(str, details['shape']))}) {np.dtype(details['dtype']).name}"
        for details in (classifier.input, classifier.output)
    )
    return {
        "NAME": in_comment(classifier.path.name),
        "TENSORS": f"{inputs} in, {outputs} out",
        "BATCH": int(classifier.input["shape"][0]),
        "HEIGHT": height,
        "WIDTH": width,
        "CHANNELS": channels,
        "CLASSES": int(classifier.output["shape"][1]),
        "RESIZED_HEIGHT": rule.resized((height, width))[0],
        "RESIZED_WIDTH": rule.resized((height, width))[1],
        "CROP_FRACTION": longest / (longest + (rule.crop_padding or 0)),
        "INTERPOLATION": rule.interpolation,
        "INTERPOLATION_UPPER": rule.interpolation.upper(),
        "SUPPORT": {"bicubic": 2.0, "bilinear": 1.0}[rule.interpolation],
        "MODE": "RGB" if channels == 3 else "L",
        "PNM": "PPM (P6)" if channels == 3 else "PGM (P5)",
        "PNM_MAGIC": "P6" if channels == 3 else "P5",
        "PNM_SUFFIX": "ppm" if channels == 3 else "pgm",
        "REAL_C": "double" if double else "float",
        "REAL_SWIFT": "Double" if double else "Float",
        "PUT_KT": "put" if one_byte else "putShort",
        "TO_KT": "toByte" if one_byte else "toShort",
        "GET_KT": _KOTLIN_GET[np.dtype(classifier.output["dtype"]).name],
        **_numbers("MEAN", rule.mean, channels),
        **_numbers("STD", rule.std, channels),
        **_tensor("INPUT", classifier.input, classifier.takes_pixels),
        **_tensor("OUTPUT", classifier.output),
        "SCALE_SUFFIX": "" if double else "f",
        "PIXEL_KT": "pixel" if double else "pixel.toFloat()",
    }


def _numbers(name: str, numbers: Sequence[float], channels: int) -> dict[str, str]:
    """One for each channel, as a list of each language has them."""
    numbers = np.broadcast_to(numbers, channels).tolist()
    plain = ", ".join(map(repr, numbers))
    floats = ", ".join(f"{number!r}f" for number in numbers)
    return {name: plain, f"{name}_LIST": f"[{plain}]", f"{name}_F": floats}


def _tensor(side: str, details: Mapping, takes_pixels: bool = False) -> dict[str, Any]:
    dtype = np.dtype(details["dtype"])
    scale, zero_point = details["quantization"]
    integer = _is_integer(details)
    limits: Any = np.iinfo(dtype) if integer else None
    if takes_pixels and integer and dtype.itemsize == 1:
        # What the tensor's own say beyond that, the mean, is for the network alone.
        scale, zero_point = 1.0, limits.min
    return {
        f"{side}_DTYPE": dtype.name,
        f"{side}_BYTES": dtype.itemsize,
        f"{side}_C": f"{dtype.name}_t" if integer else "float",
        f"{side}_SWIFT": {"uint8": "UInt8", "float32": "Float"}.get(
            dtype.name, dtype.name.capitalize()
        ),
        f"{side}_SCALE": repr(float(scale)),
        f"{side}_ZERO_POINT": int(zero_point),
        f"{side}_LOWEST": limits.min if integer else "",
        f"{side}_HIGHEST": limits.max if integer else "",
    }


def _is_integer(details: Mapping) -> bool:
    return np.issubdtype(details["dtype"], np.integer)


def _labels(classifier: TFLiteModel) -> list[str]:
    """One line a class: a name of two lines would shift all that follow."""
    names = classifier.class_names or tuple(
        f"class {index}" for index in range(classifier.classes)
    )
    # One output is the probability of the second class.
    return [one_line(name) for name in names[-int(classifier.output["shape"][1]) :]]


def _fill(template: str, flags: set[str], values: Mapping) -> str:
    def section(match: re.Match) -> str:
        return match[2] if match[1] in flags else ""

    def value(match: re.Match) -> str:
        return str(values[match[1]])

    return _PLACEHOLDER.sub(value, _SECTION.sub(section, template))
