"""read and augment training images on other machines

A dispatcher, on one machine, and workers, on as many as there are:

  keras-effnet data-service --port 5050
  keras-effnet data-service --dispatcher server.example:5050 --port 5051

The training asks the dispatcher for its batches (tf.data service). Workers need the
same version of this package and of TensorFlow, and the data under the same paths as the
training. They may come and go while it runs. Nothing is encrypted, and whoever reaches
the ports reads what the workers can read: a network of your own, please.
"""

import os
import signal
import socket
import threading

from keras_effnet.errors import InputError
from keras_effnet.quiet import native_stderr_held_back


def add_arguments(parser):
    parser.add_argument(
        "--port",
        type=int,
        metavar="P",
        help="to listen on (default: any that is free, for a worker)",
    )
    parser.add_argument(
        "--dispatcher",
        metavar="HOST:PORT",
        help="whose worker this is; without, this is a dispatcher",
    )
    parser.add_argument(
        "--worker-address",
        metavar="HOST:PORT",
        help="where the training reaches this worker (default: the address of this "
        "machine on the way to the dispatcher)",
    )
    parser.add_argument(
        "--work-dir",
        metavar="FOLDER",
        help="a dispatcher that is started again goes on from here; all workers must "
        "see it, under the same path",
    )


def run(args):
    if args.port is not None and not 0 < args.port < 65536:
        raise InputError(f"A port is 1 to 65535. Received: --port {args.port}")
    # Images need no GPU, and the training beside may need all of it.
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    server, line = (_worker if args.dispatcher else _dispatcher)(args)
    print(line, flush=True)
    while not stopped.wait(1):
        pass
    server._stop()


def _dispatcher(args):
    if args.port is None or args.worker_address:
        raise InputError(
            "A dispatcher has a --port and no --worker-address, a worker has a "
            f"--dispatcher. Received: --port {args.port} --worker-address "
            f"{args.worker_address}"
        )
    with native_stderr_held_back():
        import tensorflow as tf

        service = tf.data.experimental.service
        config = service.DispatcherConfig(
            port=args.port,
            work_dir=args.work_dir and os.path.abspath(args.work_dir),
            fault_tolerant_mode=bool(args.work_dir),
        )
        server = _started(service.DispatchServer, config)
    return server, f"dispatcher at {socket.gethostname()}:{args.port}"


def _worker(args):
    if args.work_dir:
        raise InputError(
            f"--work-dir is a dispatcher's. Received: --work-dir {args.work_dir}"
        )
    with native_stderr_held_back():
        import tensorflow as tf

        from keras_effnet.data import service as data_service

    if args.worker_address:
        data_service.parse_address(args.worker_address)
    own = data_service.check(args.dispatcher)
    port = args.port or _free_port()
    host = f"[{own}]" if ":" in own else own
    address = args.worker_address or f"{host}:{port}"
    with native_stderr_held_back():
        service = tf.data.experimental.service
        config = service.WorkerConfig(
            dispatcher_address=args.dispatcher,
            worker_address=address,
            port=port,
            # Of 30 s: a dispatcher that was started again has its workers sooner.
            heartbeat_interval_ms=5000,
        )
        server = _started(service.WorkerServer, config)
    return server, f"worker at {address} for the dispatcher at {args.dispatcher}"


def _check_free(port):
    with socket.socket() as test:
        test.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            test.bind(("", port))
        except OSError as error:
            raise InputError(
                f"The port can't be listened on: {error.strerror}. "
                f"Received: --port {port}"
            ) from error


def _free_port():
    with socket.socket() as test:
        test.bind(("", 0))
        return test.getsockname()[1]


def _started(kind, config):
    import tensorflow as tf

    # The last thing before: it takes seconds to come here, and gRPC shares a port with
    # another server.
    _check_free(config.port)
    try:
        return kind(config)
    except (tf.errors.OpError, RuntimeError) as error:
        message = str(error).splitlines()[0]
        raise InputError(
            f"The server can't start: {message}. Received: port {config.port}"
        ) from error
