"""Where model files are measured."""

from keras_effnet.errors import InputError


class TargetLost(InputError):
    """A target that was there went away in mid-run."""
