"""train a network on your photographs

  keras-effnet train photos/ --recipe finetune --output runs/mine
  keras-effnet train tfds:tf_flowers --recipe flowers --set epochs=20
  keras-effnet train digits --recipe digits

DATA is a folder of one folder per class, a list of photographs with their labels (.csv,
.tsv, .jsonl: file and label or class_index, maybe split), tfds:NAME, TFRecord files, a
folder of MNIST's IDX files, or digits (scikit-learn's). Where it has no validation
split of its own, a share of it is held out by a hash of the file names. The output
folder is the whole truth about the run; stopped in whatever way, the same command goes
on from the last checkpoint. SIGTERM, with which schedulers announce that a machine is
taken away, and SIGHUP are answered by a checkpoint and exit code 75.

It uses every GPU of the machine, or as many as --devices says. Several machines, or
processes, train together with --cluster, on JAX; the output folder must be one that
all of them see:

  keras-effnet train photos/ --cluster 10.0.0.1:8476 --processes 2 --process-id 0
  keras-effnet train photos/ --cluster 10.0.0.1:8476 --processes 2 --process-id 1
"""

from keras_effnet.cli import _photos
from keras_effnet.cli import _recipe
from keras_effnet.data import cached
from keras_effnet.progress import tell
from keras_effnet.training import train


def add_arguments(parser):
    parser.add_argument("data", metavar="DATA", help="see above")
    _recipe.add_arguments(parser)
    parser.add_argument(
        "--output", default="runs/train", metavar="FOLDER", help="default: runs/train"
    )
    parser.add_argument("--train-split", help="in TFDS syntax, train[:80%%]")
    parser.add_argument("--validation-split", help="in TFDS syntax")
    parser.add_argument(
        "--write-split",
        metavar="FOLDER",
        help="write what is learned from and what is held out there, for other tools",
    )
    _photos.add_on_broken(parser)
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
        "--address",
        metavar="HOST",
        help="of the interface on which the chief of a cluster listens (default: that "
        "of --cluster); not with auto, where JAX listens on all",
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
    result = train(
        args.data,
        args.output,
        args.recipe,
        train_split=args.train_split,
        validation_split=args.validation_split,
        write_split=args.write_split,
        on_broken=args.on_broken,
        cache=None if args.no_cache else cached.default_folder(),
        devices=args.devices,
        cluster=args.cluster,
        processes=args.processes,
        process_id=args.process_id,
        listen=args.address,
        service=args.data_service,
        progress=tell,
        bars=not args.no_progress,
        **_recipe.overrides(args),
    )
    if result is None:
        return
    low, high = result.interval
    print(
        f"{args.output}/model.keras: {result.top1:.1%} of {len(result.labels)} "
        f"held-out images ({low:.1%} to {high:.1%}); {args.output}/report.html"
    )
