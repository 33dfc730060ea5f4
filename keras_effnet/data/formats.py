"""Every kind of labelled images behind one door, wherever they lie."""

import contextlib
import os
import pathlib
from collections.abc import Callable
from typing import Any

from keras_effnet.data import finding
from keras_effnet.data import idx
from keras_effnet.data import record_files
from keras_effnet.data.folder import FolderData
from keras_effnet.data.folder import ListData
from keras_effnet.data.source import Source
from keras_effnet.data.tfds_source import TfdsData
from keras_effnet.errors import InputError
from keras_effnet.errors import suggest

_KINDS = (
    "a folder of class folders, TFRecord files or MNIST IDX files, a list of "
    "photographs with their labels (.csv, .tsv, .jsonl), 'tfds:NAME', or 'digits'"
)


def find_data(
    text: str | os.PathLike, data_dir: str | os.PathLike | None = None
) -> Any:
    """What lies behind a name, before any image is read; as `open_source`.

    An object with `splits`, a tuple of names, and `open(split, like, on_broken, cache,
    progress)`, which gives a `Source`; `like` is a `Source` whose classes it shall
    have.
    """
    if text == "digits":
        return idx.DigitsData()
    if str(text).startswith("tfds:"):
        return TfdsData(str(text), data_dir)
    path = pathlib.Path(text).expanduser()
    is_folder = path.is_dir()
    if is_folder and idx.find_files(path):
        return idx.IdxData(path)
    if is_folder and (path / "dataset_info.json").is_file():
        raise InputError(
            "The folder was prepared by TensorFlow Datasets. "
            f"Did you mean 'tfds:{path}'? Received: {str(text)!r}"
        )
    if record_files.find_files(path):
        return record_files.RecordData(path)
    if is_folder:
        return FolderData(path)
    if path.is_file() and finding.is_list(path):
        return ListData(path)
    raise InputError(
        f"There is no such data: it is {_KINDS}. "
        f"{suggest(text, ['digits', *_neighbours(path)])}Received: {str(text)!r}"
    )


def _neighbours(path: pathlib.Path) -> list[str]:
    with contextlib.suppress(OSError):
        return [
            str(p) for p in path.parent.iterdir() if p.is_dir() or finding.is_list(p)
        ]
    return []


def open_source(
    text: str | os.PathLike,
    split: str | None = None,
    data_dir: str | os.PathLike | None = None,
    on_broken: str = "skip",
    cache: str | os.PathLike | None = None,
    progress: Callable[[str], None] | None = None,
) -> Source:
    """Opens labelled images.

    Every image is looked at once: that gives exact counts and finds the broken
    ones before a training starts.

    Args:
        text: One of: a folder of class folders, or of `train` and `validation`
            (`val`, `valid`, `test`) folders of such; a list of photographs, as
            `keras_effnet.data.finding.read_list` reads it; a folder or a pattern of
            TFRecord files with ImageNet's feature names; a folder of MNIST's IDX
            files; `"tfds:NAME"` or `"tfds:NAME/CONFIG"` of TensorFlow Datasets, or
            `"tfds:FOLDER"` of a prepared dataset or of a `tfds.ImageFolder`;
            `"digits"` for those of scikit-learn.
        split: Name of a split; TFDS also takes its own syntax, `"train[:80%]"`.
            `None` for `train`, or for all images of data without splits.
        data_dir: Where TFDS keeps its data.
        on_broken: `"skip"` leaves images that can't be decoded out, with one
            warning; `"fail"` ends at them.
        cache: Folder that keeps what was found, so that files that haven't changed
            aren't looked at again, or `None`. The command line's is
            `keras_effnet.data.cached.default_folder()`.
        progress: Called with a line of text before every image is looked at; a bar
            counts them. `None` for silence.

    Returns:
        A `Source`.

    Raises:
        InputError: There is no such data, or it is no classification data.
    """
    return find_data(text, data_dir).open(
        split, on_broken=on_broken, cache=cache, progress=progress
    )
