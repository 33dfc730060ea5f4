"""What was assumed where a file does not say what it is: told, or refused."""

import contextlib
import contextvars
import logging
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
    text = " ".join(text.splitlines())  # a name may hold anything
    if _refused.get():
        raise InputError(f"Nothing may be assumed under --strict. Received: {text}")
    _logger.warning(text)


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
