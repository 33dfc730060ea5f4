"""The one exception for input that a user can mend."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Something the caller gave is wrong; the message says what, in one line.

    The command line prints the message alone; any other exception is a defect
    of this package and keeps its traceback.
    """


class Preempted(Exception):
    """Work was asked to end (SIGTERM), has saved its state, and can go on."""


class WorkerLost(Exception):
    """Another process of a cluster is gone; the last checkpoint stands."""


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
