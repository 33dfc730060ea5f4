"""A SavedModel as TensorFlow Serving expects it: from batches, or from encoded
photographs."""

import json
import os
import pathlib
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_effnet import files
from keras_effnet import made_with
from keras_effnet import saving
from keras_effnet.class_names import check_names
from keras_effnet.data.augment import crop_as_pillow
from keras_effnet.errors import InputError
from keras_effnet.evaluation import KerasClassifier
from keras_effnet.evaluation import SavedModelClassifier
from keras_effnet.export import tracing
from keras_effnet.export.tracing import INPUT_NAME
from keras_effnet.export.tracing import OUTPUT_NAME
from keras_effnet.quiet import native_stderr_held_back
from keras_effnet.rule import Preprocessing

BYTES_NAME = "image_bytes"
# The orientation entry of a TIFF header's first directory, in both byte orders:
# tag 0x0112, type 3 (SHORT), count 1, value. `\C` is any byte to RE2.
_DIRECTORY = r"(?s)\C*?(?:Exif\x00\x00|eXIf)%s\C\C(?:\C{12}){0,40}?%s\C*"
_ORIENTATIONS = (
    _DIRECTORY
    % (r"MM\x00\*\x00\x00\x00\x08", r"\x01\x12\x00\x03\x00\x00\x00\x01\x00(%s)"),
    _DIRECTORY
    % (r"II\*\x00\x08\x00\x00\x00", r"\x12\x01\x03\x00\x01\x00\x00\x00(%s)\x00"),
)


def write_saved_model(
    model: keras.Model,
    folder: str | os.PathLike,
    class_names: Sequence[str] | None = None,
    version: int | None = 1,
) -> pathlib.Path:
    """Writes a SavedModel with three signatures, in a numbered folder.

    TensorFlow Serving takes the folder above the numbers (`--model_base_path`)
    and serves the highest; `tf.saved_model.load` takes the numbered one.

    - `serving_default`: `images`, float32 `(batch, height, width, channels)`, as
      the model takes them, to `probabilities`, `(batch, classes)`.
    - `serving_uint8`: the same from 0-255 pixels, uint8; a model without
      preprocessing gets them normalised.
    - `serving_bytes`: `image_bytes`, a string per photograph, JPEG or PNG of any
      size, turned upright, cropped and resized as belongs to the weights, to
      `classes` and `probabilities`, `(batch,)`, the name of the most probable
      class and its probability, and `top_classes` and `top_probabilities`,
      `(batch, 5)`, the most probable first. In JSON a photograph is
      `{"b64": "..."}`. A damaged one fails its request.

    A model that ends in logits gives logits as `probabilities`.

    Args:
        model: A functional `keras.Model` with one image input of a fixed size,
            1 or 3 channels, and one output, `(batch, classes)`.
        folder: Where to write, with other versions or none yet.
        class_names: Names in order; when `None` the model's, else the indices.
        version: A whole number, the name of the folder inside; `None` takes the one
            after the highest that is there.

    Returns:
        The `pathlib.Path` of the numbered folder. It appears when it is whole.

    Raises:
        InputError: The model is no such classifier, the names are not as many as
            its classes, or the version already exists.
    """
    target = _target(folder, version)
    _check_classifier(model)
    classifier = KerasClassifier(model)
    if class_names is None:
        class_names = classifier.class_names
    names = list(class_names or map(str, range(classifier.classes)))
    check_names(names, classifier.classes)
    rule = classifier.preprocessing.for_channels(classifier.input_shape[-1])
    described = {
        "name": model.name,
        "preprocessing": saving.as_json(rule),
        "class_names": None if class_names is None else list(class_names),
        "made_with": made_with.as_text(classifier.made_with),
    }
    # Beside the folder of versions, which a server watches.
    with files.replacing_folder(target, target.parent.parent) as temporary:
        with native_stderr_held_back():
            _archive(tracing.in_float32(model), rule, names).write_out(
                str(temporary),
                options=tf.saved_model.SaveOptions(experimental_custom_gradients=False),
                verbose=False,
            )
        sidecar = temporary / SavedModelClassifier.SIDECAR
        sidecar.parent.mkdir()
        sidecar.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    return target


def _target(folder: str | os.PathLike, version: int | None) -> pathlib.Path:
    if version is None:
        there = (path.name for path in pathlib.Path(folder).glob("*"))
        version = 1 + max((int(name) for name in there if name.isdecimal()), default=0)
    if not (isinstance(version, int) and version >= 0):
        raise InputError(
            "`version` must be a whole number from 0, as TensorFlow Serving counts. "
            f"Received: version={version!r}"
        )
    target = pathlib.Path(folder) / str(version)
    if target.exists():
        raise InputError(
            "This version already exists; another has another number. "
            f"Received: {str(target)!r}"
        )
    return target


def _check_classifier(model: keras.Model) -> None:
    tracing.check(model)
    shape = model.inputs[0].shape
    if shape[-1] not in (1, 3):
        raise InputError(
            "Photographs have 1 or 3 channels, and so must the model's input. "
            f"Received: input shape {tuple(shape)}"
        )


def _archive(
    model: keras.Model, rule: Preprocessing, names: Sequence[str]
) -> keras.export.ExportArchive:
    """A `keras.export.ExportArchive` with the three signatures."""
    shape = model.inputs[0].shape[1:]
    archive = keras.export.ExportArchive()
    archive.track(model)

    def from_float(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {OUTPUT_NAME: keras.tree.flatten(model(images, training=False))[0]}

    floats = tf.TensorSpec((None, *shape), tf.float32, INPUT_NAME)
    predict = archive.add_endpoint("serving_default", from_float, [floats])

    def from_uint8(images: tf.Tensor) -> dict[str, tf.Tensor]:
        pixels = tf.cast(images, tf.float32)
        if not rule.included:
            mean, std = np.array([rule.mean, rule.std], "float32")
            pixels = (pixels - mean) / std
        return predict(pixels)

    pixels = tf.TensorSpec((None, *shape), tf.uint8, INPUT_NAME)
    archive.add_endpoint("serving_uint8", from_uint8, [pixels])

    def from_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        images = tf.map_fn(
            lambda image: decode_and_crop(image, shape, rule),
            image_bytes,
            fn_output_signature=tf.TensorSpec(shape, tf.uint8),
        )
        probabilities = from_uint8(images)[OUTPUT_NAME]
        if probabilities.shape[1] == 1:
            probabilities = tf.concat([1 - probabilities, probabilities], 1)
        top, indices = tf.math.top_k(probabilities, min(5, len(names)))
        classes = tf.gather(tf.constant(names), indices)
        return {
            "classes": classes[:, 0],
            "probabilities": top[:, 0],
            "top_classes": classes,
            "top_probabilities": top,
        }

    encoded = tf.TensorSpec((None,), tf.string, BYTES_NAME)
    archive.add_endpoint("serving_bytes", from_bytes, [encoded])
    return archive


def decode_and_crop(
    image: tf.Tensor, shape: tuple[int, int, int], rule: Preprocessing
) -> tf.Tensor:
    """One encoded photograph as `keras_effnet.data.photos` would read and crop it.

    In TensorFlow's operations, but equal to Pillow's to the last bit or so: the
    accurate inverse DCT, and `crop_as_pillow`. From a scalar string tensor, JPEG or
    PNG, to uint8 `(height, width, channels)`, 1 or 3 channels.
    """
    height, width, channels = shape
    pixels = tf.io.decode_jpeg(image, channels=3, dct_method="INTEGER_ACCURATE")
    pixels = _upright(tf.ensure_shape(pixels, (None, None, 3)), image)
    if channels == 1:
        # ITU-R 601 in Pillow's integers.
        luma = tf.cast(pixels, tf.int32) * [19595, 38470, 7471]
        luma = (tf.reduce_sum(luma, -1, keepdims=True) + 0x8000) // 0x10000
        pixels = tf.cast(luma, tf.uint8)
    return crop_as_pillow(pixels, (height, width), rule)


def _upright(pixels: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
    """Turned as its EXIF orientation says, 2-8 of the EXIF standard."""
    head = tf.strings.substr(image, 0, 1 << 17)

    def is_one_of(values: str) -> tf.Tensor:
        found = [
            tf.strings.regex_full_match(head, pattern % rf"[{values}]")
            for pattern in _ORIENTATIONS
        ]
        return found[0] | found[1]

    pixels = tf.cond(
        is_one_of(r"\x05-\x08"),
        lambda: tf.transpose(pixels, (1, 0, 2)),
        lambda: pixels,
    )
    vertical = tf.where(is_one_of(r"\x03\x04\x07\x08"), -1, 1)
    horizontal = tf.where(is_one_of(r"\x02\x03\x06\x07"), -1, 1)
    return pixels[::vertical, ::horizontal]
