"""read and augment training images on other machines

A dispatcher, on one machine, and workers, on as many as there are:

  keras-effnet data-service --port 5050 --address 0.0.0.0
  keras-effnet data-service --dispatcher server.example:5050 --address 0.0.0.0

The training asks the dispatcher for its batches (tf.data service). Workers need the
same version of this package and of TensorFlow, and the data under the same paths as the
training. They may come and go while it runs. Nothing is encrypted, TensorFlow listens
on every interface, and whoever reaches a port can read, write and run what you can: a
network of your own, please, to which --address 0.0.0.0 agrees.
"""

import os
import threading

from keras_effnet import ending
from keras_effnet.progress import tell
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
        "--address",
        default="127.0.0.1",
        help="of the interface to listen on: 0.0.0.0, since TensorFlow can't listen on "
        "this machine alone, the default, which is refused",
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
    with ending.answered(lambda *_: stopped.set()):
        _serve(args, stopped)


def _serve(args, stopped):
    with native_stderr_held_back():
        from keras_effnet.data.serving import serve

    server, line = serve(
        args.port, args.dispatcher, args.worker_address, args.work_dir, args.address
    )
    tell("it listens on every interface: who reaches the port can do what you can")
    print(line, flush=True)
    while not stopped.wait(1):
        pass
    server._stop()
