"""The one exception for input that a user can mend."""

import contextlib
import difflib
import importlib
import types
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any


class InputError(ValueError):
    """Something the caller gave is wrong; the message says what, in one line.

    The command line prints the message alone; any other exception is a defect
    of this package and keeps its traceback.
    """


class Preempted(Exception):
    """Work was asked to end (SIGTERM), has saved its state, and can go on."""


class WorkerLost(Exception):
    """Another process of a cluster is gone; the last checkpoint stands."""


def needed(module: str, message: str, received: object) -> types.ModuleType:
    """An optional library, imported.

    Raises:
        InputError: It is not installed; `message` says how to get it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(f"{message} Received: {received!r}") from error


def first_line(error: BaseException) -> str:
    """What an exception says, without a full stop; its type where it is silent."""
    text = str(getattr(error, "message", error)).strip()
    return (text.splitlines() or [type(error).__name__])[0].rstrip(". ")


@contextlib.contextmanager
def explained(message: str, received: object) -> Iterator[None]:
    """One line for all that a library raises on what it can't use.

    Of damaged files that is OSError, KeyError, RuntimeError, ValueError ...
    An `InputError` from within is only given what was received, where it has nothing.

    Args:
        message: A sentence; `{}` in it stands for what the library said.
        received: A path or a name.

    Raises:
        InputError: Anything was raised.
    """
    try:
        yield
    except InputError as error:
        if "Received: " in str(error):
            raise
        raise InputError(f"{error} Received: {str(received)!r}") from error
    except Exception as error:
        said = message.format(first_line(error))
        raise InputError(f"{said} Received: {str(received)!r}") from error


def check_number(
    name: str,
    value: object,
    valid: str,
    within: Callable[[Any], bool],
    whole: bool = False,
) -> None:
    """Refuses what is no number of the right kind and size; a truth value is none.

    Args:
        name: Of the argument.
        value: What was received.
        valid: What it must be, `"a whole number from 1"`.
        within: A function of the number that returns whether it is in its range.
        whole: Whether it must be an int.

    Raises:
        InputError: It is another thing.
    """
    kind = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kind) or not within(value):
        raise InputError(f"`{name}` must be {valid}. Received: {name}={value!r}")


def check_one_of(name: str, value: object, valid: Collection[str]) -> None:
    """Refuses a value of an argument that is none of the valid ones.

    Raises:
        InputError: The message names them, and the nearest.
    """
    if value not in valid:
        raise InputError(
            f"`{name}` must be one of {', '.join(valid)}. "
            f"{suggest(value, valid)}Received: {name}={value!r}"
        )


def suggest(value: object, valid: Iterable[str]) -> str:
    """The part of a message that names the nearest valid values.

    Args:
        value: What was received, a string.
        valid: The valid strings.

    Returns:
        `"Did you mean 'a' or 'b'? "`, or an empty string where nothing is near.
    """
    lowered = {name.lower(): name for name in valid}
    near = difflib.get_close_matches(str(value).lower(), lowered, n=3, cutoff=0.6)
    if not near:
        return ""
    return f"Did you mean {' or '.join(repr(lowered[name]) for name in near)}? "
