"""TFRecord files with ImageNet's feature names, written."""

import io
import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_effnet import files
from keras_effnet.data.record_files import CLASSES_FILE
from keras_effnet.data.source import Source
from keras_effnet.errors import InputError
from keras_effnet.progress import bar
from keras_effnet.progress import silent

_SHARD_BYTES = 128 * 2**20


def write_records(
    sources: dict[str, Source],
    folder: str | os.PathLike,
    name: str = "images",
    shards: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> pathlib.Path:
    """Writes images to TFRecord files, mixed, so that any part has all classes.

    Encoded images are copied as they are; arrays, and formats that only Pillow
    decodes, are written as PNG.

    Args:
        sources: A dict of `Source` by split (`"train"`, `"validation"`), all with
            the same classes.
        folder: To make; it appears when everything is written.
        name: The files' names begin with it: `NAME-train-00000-of-00004.tfrecord`.
        shards: Files of each split; `None` for files of about 128 MB.
        progress: Called with a line of text at the start; a bar counts the images.
            `None` for silence.

    Returns:
        A `pathlib.Path` of the folder.

    Raises:
        InputError: The folder exists and is not empty, or can't be written, or the
            splits have other classes.
    """
    folder = pathlib.Path(folder)
    class_names = next(iter(sources.values())).class_names
    if any(source.class_names != class_names for source in sources.values()):
        raise InputError(
            "All splits must have the same classes. Received: "
            f"{[source.class_names for source in sources.values()]}"
        )
    if shards is not None and shards < 1:
        raise InputError(f"`shards` must be at least 1. Received: {shards}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"The folder to write must be new or empty. Received: {str(folder)!r}"
        )
    total = sum(source.count for source in sources.values())
    (progress or silent)(f"writing {total} images")
    try:
        with (
            files.replacing_folder(folder) as temporary,
            bar(name="writing", unit="image", total=total, shown=progress) as written,
        ):
            for split, source in sources.items():
                _write_split(
                    source,
                    temporary,
                    f"{name}-{split}",
                    shards or max(1, -(-int(source.sizes.sum()) // _SHARD_BYTES)),
                    written,
                )
            counts = {split: source.count for split, source in sources.items()}
            content = {"classes": list(class_names), "splits": counts}
            text = json.dumps(content, indent=1)
            (temporary / CLASSES_FILE).write_text(text, encoding="utf-8")
    except tf.errors.OpError as error:
        raise InputError(
            f"The records can't be written: {error}. Received: {str(folder)!r}"
        ) from error
    return folder


def _write_split(
    source: Source, folder: pathlib.Path, stem: str, shards: int, written: Any
) -> None:
    paths = [folder / f"{stem}-{i:05d}-of-{shards:05d}.tfrecord" for i in range(shards)]
    writers = [tf.io.TFRecordWriter(str(path)) for path in paths]
    try:
        examples = source.dataset(order_seed=0).as_numpy_iterator()
        for i, example in enumerate(examples):
            record = _example(example, source.class_names)
            writers[i * shards // source.count].write(record.SerializeToString())
            written.update()
    finally:
        for writer in writers:
            writer.close()


def _example(example: dict, class_names: tuple[str, ...]) -> tf.train.Example:
    data, image_format = _encoded(example["image"])
    label = int(example["label"])
    return tf.train.Example(
        features=tf.train.Features(
            feature={
                "image/encoded": _bytes(data),
                "image/format": _bytes(image_format),
                "image/class/label": tf.train.Feature(
                    int64_list=tf.train.Int64List(value=[label])
                ),
                "image/class/text": _bytes(class_names[label].encode()),
                "image/filename": _bytes(example["key"]),
            }
        )
    )


def _bytes(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _encoded(image: np.ndarray | bytes) -> tuple[bytes, bytes]:
    if isinstance(image, np.ndarray):
        picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    elif image.startswith(b"BM"):
        picture = Image.open(io.BytesIO(image), formats=("BMP",))
    else:
        return image, b"png" if image.startswith(b"\x89PNG") else b"jpeg"
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue(), b"png"
