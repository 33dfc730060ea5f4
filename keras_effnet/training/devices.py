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

    def __init__(self, scope=contextlib.nullcontext, replicas=1):
        # Gives a context for everything that touches the network in training.
        self.scope = scope
        self.replicas = replicas
        self.part = (0, 1)

    @property
    def chief(self):
        """Whether this is the process that writes and speaks."""
        return self.part[0] == 0

    def must_stop(self, step):
        """Whether all processes, each of which asks after every step, have agreed to
        stop after this one."""
        return False

    def check_equal(self, what, read, seconds=0):
        """Waits until all processes are here, and refuses those whose text, that which
        `read()` gives, differs after so many seconds; a message calls it `what`."""


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
    if len(names) == 1:
        return Devices()
    strategy = tf.distribute.MirroredStrategy(names)
    return Devices(strategy.scope, strategy.num_replicas_in_sync)


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
    if len(devices) == 1:
        return Devices()
    return Devices(parallel_scope(devices), len(devices))


def parallel_scope(devices):
    """`Devices.scope` of several of JAX, each process feeding its own."""
    return keras.distribution.DataParallel(
        devices=devices, auto_shard_dataset=False
    ).scope


def _too_late(backend, count):
    return InputError(
        f"The devices must be chosen before {backend} has computed anything. "
        f"Received: devices={count}"
    )


def _checked(count, found):
    if count and count > found:
        raise InputError(f"The machine has {found} devices. Received: devices={count}")
    return count or found
