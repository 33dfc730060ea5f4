"""Files and folders that appear whole or not at all, and what is kept in them."""

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import pathlib
import shutil
import stat
import tempfile
from collections.abc import Iterator

from keras_effnet.errors import InputError

# Of temporary names: what is left of them was cut short by a kill.
_WRITING = ".writing-"


def keras_home() -> pathlib.Path:
    """Keras' folder for what is kept between runs, absolute; it may not exist yet.

    `$KERAS_HOME`, else `~/.keras`, else `/tmp/.keras` where the home folder can't be
    written to.
    """
    home = os.environ.get("KERAS_HOME")
    if not home:
        user = os.path.expanduser("~")
        home = os.path.join(user if os.access(user, os.W_OK) else "/tmp", ".keras")
    return pathlib.Path(home).expanduser().absolute()


def check_folder(folder: str | os.PathLike) -> None:
    """Finds out before the work that files can be written to a folder, and makes it.

    Raises:
        InputError: It can't be made or written to.
    """
    folder = pathlib.Path(folder)
    with told("The output can't be written", folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass


@contextlib.contextmanager
def locked(folder: str | os.PathLike) -> Iterator[None]:
    """Keeps other processes of this package from writing a set of files at once."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """A temporary path that becomes `path` when the block ends without an error.

    The temporary file stands in the same folder and keeps the suffix, which
    some writers (Keras, matplotlib) choose the format by. Missing folders are made.

    Raises:
        InputError: The folder can't be written to.
    """
    path = pathlib.Path(path)
    with told("The output can't be written", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(21, "Is a directory")
        handle, name = tempfile.mkstemp(
            prefix=_WRITING, suffix=path.name, dir=path.parent
        )
        os.close(handle)
        temporary = pathlib.Path(name)
        try:
            temporary.chmod(0o666 & ~_umask())
            yield temporary
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(
    path: str | os.PathLike, beside: str | os.PathLike | None = None
) -> Iterator[pathlib.Path]:
    """A temporary folder that becomes `path` when the block ends without an error.

    `path` must be new or empty; missing parents are made. The temporary one stands in
    `beside`, on the same disk; in the parent of `path` when `None`.

    Raises:
        InputError: It can't be written.
    """
    path = pathlib.Path(path)
    beside = pathlib.Path(beside or path.parent)
    with told("The output can't be written", path):
        beside.mkdir(parents=True, exist_ok=True)
        temporary = pathlib.Path(tempfile.mkdtemp(prefix=_WRITING, dir=beside))
        try:
            temporary.chmod(0o777 & ~_umask())
            yield temporary
            path.parent.mkdir(parents=True, exist_ok=True)
            os.replace(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def remove_unfinished(folder: str | os.PathLike) -> None:
    """Removes what a killed process had begun to write into a folder."""
    for left in pathlib.Path(folder).glob(f"{_WRITING}*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def checksum(path: str | os.PathLike, algorithm: str = "sha256") -> str:
    """The checksum of a file's bytes, in hexadecimal digits."""
    new = functools.partial(hashlib.new, algorithm, usedforsecurity=False)
    with open(path, "rb") as file:
        return hashlib.file_digest(file, new).hexdigest()


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a text file, UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_bytes(path: str | os.PathLike, most: int) -> bytes:
    """The bytes of a regular file of at most so many; a pipe or a device, which could
    go on for ever, is an `InputError`."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise InputError("It is no regular file.")
    if status.st_size > most:
        raise InputError(f"The file has more than {most:,} bytes.")
    return pathlib.Path(path).read_bytes()


def read_json(path: str | os.PathLike) -> dict | None:
    """The dict that a JSON file holds, or `None` where there is none to read."""
    try:
        found = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def write_arrays(path: str | os.PathLike, arrays: dict) -> None:
    """Writes arrays by name, a dict, as one `.npz` file, whole or not at all."""
    import numpy as np

    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


def read_arrays(path: str | os.PathLike) -> dict:
    """The arrays by name that `write_arrays` wrote; nothing is unpickled.

    Raises:
        OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error: It is damaged.
    """
    import numpy as np

    # Opened here: of a damaged file np.load leaves its own open.
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


@contextlib.contextmanager
def told(what: str, path: object) -> Iterator[None]:
    """One line for what the file system refuses: `what`, its reason and the path.

    Raises:
        InputError: The block raised an `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{what}: {error.strerror}. Received: {str(path)!r}"
        ) from error


def _umask() -> int:
    """tempfile makes private files; a result should be as readable as others."""
    umask = os.umask(0)
    os.umask(umask)
    return umask
