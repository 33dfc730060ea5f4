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
import threading

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
    # Images need no GPU, and the training beside may need all of it.
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with native_stderr_held_back():
        from keras_effnet.data.serving import serve

    server, line = serve(args.port, args.dispatcher, args.worker_address, args.work_dir)
    print(line, flush=True)
    while not stopped.wait(1):
        pass
    server._stop()
