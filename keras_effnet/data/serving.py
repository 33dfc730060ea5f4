"""The servers of a tf.data service: a dispatcher, and workers that make batches."""

import os
import socket

import tensorflow as tf

from keras_effnet.data import service as client
from keras_effnet.errors import InputError
from keras_effnet.errors import first_line
from keras_effnet.quiet import native_stderr_held_back

# The only one that TensorFlow has for these servers.
_EVERYWHERE = "0.0.0.0"


def serve(
    port=None,
    dispatcher=None,
    worker_address=None,
    work_dir=None,
    address="127.0.0.1",
):
    """Starts a dispatcher, or a worker of one: `(server, line)`, TensorFlow's server,
    which serves until it is deleted, and a text that says where.

    A worker has a `dispatcher`, `"HOST:PORT"`, takes any free port for `None`, and is
    reached by the training at `worker_address`, `None` for this machine's address on
    the way to the dispatcher. `work_dir` is where a dispatcher that is started again
    goes on from; all workers must see it, under the same path.
    `address` is that of the interface to listen on: `"0.0.0.0"` alone is taken, since
    TensorFlow listens on all of them.
    """
    if port is not None and not 0 < port < 65536:
        raise InputError(f"A port is 1 to 65535. Received: `port` {port}")
    if address != _EVERYWHERE:
        raise InputError(
            "TensorFlow's data service listens on every interface of this machine, and "
            "whoever reaches its port can read, write and run what you can. In a "
            f"network of your own agree by `address` {_EVERYWHERE}. "
            f"Received: `address` {address}"
        )
    if dispatcher:
        return _worker(port, dispatcher, worker_address, work_dir)
    return _dispatcher(port, worker_address, work_dir)


def _dispatcher(port, worker_address, work_dir):
    if port is None or worker_address:
        raise InputError(
            "A dispatcher has a `port` and no `worker_address`, a worker has a "
            f"`dispatcher`. Received: `port` {port} `worker_address` {worker_address}"
        )
    with native_stderr_held_back():
        service = tf.data.experimental.service
        config = service.DispatcherConfig(
            port=port,
            work_dir=work_dir and os.path.abspath(work_dir),
            fault_tolerant_mode=bool(work_dir),
        )
        server = _started(service.DispatchServer, config)
    return server, f"dispatcher at {socket.gethostname()}:{port}"


def _worker(port, dispatcher, worker_address, work_dir):
    if work_dir:
        raise InputError(
            f"`work_dir` is a dispatcher's. Received: `work_dir` {work_dir}"
        )
    if worker_address:
        client.parse_address(worker_address)
    own = client.check(dispatcher)
    port = port or _free_port()
    host = f"[{own}]" if ":" in own else own
    address = worker_address or f"{host}:{port}"
    with native_stderr_held_back():
        service = tf.data.experimental.service
        config = service.WorkerConfig(
            dispatcher_address=dispatcher,
            worker_address=address,
            port=port,
            # Of 30 s: a dispatcher that was started again has its workers sooner.
            heartbeat_interval_ms=5000,
        )
        server = _started(service.WorkerServer, config)
    return server, f"worker at {address} for the dispatcher at {dispatcher}"


def _check_free(port):
    with socket.socket() as test:
        test.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            test.bind(("", port))
        except OSError as error:
            raise InputError(
                f"The port can't be listened on: {error.strerror}. "
                f"Received: `port` {port}"
            ) from error


def _free_port():
    with socket.socket() as test:
        test.bind(("", 0))
        return test.getsockname()[1]


def _started(kind, config):
    # The last thing before: it takes seconds to come here, and gRPC shares a port with
    # another server.
    _check_free(config.port)
    try:
        return kind(config)
    except (tf.errors.OpError, RuntimeError) as error:
        raise InputError(
            f"The server can't start: {first_line(error)}. Received: port {config.port}"
        ) from error
