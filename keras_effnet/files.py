"""Writing files so that a half-written one is never left behind."""

import contextlib
import fcntl
import os
import pathlib
import tempfile

from keras_effnet.errors import InputError


def keras_home():
    """Keras' folder for what is kept between runs.

    `$KERAS_HOME`, else `~/.keras`, else `/tmp/.keras` where the home folder can't be
    written to.

    Returns:
        A `pathlib.Path`, absolute; the folder may not exist yet.
    """
    home = os.environ.get("KERAS_HOME")
    if not home:
        user = os.path.expanduser("~")
        home = os.path.join(user if os.access(user, os.W_OK) else "/tmp", ".keras")
    return pathlib.Path(home).expanduser().absolute()


def check_folder(folder):
    """Finds out before the work that files can be written to a folder.

    Args:
        folder: Its path; it is made where it is missing.

    Raises:
        InputError: It can't be made or written to.
    """
    folder = pathlib.Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"The output can't be written: {error.strerror}. Received: {str(folder)!r}"
        ) from error


@contextlib.contextmanager
def locked(folder):
    """Keeps other processes of this package from writing a set of files at once.

    Args:
        folder: Where the files go.

    Yields:
        Nothing; the block has the folder to itself.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def replacing(path):
    """A temporary path that becomes `path` when the block ends without an error.

    The temporary file stands in the same folder and keeps the suffix, which
    some writers (Keras, matplotlib) choose the format by.

    Args:
        path: Where the file shall be; missing folders are made.

    Yields:
        A `pathlib.Path` to write to.

    Raises:
        InputError: The folder can't be written to.
    """
    path = pathlib.Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(21, "Is a directory")
        handle, name = tempfile.mkstemp(
            prefix=".writing-", suffix=path.name, dir=path.parent
        )
    except OSError as error:
        raise InputError(
            f"The output can't be written: {error.strerror}. Received: {str(path)!r}"
        ) from error
    os.close(handle)
    temporary = pathlib.Path(name)
    try:
        # mkstemp makes private files; a result should be as readable as others.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(
            f"The output can't be written: {error.strerror}. Received: {str(path)!r}"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path, text):
    """Writes a text file, UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
