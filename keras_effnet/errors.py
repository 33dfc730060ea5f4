"""The one exception for input that a user can mend."""

import contextlib
import difflib
import importlib
import os
import types
from collections.abc import Callable
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


@contextlib.contextmanager
def damaged_as(message: str, path: str | os.PathLike[str]) -> Iterator[None]:
    """One line for all that libraries make of a damaged file.

    They raise OSError, KeyError, RuntimeError, ValueError, MemoryError ...
    An `InputError` from within is only given the path, where it has none.

    Args:
        message: A sentence; `{}` in it stands for what the library said.
        path: Of the file.

    Raises:
        InputError: Anything was raised.
    """
    try:
        yield
    except InputError as error:
        if "Received: " in str(error):
            raise
        raise InputError(f"{error} Received: {str(path)!r}") from error
    except Exception as error:
        said = message.format(" ".join(str(error).split()))
        raise InputError(f"{said} Received: {str(path)!r}") from error


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
