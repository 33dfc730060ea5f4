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
"""

import contextlib
import sys

from keras_effnet.cli import _recipe
from keras_effnet.quiet import import_keras


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
        "--no-progress", action="store_true", help="no bars, a line for each epoch"
    )


def run(args):
    import_keras()
    from keras_effnet.data import cached
    from keras_effnet.data.split import train_and_validation
    from keras_effnet.training.running import train

    recipe = _recipe.chosen(args)
    with _checking(shown=not args.no_progress) as checked:
        source, validation = train_and_validation(
            args.data,
            validation=recipe.validation,
            train_split=args.train_split,
            validation_split=args.validation_split,
            on_broken=args.on_broken,
            cache=None if args.no_cache else cached.default_folder(),
            progress=checked,
        )
    print(
        f"{source.count} images of {len(source.class_names)} classes to learn from, "
        f"{validation.count} held out",
        file=sys.stderr,
    )
    result = train(
        _recipe.chosen(args, source.count),
        source,
        validation,
        args.output,
        progress=not args.no_progress,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
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
