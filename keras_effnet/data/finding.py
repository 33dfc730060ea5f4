"""Photographs in folders and lists: what is found, what it means, what is left out."""

import csv
import io
import math
import os
import pathlib
import re
import unicodedata
from collections.abc import Collection
from collections.abc import Iterable

import numpy as np

from keras_effnet import files
from keras_effnet.data import photos
from keras_effnet.errors import InputError
from keras_effnet.errors import explained
from keras_effnet.notes import note

# What file managers, cameras' cards and archives leave behind; all else of theirs
# begins with a dot.
_FURNITURE = {"@eadir", "__macosx", "__pycache__", "$recycle.bin", "#recycle"}
_FURNITURE |= {"thumbs.db", "desktop.ini"}
_SPLIT = re.compile(
    r"(?:seg[-_ ])?(?:(?P<train>train|training|trn)"
    r"|(?P<validation>validation|valid|val|dev)|(?P<test>test|testing|tst)"
    r"|(?P<predict>predict|prediction|pred|unlabell?ed))(?:[-_ ]?(?:set|data))?",
    re.IGNORECASE,
)
_KINDS = ("train", "validation", "test")
_NAMED = 5
_MOST_LABEL_BYTES = 2**28


def split_kind(name: str) -> str | None:
    """What the usual name of a split means: `"train"`, `"validation"`, `"test"`,
    `"predict"`; `None` for any other name."""
    match = _SPLIT.fullmatch(name)
    return match and match.lastgroup


def splits(folder: str | os.PathLike) -> tuple[str, ...]:
    """The names of the splits in a folder, those with class folders, train first; an
    empty tuple where any folder in it has another name."""
    names, _ = _listing(folder)
    if not all(map(split_kind, names)):
        return ()
    kept = [n for kind in _KINDS for n in names if split_kind(n) == kind]
    return tuple(n for n in kept if _listing(split_folder(folder, n))[0])


def split_folder(folder: str | os.PathLike, name: str) -> pathlib.Path:
    """The path of a split, without the folder of its own name that archives add."""
    return _unwrapped(folder, name, alike=True)


def of_kind(folder: str | os.PathLike, *kinds: str) -> pathlib.Path:
    """A folder itself, or of its splits that of the first kind, which is told."""
    names = splits(folder) if os.path.isdir(folder) else ()
    if not names:
        return pathlib.Path(folder)
    order = [*kinds, *_KINDS]
    chosen = next(n for kind in order for n in names if split_kind(n) == kind)
    note(
        f"{folder} holds the splits {', '.join(names)}, {chosen} is taken; give the "
        "path of another"
    )
    return split_folder(folder, chosen)


def has_classes(source: str | os.PathLike) -> bool:
    """Whether photographs come with their classes: in a CSV file, or a folder of one
    folder per class and not of photographs alone."""
    if not os.path.isdir(source):
        return True
    names, _ = _listing(source)
    return bool(splits(source) or not all(map(split_kind, names)))


def class_folders(folder: str | os.PathLike) -> dict[str, list[pathlib.Path]]:
    """`{class name: paths}` of one folder per class, sorted; what is left out is told.
    A class is called as its folder, in Unicode's composed form. Folders that are
    splits, or hold no photograph or only folders of them, are an `InputError`."""
    folder = pathlib.Path(folder)
    names, loose = _listing(folder)
    if not names:
        raise InputError(
            "The folder must hold one folder of photographs for each class, it has "
            f"no folders. Received: {str(folder)!r}"
        )
    if all(map(split_kind, names)):
        raise InputError(
            "The folder must hold one folder for each class, or splits that do; these "
            f"are splits without class folders: {', '.join(names)}. "
            f"Received: {str(folder)!r}"
        )
    found: dict[str, list[pathlib.Path]] = {}
    empty, deep = [], []
    skipped = [folder / name for name in loose if _is_photo(name)]
    for name in names:
        inside, others = _walked(folder / name, {os.path.realpath(folder)})
        skipped += others
        within = _unwrapped(folder, name)
        if not inside:
            empty.append(name)
        elif all(path.parent != within for path in inside):
            below, _ = _listing(within)
            deep.append(f"{name} ({_listed(below)})")
        found.setdefault(unicodedata.normalize("NFC", name), []).extend(inside)
    if deep:
        raise InputError(
            "Class folders hold photographs; these hold folders alone: "
            f"{_listed(deep)}. Name splits train, validation and test, or give the "
            f"folder that holds the class folders. Received: {str(folder)!r}"
        )
    _tell_skipped(folder, skipped)
    if empty:
        raise InputError(
            "Every class folder must hold photographs "
            f"({', '.join(photos.suffixes())}), these hold none: "
            f"{', '.join(empty)}. Received: {str(folder)!r}"
        )
    return dict(sorted(found.items()))


def find_photos(paths: Iterable[str | os.PathLike]) -> list[pathlib.Path]:
    """All photographs among files and, recursively and sorted, folders; what is left
    out is told, a folder without any is an `InputError`."""
    found = []
    for path in map(pathlib.Path, paths):
        if path.is_dir():
            inside, others = _walked(path)
            _tell_skipped(path, others)
            if not inside:
                raise InputError(
                    "The folder holds no photographs "
                    f"({', '.join(photos.suffixes())}). Received: {str(path)!r}"
                )
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise InputError(
                f"There is no such file or folder. Received: {str(path)!r}"
            )
    return found


def read_labels(path: str | os.PathLike) -> tuple[list[pathlib.Path], np.ndarray]:
    """`(paths, int array)`: which class each photograph belongs to, by a CSV file, of
    commas, semicolons or tabs, with the columns `file`, relative to the CSV's folder,
    and `class_index`."""
    path = pathlib.Path(path)
    message = "The labels can't be read"
    with explained(message, path), files.told(message, path):
        data = files.read_bytes(path, _MOST_LABEL_BYTES)
    rows = _rows(data, path)
    paths, labels = [], []
    for number, row in rows:
        paths.append(path.parent / (row["file"] or ""))
        labels.append(_index(row["class_index"], number, path))
    if not paths:
        raise InputError(f"The labels name no photograph. Received: {str(path)!r}")
    return paths, np.array(labels)


def _rows(data: bytes, path: pathlib.Path) -> list[tuple[int, dict]]:
    """`(line, row)` of each row that is not blank."""
    valid = "Labels are a CSV file with the columns 'file' and 'class_index'"
    try:
        text = data.decode("utf-8-sig")
        head = text.partition("\n")[0]
        delimiter = max(",;\t", key=head.count)
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
        columns = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = columns
        if not {"file", "class_index"} <= set(columns):
            raise InputError(
                f"{valid}, it has: {_listed(map(repr, columns)) or 'nothing'}. "
                f"Received: {str(path)!r}"
            )
        return [(reader.line_num, row) for row in reader if any(row.values())]
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{valid}: {error}. Received: {str(path)!r}") from error


def _index(text: str, line: int, path: pathlib.Path) -> int:
    try:
        value = float(text)
        if not 0 <= value < 2**31 or math.floor(value) != value:
            raise ValueError
    except (TypeError, ValueError) as error:
        raise InputError(
            "'class_index' must be an integer from 0. Received: "
            f"{str(text)[:40]!r} in line {line} of {str(path)!r}"
        ) from error
    return int(value)


def _listing(folder: str | os.PathLike) -> tuple[list[str], list[str]]:
    """`(folders, files)` of a folder, sorted names, without what is hidden."""
    with files.told("The folder can't be read", folder):
        entries = sorted(os.scandir(os.fspath(folder)), key=lambda entry: entry.name)
    found: tuple[list[str], list[str]] = ([], [])
    for entry in entries:
        if entry.name.startswith(".") or entry.name.lower() in _FURNITURE:
            continue
        is_folder = entry.is_dir(follow_symlinks=False) or (
            entry.is_symlink() and os.path.isdir(entry.path)
        )
        found[not is_folder].append(entry.name)
    return found


def _unwrapped(
    folder: str | os.PathLike, name: str, alike: bool = False
) -> pathlib.Path:
    """A folder, or the one in it where it holds nothing else (and is called alike)."""
    folder = pathlib.Path(folder) / name
    above = set()
    while (real := os.path.realpath(folder)) not in above:
        above.add(real)
        names, loose = _listing(folder)
        if len(names) != 1 or any(map(_is_photo, loose)):
            break
        if alike and split_kind(names[0]) is None:
            break
        folder /= names[0]
    return folder


def _walked(
    folder: pathlib.Path, above: Collection[str] = ()
) -> tuple[list[pathlib.Path], list[pathlib.Path]]:
    """`(photographs, other files)` in a folder at any depth, paths in sorted order.
    Links to folders are followed, but not to one that they lie in."""
    real = os.path.realpath(folder)
    if any(path == real or path.startswith(os.path.join(real, "")) for path in above):
        return [], []
    folders, names = map(set, _listing(folder))
    found, others = [], []
    for name in sorted(folders | names):
        path = folder / name
        if name in folders:
            inside, left = _walked(path, {*above, real})
            found += inside
            others += left
        else:
            (found if _is_photo(name) else others).append(path)
    return found, others


def _is_photo(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in photos.suffixes()


def _tell_skipped(folder: pathlib.Path, skipped: list[pathlib.Path]) -> None:
    if skipped:
        heic = any(path.suffix.lower() in (".heic", ".heif") for path in skipped)
        note(
            f"{len(skipped)} {'files are' if len(skipped) > 1 else 'file is'} left out "
            f"below {folder}, no photographs by their names or in no class: "
            f"{_listed(skipped)}"
            + ("; HEIC needs pip install pillow-heif" if heic else "")
        )


def _listed(names: Iterable) -> str:
    names = list(map(str, names))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
