"""TensorFlow's start-up and conversion chatter, kept away from the user."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def native_stderr_held_back() -> Iterator[None]:
    """Holds back what native code writes to standard error.

    TensorFlow logs a dozen lines that no setting turns off. If the block
    raises, they are shown after all: they may explain it.
    """
    sys.stderr.flush()
    try:
        stderr = os.dup(2)
    except OSError:
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(stderr, 2)
            held.seek(0)
            os.write(2, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)


def import_keras() -> None:
    """Imports Keras and its backend without the chatter."""
    if "keras" not in sys.modules:
        with native_stderr_held_back():
            import keras

            if keras.backend.backend() == "tensorflow":
                import tensorflow as tf

                # TensorFlow looks for a GPU once and reports that there is none.
                tf.config.list_physical_devices()
