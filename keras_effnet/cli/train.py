"""train a network on your photographs

  keras-effnet train photos/ --recipe finetune --output runs/mine
  keras-effnet train tfds:tf_flowers --recipe flowers --set epochs=20
  keras-effnet train digits --recipe digits

DATA is a folder of one folder per class, tfds:NAME, TFRecord files, a folder of MNIST's
IDX files, or digits (scikit-learn's). Where it has no validation split of its own, a
share of it is held out by a hash of the file names. The output folder is the whole
truth about the run; stopped in whatever way, the same command goes on from the last
checkpoint. SIGTERM, with which schedulers announce that a machine is taken away, is
answered by a checkpoint and exit code 75.

It uses every GPU of the machine, or as many as --devices says. Several machines, or
processes, train together with --cluster, on JAX; the output folder must be one that
all of them see:

  keras-effnet train photos/ --cluster 10.0.0.1:8476 --processes 2 --process-id 0
  keras-effnet train photos/ --cluster 10.0.0.1:8476 --processes 2 --process-id 1
"""

import contextlib
import importlib.util
import os
import sys

from keras_effnet.cli import _recipe
from keras_effnet.errors import InputError
from keras_effnet.quiet import import_keras
from keras_effnet.quiet import native_stderr_held_back


def add_arguments(parser):
    parser.add_argument("data", metavar="DATA", help="see above")
    _recipe.add_arguments(parser)
    parser.add_argument(
        "--output", default="runs/train", metavar="FOLDER", help="default: runs/train"
    )
    parser.add_argument("--train-split", help="in TFDS syntax, train[:80%%]")
    parser.add_argument("--validation-split", help="in TFDS syntax")
    parser.add_argument(
        "--on-broken",
        default="skip",
        help="images that can't be decoded: skip or fail (default: skip)",
    )
    parser.add_argument(
        "--no-cache",
        action="store_true",
        help="look at every image again, not only at those that have changed",
    )
    parser.add_argument(
        "--devices",
        type=int,
        metavar="N",
        help="of this machine (default: every GPU, or the processor)",
    )
    parser.add_argument(
        "--cluster",
        metavar="HOST:PORT",
        help="of the first process of several; or auto, under Slurm, Open MPI, TPU",
    )
    parser.add_argument("--processes", type=int, metavar="N", help="in the cluster")
    parser.add_argument(
        "--process-id", type=int, metavar="I", help="of this one, from 0, the chief"
    )
    parser.add_argument(
        "--data-service",
        metavar="HOST:PORT",
        help="of a dispatcher (keras-effnet data-service), whose workers read and "
        "augment the images",
    )
    parser.add_argument(
        "--no-progress", action="store_true", help="no bars, a line for each epoch"
    )


def run(args):
    _check_cluster(args)
    import_keras()
    from keras_effnet.training import machines
    from keras_effnet.training.devices import open_devices

    recipe = _recipe.chosen(args)
    if args.data_service:
        with native_stderr_held_back():
            from keras_effnet.data import service

        service.check(args.data_service)
    if not args.cluster:
        devices = open_devices(args.devices)
        _train(args, devices, *_open(args, recipe))
        return
    # SIGTERM ends the look at every image at once; in a cluster it waits for a step.
    machines.prepare(args.cluster, args.processes, args.process_id)
    sources = _open(args, recipe)
    with machines.joined(args.cluster, args.processes, args.process_id) as devices:
        _train(args, devices, *sources)


def _check_cluster(args):
    if not args.cluster:
        if args.processes is not None or args.process_id is not None:
            raise InputError(
                "`--processes` and `--process-id` belong to `--cluster`. Received: "
                f"processes={args.processes}, process_id={args.process_id}"
            )
        return
    if args.devices is not None:
        raise InputError(
            "`--devices` is for one process; those of a cluster use all that they "
            f"see (CUDA_VISIBLE_DEVICES). Received: {args.devices}"
        )
    backend = os.environ.setdefault("KERAS_BACKEND", "jax")
    if backend != "jax":
        raise InputError(
            "A cluster trains on JAX: leave KERAS_BACKEND away, or set it to jax. "
            f"Received: {backend!r}"
        )
    if not importlib.util.find_spec("jax"):
        raise InputError(
            "A cluster needs JAX: pip install 'keras-effnet[cluster]'. "
            f"Received: {args.cluster!r}"
        )


def _open(args, recipe):
    from keras_effnet.data import cached
    from keras_effnet.data.split import train_and_validation

    with _checking(shown=not args.no_progress and not args.process_id) as checked:
        return train_and_validation(
            args.data,
            validation=recipe.validation,
            train_split=args.train_split,
            validation_split=args.validation_split,
            on_broken=args.on_broken,
            cache=None if args.no_cache else cached.default_folder(),
            progress=checked,
        )


def _train(args, devices, source, validation):
    from keras_effnet.training.running import train

    if devices.chief:
        print(
            f"{source.count} images of {len(source.class_names)} classes to learn "
            f"from, {validation.count} held out",
            file=sys.stderr,
        )
    result = train(
        _recipe.chosen(args, source.count),
        source,
        validation,
        args.output,
        progress=not args.no_progress,
        say=lambda line: print(line, file=sys.stderr, flush=True),
        devices=devices,
        service=args.data_service,
    )
    if result is None:
        return
    low, high = result.interval
    print(
        f"{args.output}/model.keras: {result.top1:.1%} of {len(result.labels)} "
        f"held-out images ({low:.1%} to {high:.1%}); {args.output}/report.html"
    )


@contextlib.contextmanager
def _checking(shown):
    """A bar for the look at every image, as `progress(seen, all)`."""
    import tqdm

    disable = None if shown else True
    with tqdm.tqdm(desc="checking", unit="image", leave=False, disable=disable) as bar:

        def progress(seen, total):
            bar.total = total
            bar.update(seen - bar.n)

        yield progress
