"""What was assumed where a file does not say what it is: told, or refused; and what
else the library tells of its own accord."""

import contextlib
import contextvars
import logging
import os
from collections.abc import Iterator

from keras_effnet.errors import InputError

_refused = contextvars.ContextVar("refused", default=False)
_logger = logging.getLogger("keras_effnet")


def note(text: str) -> None:
    """Tells what was assumed, and how to say otherwise.

    Args:
        text: One line. It goes to the logger `keras_effnet` as a warning; the command
            line shows it as `keras-effnet: note: ...`.

    Raises:
        InputError: Inside `strict()`.
    """
    if _refused.get():
        text = _in_one_line(text)
        raise InputError(f"Nothing may be assumed under --strict. Received: {text}")
    _log(text, assumed=True)


def warn(text: str) -> None:
    """Tells what happened but was not assumed: `strict` lets it pass.

    Args:
        text: One line, which goes where that of `note` does; the command line shows it
            as `keras-effnet: warning: ...`.
    """
    _log(text, assumed=False)


def damaged(path: str | os.PathLike) -> None:
    """Warns that something of the package's own, a cache or a part of a store, was
    changed by others: it counts for nothing, and is made again by the caller."""
    warn(f"damaged, and made again: {path}")


def _log(text: str, assumed: bool) -> None:
    _logger.warning("%s", _in_one_line(text), extra={"assumed": assumed})


def _in_one_line(text: str) -> str:
    # A name may hold anything, and bytes that are no text end a handler's writing.
    return " ".join(text.encode(errors="backslashreplace").decode().splitlines())


@contextlib.contextmanager
def strict(refused: bool = True) -> Iterator[None]:
    """Makes an error of each note in the block.

    Args:
        refused: Whether it does.
    """
    token = _refused.set(refused)
    try:
        yield
    finally:
        _refused.reset(token)
