"""TensorFlow's start-up and conversion chatter, kept away from the user."""

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import IO

# One file for all blocks that are open at once, in one thread or several: the first to
# begin turns standard error away, the last to end turns it back.
_lock = threading.Lock()
_open = 0
_stderr = -1
_held: IO[bytes]
_thread = threading.local()


@contextlib.contextmanager
def native_stderr_held_back() -> Iterator[None]:
    """Holds back what native code writes to standard error.

    TensorFlow logs a dozen lines that no setting turns off. If the block
    raises, they are shown after all: they may explain it.
    """
    if getattr(_thread, "inside", False) or not _turn_away():
        yield
        return
    _thread.inside = True
    began = os.fstat(2).st_size
    try:
        yield
    except BaseException:
        with _lock:
            _held.seek(began)
            os.write(_stderr, _held.read())
        raise
    finally:
        _thread.inside = False
        _turn_back()


def _turn_away() -> bool:
    """Whether there is a standard error to turn away."""
    global _open, _stderr, _held
    with _lock:
        if not _open:
            _flush()
            try:
                _stderr = os.dup(2)
            except OSError:
                return False
            _held = tempfile.TemporaryFile("ab+", buffering=0)  # noqa: SIM115
            os.dup2(_held.fileno(), 2)
        _open += 1
        return True


def _turn_back() -> None:
    global _open
    with _lock:
        _open -= 1
        if not _open:
            _flush()
            os.dup2(_stderr, 2)
            os.close(_stderr)
            _held.close()


def write_through(text: str) -> None:
    """Writes to standard error, also while it is turned away."""
    with _lock, contextlib.suppress(OSError):  # the terminal may be gone
        os.write(_stderr if _open else 2, text.encode(errors="backslashreplace"))


def _flush() -> None:
    if sys.stderr is not None:
        sys.stderr.flush()


def open_streams() -> None:
    """Gives this process the standard streams that it was started without (`2>&-`).

    The next file that is opened would take the number of one, and with it what native
    code writes there.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number, which is this one
        if getattr(sys, name) is None:
            stream = open(number, "w" if number else "r", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


def import_keras() -> None:
    """Imports Keras and its backend without the chatter."""
    if "keras" not in sys.modules:
        with native_stderr_held_back():
            import keras

            if keras.backend.backend() == "tensorflow":
                import tensorflow as tf

                # TensorFlow looks for a GPU once and reports that there is none.
                tf.config.list_physical_devices()
