"""A function of the user's, named MODULE:FUNCTION, with errors in one line."""

import functools
import importlib
import os
import pathlib
import sys
import traceback
import types
from collections.abc import Callable
from typing import Any

from keras_effnet.errors import InputError
from keras_effnet.errors import suggest
from keras_effnet.quiet import native_stderr_held_back


def load_function(path: str) -> Callable:
    """Imports `accuracy` of my_score.py, for `"my_score:accuracy"`.

    From the current folder or an installed package. It comes back raising `InputError`,
    naming the user's file and line, for whatever goes wrong inside.

    Raises:
        InputError: There is no such module or function, or the import fails.
    """
    module_name, _, name = path.partition(":")
    if not (module_name and name):
        raise InputError(
            "A function is named MODULE:FUNCTION, `my_score:accuracy` for `accuracy` "
            f"in my_score.py of this folder. Received: {path!r}"
        )
    # As `python -m` does; the command's own folder stands there otherwise.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    function = getattr(_import(module_name, path), name, None)
    if not callable(function):
        found = vars(sys.modules[module_name]).items()
        raise InputError(
            f"The module {module_name!r} has no function {name!r}. "
            f"{suggest(name, [key for key, value in found if callable(value)])}"
            f"Received: {path!r}"
        )

    @functools.wraps(function)
    def guarded(*args: Any) -> Any:
        try:
            return function(*args)
        except InputError:
            raise
        except Exception as error:
            raise _failure(path, "The function failed", error) from error

    # Also for a callable object, which has no names to wrap.
    guarded.__module__, guarded.__qualname__ = module_name, name
    return guarded


def _import(module_name: str, path: str) -> types.ModuleType:
    try:
        # It most likely imports Keras.
        with native_stderr_held_back():
            return importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        # `a.b` misses itself when it misses `a`; else it misses an import.
        if missing is None or not f"{module_name}.".startswith(f"{missing}."):
            raise _failure(path, "The module can't be imported", error) from error
        here = [file.stem for file in pathlib.Path.cwd().glob("*.py")]
        raise InputError(
            f"There is no Python module {missing!r}, in this folder or installed. "
            f"{suggest(missing, here)}Received: {path!r}"
        ) from error


def _failure(path: str, what: str, error: BaseException) -> InputError:
    message = str(error).strip().split("\n")[0]
    if isinstance(error, SyntaxError):
        message, file, line = error.msg, error.filename or "?", error.lineno
    else:
        frames = traceback.extract_tb(error.__traceback__)
        own = [
            frame
            for frame in frames
            if frame.filename.startswith(os.getcwd())
            and "site-packages" not in frame.filename
        ]
        file, line = (own or frames)[-1][:2]
    return InputError(
        f"{what}: {type(error).__name__}: {message} "
        f"({os.path.basename(file)}, line {line}). Received: {path!r}"
    )
