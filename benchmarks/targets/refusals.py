"""What a user reads of a model that a target can't run; `place` is " on NAME"."""

from keras_effnet.errors import InputError


def refused(path, reason, place=""):
    reason = reason.rstrip(". ")
    return InputError(
        f"The model can't be run{place}: {reason}. Received: {str(path)!r}"
    )


def late(path, seconds, place=""):
    return InputError(
        f"The model did not finish within {seconds:.0f} seconds{place}; a larger "
        f"`max_seconds` gives it longer. Received: {str(path)!r}"
    )


def crashed(path, signal, place=" on the model"):
    return InputError(
        f"The runtime crashed{place} ({signal}); the file may be damaged, or too large "
        f"for the machine's memory. Received: {str(path)!r}"
    )
