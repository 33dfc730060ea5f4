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
import zipfile
from collections.abc import Iterator
from typing import Any

from keras_effnet import notes
from keras_effnet.errors import InputError

# Of temporary names: what is left of them was cut short by a kill.
_WRITING = ".writing-"
_WORK = "keras-effnet-"
_SEAL = "sha256 of the rest"
# Of a file of JSON: parsed it takes up to thirty times as much memory. Keras'
# description of EfficientNetV2XL, the deepest and longest, has 2 MB and 20 levels.
JSON_LIMIT = 2**26
_JSON_DEPTH = 100


def keras_home() -> pathlib.Path:
    """Keras' folder for what is kept between runs, absolute; it may not exist yet.

    `$KERAS_HOME`, else `~/.keras`, else `/tmp/.keras-UID` where the home folder can't
    be written to: a private one, since anybody may make folders there.

    Raises:
        InputError: The folder in `/tmp` belongs to another, or others may write to it.
    """
    home = os.environ.get("KERAS_HOME")
    if home:
        return pathlib.Path(home).expanduser().absolute()
    user = os.path.expanduser("~")
    if os.access(user, os.W_OK):
        return pathlib.Path(user, ".keras").absolute()
    return private_folder(f"/tmp/.keras-{os.geteuid()}")


def private_folder(path: str | os.PathLike) -> pathlib.Path:
    """A folder of one's own that is closed to all others, for what is run from there.

    It is made where it is missing.

    Raises:
        InputError: It can't be made, belongs to another, or others could write to it.
    """
    path = pathlib.Path(path)
    with told("The folder can't be made", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        found = path.lstat()
        own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
        if not own or found.st_mode & 0o022:
            raise InputError(
                "What is kept there is run or trusted, and others could have changed "
                "it: the folder must be one's own, of mode 700. Delete it, or let "
                f"KERAS_HOME name another place. Received: {str(path)!r}"
            )
        path.chmod(0o700)
    return path


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
def locked(folder: str | os.PathLike, busy: str | None = None) -> Iterator[None]:
    """Keeps other processes of this package from writing a set of files at once.

    Another one that has the folder is waited for, or an `InputError`, `busy`.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
    except BlockingIOError as error:
        os.close(handle)
        raise InputError(f"{busy} Received: {str(folder)!r}") from error
    except OSError:
        pass  # some network file systems have no locks
    try:
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """A temporary path that becomes `path` when the block ends without an error.

    It stands in a folder beside it and has the same name, by whose suffix some writers
    (Keras, matplotlib) choose the format. Missing folders are made.

    Raises:
        InputError: The folder can't be written to.
    """
    path = pathlib.Path(path)
    with told("The output can't be written", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(21, "Is a directory")
        with temporary_folder(path.parent) as folder:
            temporary = folder / path.name
            temporary.touch()
            yield temporary
            os.replace(temporary, path)


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
    with (
        told("The output can't be written", path),
        temporary_folder(beside or path.parent) as temporary,
    ):
        temporary.chmod(0o777 & ~_umask())
        yield temporary
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(temporary, path)


@contextlib.contextmanager
def temporary_folder(
    parent: str | os.PathLike, prefix: str = _WRITING
) -> Iterator[pathlib.Path]:
    """A folder that is gone after the block; the next one sweeps what a kill left."""
    pathlib.Path(parent).mkdir(parents=True, exist_ok=True)
    remove_unfinished(parent, prefix)
    # Locked meanwhile: so `remove_unfinished` knows that it isn't left over. The files
    # in it are not, since HDF5 locks its own.
    handle = None
    while handle is None:
        folder = pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        # Another process may sweep it before it is locked.
        with contextlib.suppress(FileNotFoundError):
            handle = os.open(folder, os.O_RDONLY)
            with contextlib.suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX)
            if not folder.exists():
                os.close(handle)
                handle = None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


@contextlib.contextmanager
def workplace() -> Iterator[None]:
    """One folder for all temporary files of this process and of its children.

    It is gone after the block. What a killed process left is swept first.
    """
    before = tempfile.gettempdir(), tempfile.tempdir, os.environ.get("TMPDIR")
    with contextlib.ExitStack() as stack:
        try:
            own = stack.enter_context(temporary_folder(before[0], _WORK))
        except OSError:  # whoever needs a file there will say so
            yield
            return
        os.environ["TMPDIR"] = tempfile.tempdir = str(own)
        try:
            yield
        finally:
            _, tempfile.tempdir, variable = before
            del os.environ["TMPDIR"]
            if variable is not None:
                os.environ["TMPDIR"] = variable


def remove_unfinished(folder: str | os.PathLike, prefix: str = _WRITING) -> None:
    """Removes what killed processes had begun to write into a folder."""
    for left in pathlib.Path(folder).glob(f"{prefix}*"):
        # Locked: it is being written. Of another user: it is theirs.
        with contextlib.suppress(OSError):
            handle = os.open(left, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                if os.fstat(handle).st_uid == os.geteuid():
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if left.is_dir():
                        shutil.rmtree(left, ignore_errors=True)
                    else:
                        left.unlink(missing_ok=True)
            finally:
                os.close(handle)


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


def _integer(digits: str) -> int:
    # Beyond what a float holds no division and no chart can use it.
    if len(digits) > 300:
        raise ValueError("a number in it is too large")
    return int(digits)


def parse_json(data: bytes | str, **options: Any) -> Any:
    """What JSON holds, whoever wrote it.

    Args:
        data: Bytes or a string.
        **options: Of `json.loads`.

    Raises:
        ValueError: It is no JSON, is nested deeper than any of ours (what walks through
            it would not come to its end), or holds a number that no float could.
    """
    try:
        level = [found := json.loads(data, parse_int=_integer, **options)]
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    for _ in range(_JSON_DEPTH):
        level = [
            child
            for each in level
            if isinstance(each, dict | list)
            for child in (each.values() if isinstance(each, dict) else each)
            if isinstance(child, dict | list)
        ]
        if not level:
            return found
    raise ValueError("it is nested too deeply")


def read_json(path: str | os.PathLike, limit: int = JSON_LIMIT) -> dict | None:
    """The dict that a JSON file holds, or `None` where there is none to read."""
    try:
        found = parse_json(read_bytes(path, limit))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def sealed(content: dict) -> dict:
    """Plain values of our own, with the checksum that `unsealed` compares."""
    plain = json.loads(json.dumps(content))  # as they come back: keys are strings
    text = json.dumps(plain, sort_keys=True)
    return {**plain, _SEAL: hashlib.sha256(text.encode()).hexdigest()}


def unsealed(content: dict | None, path: str | os.PathLike) -> dict | None:
    """What `sealed` was given; `None`, and a warning of the file that it lay in, where
    something changed it: it is made again."""
    if isinstance(content, dict):
        plain = {key: value for key, value in content.items() if key != _SEAL}
        if sealed(plain)[_SEAL] == content.get(_SEAL):
            return plain
    notes.damaged(path)
    return None


def zip_entry(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """The bytes of an entry of a `zipfile.ZipFile`, whose checksum it compares.

    zipfile unpacks no more than the size that the entry declares, so the declared one
    is what must be limited. It raises many things of a damaged archive.

    Raises:
        ValueError: There are several entries of the name, or it unpacks to more bytes
            than `limit`.
    """
    if archive.namelist().count(name) > 1:
        raise ValueError(f"it has more than one {name}")
    size = archive.getinfo(name).file_size
    if size > limit:
        raise ValueError(
            f"{name} unpacks to {size} bytes, and more than {limit} are never needed"
        )
    return archive.read(name)


def write_arrays(path: str | os.PathLike, arrays: dict) -> None:
    """Writes arrays by name, a dict, as one `.npz` file, whole or not at all."""
    import numpy as np

    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


def read_arrays(path: str | os.PathLike) -> dict:
    """The arrays by name that `write_arrays` wrote; nothing is unpickled.

    Raises:
        OSError: It can't be read.
        ValueError: It is damaged, or none of ours: those are not compressed, and so
            unpack to no more than the file has.
    """
    import numpy as np

    # Opened here: of a damaged file np.load leaves its own open.
    with open(path, "rb") as file:
        try:
            with np.load(file, allow_pickle=False) as arrays:
                if any(each.compress_type for each in arrays.zip.infolist()):
                    raise ValueError("its arrays are compressed")
                return dict(arrays)
        except OSError:
            raise
        except Exception as error:  # zipfile, zlib, struct, tokenize: all of damage
            raise ValueError(f"it is damaged: {error}") from error


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
