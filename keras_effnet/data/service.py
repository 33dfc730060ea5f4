"""Batches that other machines make, through a tf.data service, in their order.

A service gives each batch at most once, and in no order: what a worker had begun is
lost when it dies. What is missing is made here, so that a training sees each image
once in an epoch, and the same ones as without a service, whatever dies.
"""

import atexit
import contextlib
import queue
import socket
import threading
import time
import uuid
import weakref

import tensorflow as tf

# Public TensorFlow has no way to end a read that waits for a dead worker.
from tensorflow.python.eager import cancellation

from keras_effnet.errors import InputError
from keras_effnet.errors import first_line

_CONNECT_SECONDS = 30
_PATIENCE_SECONDS = 60
# Batches that wait here for one before them, at least as many, if memory allows more.
_AHEAD = (16, 64)
_AHEAD_BYTES = 2**30
_QUEUE = 2
_WORKER_PREFETCH = 2
_CLOSE_SECONDS = 5


def parse_address(text):
    """The parts of `"HOST:PORT"`, a string and an int; any other text is an
    `InputError`."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InputError(
            f"An address is HOST:PORT, 'server.example:5050'. Received: {text!r}"
        )
    return host.strip("[]"), int(port)


def check(address, seconds=_CONNECT_SECONDS):
    """Waits until a dispatcher at `"HOST:PORT"` can be reached, and gives the IP
    address of this machine that it sees."""
    host, port = parse_address(address)
    end = time.monotonic() + seconds
    while True:
        try:
            with socket.create_connection((host, port), timeout=seconds) as connection:
                return connection.getsockname()[0]
        except OSError as error:
            if time.monotonic() + 1 > end:
                raise InputError(
                    "No dispatcher of a data service can be reached "
                    f"({error.strerror or error}): is `keras-effnet data-service "
                    f"--port {port} --address 0.0.0.0` running there? "
                    f"Received: {address!r}"
                ) from error
        time.sleep(1)


def check_source(source):
    """Refuses a `Source` with images that only Pillow, in this process, decodes."""
    if source.convert.any():
        raise InputError(
            "A data service decodes JPEG, PNG and BMP, not what only Pillow decodes "
            "(TIFF, WebP, GIF, CMYK, Exif orientation). "
            "keras_effnet.data.records.write_records writes all images to TFRecord "
            f"files as it needs them. Received: {source.convert.sum()} such images of "
            f"{source.count}, the first is {source.keys[source.convert][0]!r}"
        )


class DataService:
    """The client of a tf.data service whose dispatcher is at `"HOST:PORT"`.

    `tell` is called once for each use of `batches` where this process makes batches
    itself; `patience` is in seconds, for a batch; `ahead` batches wait for one before
    them until that is made here, 16, or up to 64 in a GiB, when `None`.
    """

    def __init__(self, address, tell, patience=_PATIENCE_SECONDS, ahead=None):
        parse_address(address)
        self.address = address
        self._tell = tell
        self._patience = patience
        self._ahead = ahead

    def batches(self, draw, first, last):
        """The steps from `first` to before `last`, in their order; elements as of
        `draw`.

        `draw(first, last)` gives a `tf.data.Dataset` of steps, tuples of tensors of
        known shapes, of which the first is the step, an int64 scalar. Its source has an
        element for each step, and its graph no Python.
        """
        specs = draw(last, last).element_spec
        limit = self._limit(specs)

        def generate():
            stream = _Stream(self.address, lambda: draw(first, last))
            found = self._in_order(stream, draw, range(first, last), limit)
            try:
                while (batch := stream.in_turn(lambda: next(found, None))) is not None:
                    yield batch
            finally:
                stream.close()

        return tf.data.Dataset.from_generator(generate, output_signature=specs).apply(
            tf.data.experimental.assert_cardinality(last - first)
        )

    def _limit(self, specs):
        least, most = _AHEAD
        size = sum(spec.shape.num_elements() * spec.dtype.size for spec in specs)
        return self._ahead or min(max(_AHEAD_BYTES // size, least), most)

    def _in_order(self, stream, draw, steps, limit):
        ahead = {}
        own, silent, said = None, False, False
        for step in steps:
            while step not in ahead and len(ahead) < limit:
                batch = stream.get(0 if silent else self._patience)
                if stream.closed:
                    return
                if batch is None:
                    silent = True
                    break
                # One that comes late has been made here.
                if (found := int(batch[0])) >= step:
                    ahead[found] = batch
                    silent = False
            if step in ahead:
                own = None
                yield ahead.pop(step)
                continue
            if not said:
                said = True
                self._tell(self._message(stream, silent, step))
            own = own or iter(draw(step, min(ahead, default=steps.stop)))
            yield next(own)

    def _message(self, stream, silent, step):
        if stream.failed:
            what = f"it failed, {stream.failed}"
        elif silent and not stream.ended:
            what = f"nothing has come for {self._patience:g} s"
        else:
            what = "a worker must have died"
        return (
            f"data service at {self.address}: {what}; batch {step} of the epoch, and "
            "any other that is missing, is made here"
        )


class _Stream:
    """The batches of a service as they come, read by a thread."""

    def __init__(self, address, draw):
        self.failed = None
        self.ended = False
        self._found = queue.Queue(_QUEUE)
        self._stopped = threading.Event()
        self._turn = threading.Lock()
        self._cancellation = cancellation.CancellationManager()
        self._thread = threading.Thread(
            target=self._read, args=(address, draw), name="data-service", daemon=True
        )
        self._thread.start()
        _streams.add(self)

    @property
    def closed(self):
        return self._stopped.is_set()

    def in_turn(self, work):
        """What `work()` gives, or `None` where the stream is closed."""
        with self._turn:
            return None if self.closed else work()

    def get(self, seconds):
        """The next batch, or `None` where none comes in that time, or ever again."""
        try:
            batch = None if self.ended else self._found.get(timeout=seconds or 1e-3)
        except queue.Empty:
            return None
        self.ended |= batch is None
        return batch

    def close(self):
        """Ends the thread."""
        if self.closed:
            return
        self._stopped.set()
        self._cancellation.start_cancel()
        # It may wait for room. Only the call that registers can't be cancelled.
        end = time.monotonic() + _CLOSE_SECONDS
        while self._thread.is_alive() and time.monotonic() < end:
            while not self._found.empty():
                self._found.get()
            self._thread.join(0.02)
        with contextlib.suppress(queue.Full):
            self._found.put_nowait(None)

    def close_for_good(self):
        """Ends the thread, and waits until nobody is at work on a batch."""
        self.close()
        if self._turn.acquire(timeout=_CLOSE_SECONDS):
            self._turn.release()

    def _read(self, address, draw):
        try:
            check(address, seconds=5)
            batches = iter(_distributed(draw(), address))
            with cancellation.CancellationManagerContext(self._cancellation):
                while not self.closed:
                    self._found.put(_next(batches))
        except tf.errors.OutOfRangeError:
            pass
        # Whatever it is, the batches can be made here.
        except Exception as error:
            self.failed = first_line(error)
        if not self.closed:
            self._found.put(None)


_streams = weakref.WeakSet()


@atexit.register
def _close_streams():
    # TensorFlow waits for the call of a generator that is under way when Python ends,
    # and that for Python, for ever.
    live = [stream for stream in _streams if not stream.closed]
    for stream in live:
        stream.close_for_good()
    if live:
        time.sleep(0.5)  # what calls the generator returns, too


# Functions can be cancelled.
@tf.function(autograph=False, reduce_retracing=True)
def _next(batches):
    return batches.get_next()


def _distributed(batches, address):
    service = tf.data.experimental.service
    return batches.prefetch(_WORKER_PREFETCH).apply(
        service.distribute(
            # Each step goes to one worker, the next that asks.
            processing_mode=service.ShardingPolicy.DYNAMIC,
            service=f"grpc://{address}",
            job_name=f"keras-effnet-{uuid.uuid4().hex}",
            compression=None,  # photographs don't shrink
        )
    )
