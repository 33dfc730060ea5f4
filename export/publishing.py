"""From a file's bytes to the finished file with its metadata and its sheet."""

import dataclasses
import functools
import pathlib
import shutil
from typing import Any

from keras_effnet import __version__
from keras_effnet import files
from keras_effnet import sheet as sheets
from keras_effnet.errors import InputError
from keras_effnet.export import converting
from keras_effnet.export import flatbuffer
from keras_effnet.export import inspection
from keras_effnet.export.metadata import with_metadata
from keras_effnet.export.sheet_page import write_page
from keras_effnet.sheet import Sheet
from keras_effnet.tflite import TFLiteModel

OVER_LIMIT = "-over-limit"


@dataclasses.dataclass(frozen=True)
class ExportedFile:
    """A file that was written.

    Attributes:
        path: Of the .tflite file; its sheet stands beside it, .json and .html.
        sheet: A `keras_effnet.sheet.Sheet`, what is known of the file.
    """

    path: pathlib.Path
    sheet: Sheet

    @property
    def precision(self) -> str | None:
        """A key of `PRECISIONS`."""
        return self.sheet.precision

    @functools.cached_property
    def numbers(self) -> dict[str, Any]:
        """What the .json file holds, a dict."""
        return self.sheet.to_dict()

    @property
    def over_limit(self) -> bool:
        """Whether it lost more accuracy than it may."""
        return self.sheet.over_limit

    def with_sheet(self, **changes: Any) -> "ExportedFile":
        """Writes the sheet anew, unless the file is another one by now.

        Args:
            **changes: Fields of the `Sheet`.

        Returns:
            The `ExportedFile` with them.
        """
        sheet = dataclasses.replace(self.sheet, **changes)
        with files.locked(self.path.parent):
            if files.checksum(self.path) == sheet.sha256:
                _write_sheet(sheet, self.path)
        return ExportedFile(self.path, sheet)


def checked_name(name: str) -> str:
    """A file's name; an `InputError` for one with folders in it."""
    if pathlib.PurePath(name).name != name:
        raise InputError(
            f"`name` must be a file's name, without folders. Received: name={name!r}"
        )
    return name


def refuse_another(path: pathlib.Path, settings: dict | None) -> None:
    """Raises an `InputError` where a file came of another model than `settings`'."""
    sheet = sheets.read(path) if path.exists() else None
    before = ((sheet and sheet.settings) or {}).get("source")
    now = (settings or {}).get("source")
    if before and now and before != now:
        raise InputError(
            "The file is there already, of another model: give another name or folder. "
            f"Received: {str(path)!r}"
        )


def write(
    path: pathlib.Path,
    data: bytes,
    trace: converting.Trace,
    sheet: Sheet,
    **about: str | None,
) -> TFLiteModel:
    """Writes a file with its metadata: `about` are `description`, `licence`, `author`.

    Of the sheet `model` and `class_names` are used; to the sheet of what returns are
    added the model's rule and what can be read from the file.
    """
    model = flatbuffer.unpack(data)
    mean, std = converting.pixel_statistics(trace, model)
    # One output is the probability of the second class.
    names = sheet.class_names and sheet.class_names[-flatbuffer.classes(model) :]
    path.write_bytes(
        with_metadata(
            data,
            name=sheet.model,
            version=__version__,
            mean=mean,
            std=std,
            class_names=names,
            **about,
        )
    )
    file = TFLiteModel(path, sheet=sheet)
    found = inspection.describe(file, model)
    pixels = converting.takes_pixels(trace)
    found["input"] = dataclasses.replace(found["input"], pixels=pixels)
    file.sheet = dataclasses.replace(sheet, preprocessing=trace.rule, **found)
    return file


def publish(
    path: pathlib.Path, folder: pathlib.Path, sheet: Sheet, over: bool | None = None
) -> ExportedFile:
    """Puts a finished file, `NAME_PRECISION.tflite`, where the user wants it.

    Whether it is over a limit and must be named so is what its sheet says when `None`.
    """
    over = sheet.over_limit if over is None else over
    target = folder / f"{path.stem}{OVER_LIMIT if over else ''}.tflite"
    older = folder / f"{path.stem}{'' if over else OVER_LIMIT}.tflite"
    sheet = dataclasses.replace(sheet, file=target.name)
    with files.locked(folder), files.replacing(target) as temporary:
        shutil.copyfile(path, temporary)
        # No file of an earlier export stays beside the newer sheet, or says that
        # there is one within the limit.
        target.unlink(missing_ok=True)
        remove(older)
        _write_sheet(sheet, target)
    return ExportedFile(target, sheet)


def remove(path: pathlib.Path) -> None:
    """Removes a file, if there is one, and its sheet."""
    for suffix in (".tflite", ".json", ".html"):
        path.with_suffix(suffix).unlink(missing_ok=True)


def _write_sheet(sheet: Sheet, path: pathlib.Path) -> None:
    sheets.write(sheet, path)
    write_page(sheet.to_dict(), path.with_suffix(".html"))
