"""Modules of a package as its attributes, imported on first use."""

import importlib
import importlib.util
from collections.abc import Callable
from types import ModuleType


def modules(package: str) -> Callable[[str], ModuleType]:
    """What a package calls `__getattr__`: its modules come by their names.

    Args:
        package: Its `__name__`.

    Returns:
        A function of an attribute's name, as PEP 562 has it.
    """

    def found(name: str) -> ModuleType:
        path = f"{package}.{name}"
        if name.startswith("_") or importlib.util.find_spec(path) is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return importlib.import_module(path)

    return found
