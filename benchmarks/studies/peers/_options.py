"""Checks of the options of these scripts."""

from keras_effnet.errors import InputError


def check_integers(lowest, **values):
    """Raises an `InputError` for an option below `lowest`; `None` is none given."""
    for name, value in values.items():
        if value is not None and value < lowest:
            option = "--" + name.replace("_", "-")
            raise InputError(
                f"{option} must be an integer from {lowest} up. Received: {value}"
            )
