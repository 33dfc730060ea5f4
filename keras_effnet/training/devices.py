"""The devices of one machine that a training runs on."""

import contextlib

import keras

from keras_effnet.errors import InputError
from keras_effnet.quiet import native_stderr_held_back


class Devices:
    """One device, and what a training asks of however many there are.

    `part` is `(number, parts)`: which part of each batch this process reads, from 0,
    and how many processes there are; among `replicas`, the devices of all processes, a
    batch is divided evenly.
    """

    part = (0, 1)
    replicas = 1

    @property
    def chief(self):
        """Whether this is the process that writes and speaks."""
        return self.part[0] == 0

    def scope(self):
        """A context for everything that touches the network in training."""
        return contextlib.nullcontext()

    def must_stop(self, step):
        """Whether all processes, each of which asks after every step, have agreed to
        stop after this one."""
        return False

    def check_equal(self, what, read, seconds=0):
        """Waits until all processes are here, and refuses those whose text, that which
        `read()` gives, differs after so many seconds; a message calls it `what`."""


class Mirrored(Devices):
    """Devices of one machine, `"GPU:0"`, by `tf.distribute.MirroredStrategy`."""

    def __init__(self, names):
        import tensorflow as tf

        self._strategy = tf.distribute.MirroredStrategy(names)
        self.replicas = self._strategy.num_replicas_in_sync

    def scope(self):
        return self._strategy.scope()


class Parallel(Devices):
    """Devices of one machine, by `keras.distribution.DataParallel` on JAX."""

    def __init__(self, devices):
        self._distribution = keras.distribution.DataParallel(
            devices=devices, auto_shard_dataset=False
        )
        self.replicas = len(devices)

    def scope(self):
        return self._distribution.scope()


def open_devices(count=None):
    """So many devices of this machine, before anything was computed on them; `None` is
    every GPU or TPU core, or one processor where there are none. A processor can be
    divided into several, to try it."""
    if count is not None and count < 1:
        raise InputError(f"`devices` must be at least 1. Received: {count}")
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return _of_tensorflow(count)
    if backend == "jax":
        return _of_jax(count)
    if count and count > 1:
        raise InputError(
            "Several devices need the backend tensorflow or jax, set by KERAS_BACKEND. "
            f"Received: devices={count} with {backend!r}"
        )
    return Devices()


def _of_tensorflow(count):
    import tensorflow as tf

    if gpus := tf.config.list_physical_devices("GPU"):
        # TensorFlow takes the memory of all that it sees.
        tf.config.set_visible_devices(gpus[: _checked(count, len(gpus))], "GPU")
        names = [gpu.name for gpu in tf.config.list_logical_devices("GPU")]
    else:
        names = _processors(tf, count or 1)
    return Mirrored(names) if len(names) > 1 else Devices()


def _processors(tf, count):
    if count > 1:
        parts = [tf.config.LogicalDeviceConfiguration()] * count
        processor = tf.config.list_physical_devices("CPU")[0]
        try:
            tf.config.set_logical_device_configuration(processor, parts)
        except RuntimeError as error:
            raise _too_late("TensorFlow", count) from error
    return [f"CPU:{number}" for number in range(count)]


def hide_accelerators_from_tensorflow():
    """Leaves them to JAX: TensorFlow, which only reads the images, would take all
    of their memory."""
    with native_stderr_held_back():
        import tensorflow as tf

        tf.config.set_visible_devices([], "GPU")


def _of_jax(count):
    import jax

    hide_accelerators_from_tensorflow()
    if count and count > 1:
        # Has no effect where there is an accelerator.
        try:
            jax.config.update("jax_num_cpu_devices", count)
        except RuntimeError as error:
            raise _too_late("JAX", count) from error
    devices = jax.local_devices()
    if count is None and devices[0].platform == "cpu":
        count = 1
    devices = devices[: _checked(count, len(devices))]
    return Parallel(devices) if len(devices) > 1 else Devices()


def _too_late(backend, count):
    return InputError(
        f"The devices must be chosen before {backend} has computed anything. "
        f"Received: devices={count}"
    )


def _checked(count, found):
    if count and count > found:
        raise InputError(f"The machine has {found} devices. Received: devices={count}")
    return count or found
