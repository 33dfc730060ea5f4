"""Where model files are measured, by the name that a user types."""

import importlib

from keras_effnet.benchmarks.targets.target import Target as Target
from keras_effnet.benchmarks.targets.target import TargetLost as TargetLost
from keras_effnet.errors import InputError
from keras_effnet.errors import suggest

# What stands before the colon: the module, its class, and whether a name must follow.
_KINDS = {
    "host": ("host", "Host", False),
    "adb": ("adb", "Adb", False),
    "ssh": ("ssh", "Ssh", True),
    "arm": ("emulated", "Emulated", True),
    "browser": ("browser", "Browser", False),
}
FORMS = ("host", "adb", "adb:SERIAL", "ssh:USER@HOST", "arm:CORE", "browser")
# Kinds that take no name after a colon.
_ALONE = ("host", "browser")


def open_target(name: str, settings: dict[str, dict] | None = None) -> Target:
    """Finds a target and makes it ready.

    Args:
        name: One of `FORMS`.
        settings: `{kind: dict}` of arguments for the classes.

    Raises:
        InputError: There is no such target, or it can't be reached.
    """
    kind, _, rest = name.partition(":")
    arguments = (rest,) if rest else ()
    return target_class(name)(*arguments, **(settings or {}).get(kind, {}))


def target_class(name: str) -> type[Target]:
    """The class that one of `FORMS` stands for, before anything is looked for."""
    kind, colon, rest = name.partition(":")
    if kind not in _KINDS or (colon and (not rest or kind in _ALONE)):
        raise InputError(
            f"A target is one of {', '.join(FORMS)}. "
            f"{suggest(kind, _KINDS)}Received: {name!r}"
        )
    place, found, named = _KINDS[kind]
    if named and not rest:
        (form,) = (form for form in FORMS if form.startswith(f"{kind}:"))
        raise InputError(f"A target of {kind} is written {form}. Received: {name!r}")
    module = importlib.import_module(f"keras_effnet.benchmarks.targets.{place}")
    return getattr(module, found)
