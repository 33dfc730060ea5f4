"""Photographs in folders and lists: what is found, what it means, what is left out."""

import csv
import dataclasses
import io
import math
import os
import pathlib
import re
import unicodedata
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Sequence

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
_JSON_LINES = (".jsonl", ".ndjson")
_COLUMNS = ("file", "label", "class_index", "split")
_LIST = (
    "Labels are a CSV file with the columns 'file' and 'label' or 'class_index', or "
    "JSON Lines (.jsonl) with these"
)


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


def chosen(where: str | os.PathLike, names: Sequence[str], *kinds: str) -> str | None:
    """Of the splits that something holds that of the first kind, which is told; `None`
    where it holds none."""
    if not names:
        return None
    order = [*kinds, *_KINDS]
    usual = (n for kind in order for n in names if split_kind(n) == kind)
    name = next(usual, names[0])
    note(f"{where} holds the splits {', '.join(names)}, {name} is taken; give another")
    return name


def of_kind(folder: str | os.PathLike, *kinds: str) -> pathlib.Path:
    """A folder itself, or of its splits that of the first kind, which is told."""
    names = splits(folder) if os.path.isdir(folder) else ()
    name = chosen(folder, names, *kinds)
    return split_folder(folder, name) if name else pathlib.Path(folder)


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


@dataclasses.dataclass(frozen=True)
class Listed:
    """Photographs as a list names them.

    Attributes:
        paths: Of each; a list.
        names: The class of each, a tuple: its `label`, else its `class_index` as text.
        indices: The `class_index` of each, an int array, or `None` without the column.
        splits: The split of each, a tuple, empty without the column.
    """

    paths: list[pathlib.Path]
    names: tuple[str, ...]
    indices: np.ndarray | None
    splits: tuple[str, ...]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of all classes: by `class_index`, else sorted as the names of folders are."""
        if self.indices is None:
            return tuple(sorted(set(self.names)))
        pairs = sorted(set(zip(self.indices.tolist(), self.names, strict=True)))
        if [index for index, _ in pairs] != list(range(len(set(self.names)))):
            raise InputError(
                "Every 'class_index' from 0 up must be that of photographs, and of one "
                f"'label'. Received: {_listed(f'{i} ({name})' for i, name in pairs)}"
            )
        return tuple(name for _, name in pairs)

    def of_split(self, name: str | None) -> "Listed":
        """Those of one split; all for `None`."""
        split = self.splits or (None,) * len(self.paths)
        kept = [place for place, each in enumerate(split) if name in (None, each)]
        return Listed(
            [self.paths[place] for place in kept],
            tuple(self.names[place] for place in kept),
            None if self.indices is None else self.indices[kept],
            (),
        )


def is_list(path: str | os.PathLike) -> bool:
    """Whether a path is that of a list of labels, by its name."""
    return pathlib.Path(path).suffix.lower() in (*_JSON_LINES, ".csv", ".tsv")


def read_list(path: str | os.PathLike) -> Listed:
    """Which class each photograph belongs to, by a CSV file, of commas, semicolons or
    tabs, or by JSON Lines: `file`, absolute or relative to the list's folder; `label`,
    a name, or `class_index`, a number, or both; and maybe `split`."""
    path = pathlib.Path(path)
    message = "The labels can't be read"
    with explained(message, path), files.told(message, path):
        data = files.read_bytes(path, _MOST_LABEL_BYTES)
    is_json = path.suffix.lower() in _JSON_LINES
    rows = _json_rows(data, path) if is_json else _rows(data, path)
    if not rows:
        raise InputError(f"The labels name no photograph. Received: {str(path)!r}")

    def column(name: str) -> list[str]:
        for number, row in rows:
            if name in columns and not row.get(name):
                raise InputError(
                    f"Every row must have its {name!r}, where one has. Received: "
                    f"line {number} of {str(path)!r}"
                )
        return [row[name] for _, row in rows] if name in columns else []

    columns = {name for _, row in rows for name in row} | {"file"}
    indices = None
    if "class_index" in columns:
        indices = np.array([_index(row.get("class_index"), n, path) for n, row in rows])
    names = column("label") or list(map(str, [] if indices is None else indices))
    return Listed(
        [path.parent / name for name in column("file")],
        tuple(unicodedata.normalize("NFC", name) for name in names),
        indices,
        tuple(column("split")),
    )


def _rows(data: bytes, path: pathlib.Path) -> list[tuple[int, dict[str, str]]]:
    """`(line, row)` of each row of a CSV file that is not blank."""
    try:
        text = data.decode("utf-8-sig")
        head = text.partition("\n")[0]
        delimiter = max(",;\t", key=head.count)
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
        columns = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = columns
        if "file" not in columns or not {"label", "class_index"} & set(columns):
            raise InputError(
                f"{_LIST}, it has: {_listed(map(repr, columns)) or 'nothing'}. "
                f"Received: {str(path)!r}"
            )
        known = [name for name in _COLUMNS if name in columns]
        return [
            (reader.line_num, {name: (row[name] or "").strip() for name in known})
            for row in reader
            if any(row[name] for name in known)
        ]
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{_LIST}: {error}. Received: {str(path)!r}") from error


def _json_rows(data: bytes, path: pathlib.Path) -> list[tuple[int, dict[str, str]]]:
    rows = []
    for number, line in enumerate(data.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = files.parse_json(line)
            found = {name: row[name] for name in _COLUMNS if name in row}
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{_LIST}: {error}. Received: line {number} of {str(path)!r}"
            ) from error
        texts = all(isinstance(value, str | int) for value in found.values())
        if "file" not in found or len(found) < 2 or not texts:
            raise InputError(
                f"{_LIST}, one of each, text or number. Received: line {number} of "
                f"{str(path)!r}, {str(row)[:80]}"
            )
        rows.append((number, {name: str(value) for name, value in found.items()}))
    return rows


def _index(text: str | None, line: int, path: pathlib.Path) -> int:
    try:
        value = float(text or "none")
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
