"""Several processes, on one machine or many, that train one network.

They are processes of JAX: each reads its part of every batch, and XLA adds up the
gradients. Process 0 is the chief, which alone writes.
"""

import collections
import contextlib
import hashlib
import subprocess
import sys
import time

import numpy as np

from keras_effnet.errors import InputError
from keras_effnet.errors import Preempted
from keras_effnet.errors import WorkerLost
from keras_effnet.errors import first_line
from keras_effnet.training.devices import Devices
from keras_effnet.training.devices import hide_accelerators_from_tensorflow
from keras_effnet.training.devices import parallel_scope

# Seconds: until all processes must be there, and until a silent one is given up.
START = 300
HEARTBEAT = 60
# The others wait while the chief evaluates.
_END = 24 * 3600
AUTO = "auto"

_EPITAPH = (
    "keras-effnet: error: this process was killed, or ended by JAX because another one "
    "died or never came; the same command goes on from the last checkpoint"
)
_WATCHER = """
import signal, sys
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
print("ready", flush=True)
if not sys.stdin.read():
    print(sys.argv[1], file=sys.stderr, flush=True)
"""


class Cluster(Devices):
    """All devices of all processes that have joined."""

    def __init__(self):
        import jax

        devices = jax.devices()
        counts = collections.Counter(device.process_index for device in devices)
        if len(set(counts.values())) > 1:
            raise InputError(
                "All processes of a cluster must have equally many devices. Received: "
                f"{', '.join(str(counts[number]) for number in sorted(counts))}"
            )
        super().__init__(parallel_scope(devices), len(devices))
        self.part = (jax.process_index(), jax.process_count())

    def must_stop(self, step):
        # JAX takes SIGTERM, to whichever process, and finds a step for all.
        from jax.experimental import multihost_utils

        return multihost_utils.reached_preemption_sync_point(step)

    def check_equal(self, what, read, seconds=0):
        for second in range(seconds + 1):
            other = self._others(read())
            if not len(other):
                return
            if second < seconds:
                time.sleep(1)
        raise InputError(
            f"All processes of a cluster must have the same {what}. Received: "
            f"another one in process {', '.join(map(str, other))} than in 0"
        )

    def _others(self, text):
        """The processes that have another text than the chief; the same in all."""
        from jax.experimental import multihost_utils

        digest = np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8)
        found = multihost_utils.process_allgather(digest).reshape(-1, digest.size)
        return np.flatnonzero((found != found[0]).any(axis=1))


@contextlib.contextmanager
def joined(address, processes=None, number=None, listen=None):
    """Joins a cluster, process `number` of `processes`, 0 being the chief, and leaves
    it when the block has ended well; the arguments are checked by `prepare`.

    `address` is `"HOST:PORT"` of the chief, as all can reach it; or `"auto"`, which
    finds it and the numbers in what Slurm, Open MPI or a TPU pod tells. The chief
    listens there alone, or at the interface `listen`; JAX by itself, and with `"auto"`,
    takes all. If the block
    ends with an exception, `WorkerLost` where another process is gone, the process must
    end too, without waiting for the others (`os._exit`): they learn of it and end in
    their turn.
    """
    prepare(address, processes, number)
    import jax

    host, _, port = address.rpartition(":")
    bound = None if address == AUTO else f"{listen or host}:{port}"

    with _watched():
        try:
            jax.distributed.initialize(
                None if address == AUTO else address,
                processes,
                number,
                coordinator_bind_address=bound,
                initialization_timeout=START,
                heartbeat_timeout_seconds=HEARTBEAT,
                shutdown_timeout_seconds=_END,
            )
        # If a process doesn't come, JAX ends this one without an exception.
        except (ValueError, RuntimeError) as error:
            raise InputError(
                f"The cluster doesn't come about: {first_line(error)}. "
                f"Received: {address!r}"
            ) from error
        try:
            yield Cluster()
        except Preempted:
            # All have stopped, and the chief has written.
            jax.distributed.shutdown()
            raise
        except (ValueError, jax.errors.JaxRuntimeError) as error:
            if isinstance(error, InputError) or not _is_loss_of_a_peer(error):
                raise
            raise WorkerLost(
                "another process of the cluster died; the same command goes on from "
                "the last checkpoint"
            ) from error
        jax.distributed.shutdown()


def prepare(address, processes=None, number=None):
    """What can be done before joining: refuses impossible arguments of `joined`, and
    leaves the accelerators to JAX, so that TensorFlow can open the data."""
    hide_accelerators_from_tensorflow()
    if address == AUTO:
        if processes is not None or number is not None:
            raise InputError(
                "A cluster that is found by itself takes no numbers. Received: "
                f"processes={processes}, process_id={number}"
            )
        return
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdecimal() and 0 < int(port) < 2**16):
        raise InputError(
            "`cluster` is HOST:PORT of the first process, or 'auto'. "
            f"Received: {address!r}"
        )
    if processes is None or number is None:
        raise InputError(
            "A cluster needs the number of processes and that of this one. Received: "
            f"processes={processes}, process_id={number}"
        )
    if processes < 1 or not 0 <= number < processes:
        raise InputError(
            "`process_id` must be 0 to `processes` - 1. Received: "
            f"processes={processes}, process_id={number}"
        )


def _is_loss_of_a_peer(error):
    text = str(error)
    # Of Gloo, NCCL and JAX's coordination service.
    signs = ("Gloo", "NCCL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "heartbeat")
    return any(sign in text for sign in signs)


@contextlib.contextmanager
def _watched():
    """Says what has happened if JAX ends this process without a word of Python."""
    command = [sys.executable, "-ISc", _WATCHER, _EPITAPH]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as watcher:
        watcher.stdout.readline()
        try:
            yield
        finally:
            watcher.communicate(b"done")
