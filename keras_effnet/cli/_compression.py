"""What the commands that train through TF-MOT have in common."""

import os
import pathlib

from keras_effnet.cli import _export
from keras_effnet.cli import _model
from keras_effnet.progress import step
from keras_effnet.quiet import import_keras


def add_arguments(parser, steps, learning_rate):
    """Adds the arguments that all of them take."""
    parser.add_argument("model", help="a .keras file, or a network's name")
    _model.add_weights(parser)
    parser.add_argument(
        "--train",
        nargs="+",
        required=True,
        metavar="PHOTOS",
        help="photographs or folders to train on; with --distillation below 1 one "
        "folder of one folder per class, or a list, CSV or JSON Lines, with "
        "file and label or class_index",
    )
    parser.add_argument(
        "--train-images",
        type=int,
        default=2000,
        metavar="N",
        help="use N of them, evenly spread (default: 2000)",
    )
    parser.add_argument(
        "--distillation",
        type=float,
        default=1.0,
        metavar="SHARE",
        help="of the float model's answers in what is learned, 0 to 1; the rest are "
        "labels (default: 1, which needs none)",
    )
    parser.add_argument(
        "--temperature",
        type=float,
        default=3.0,
        metavar="T",
        help="by which the logits are divided that are to be alike; a higher one "
        "counts the unlikely classes more (default: 3)",
    )
    parser.add_argument(
        "--steps", type=int, default=steps, metavar="N", help=f"default: {steps}"
    )
    parser.add_argument(
        "--batch-size", type=int, default=16, metavar="N", help="default: 16"
    )
    parser.add_argument(
        "--learning-rate",
        type=float,
        default=learning_rate,
        metavar="RATE",
        help="at the first step, in 8-bit steps of each channel over the root of its "
        f"weights; a cosine takes it to 0 (default: {learning_rate:g})",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    _export.add_judging(
        parser,
        "compared there with the model that came in; none of them may be trained on",
    )
    _export.add_files(
        parser, "of int8 files: float32, uint8 or int8 (default: int8)", required=True
    )


def add_precision(parser):
    """Adds the argument of the commands that write float files too."""
    parser.add_argument(
        "--precision",
        default="float32",
        help="of the files: float32, float16, dynamic, weight-only, int8, int16x8, "
        "with commas (default: float32)",
    )


def run(args, technique, **options):
    """Trains by `qat`, `prune` or `cluster`, writes the .keras and .tflite files, and
    tells of them."""
    # The training, a process of its own, needs a part of the GPU's memory.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    import_keras()
    from keras_effnet import export

    recipe = export.CompressionRecipe(
        args.steps,
        args.batch_size,
        args.learning_rate,
        args.distillation,
        args.temperature,
        args.seed,
    )
    model = _model.load(args)
    path = pathlib.Path(args.output) / f"{args.name or model.name}.keras"
    _model.refuse_itself(path, args)
    exported = export.train_and_export(
        model,
        technique,
        args.train,
        args.output,
        [name.strip() for name in getattr(args, "precision", "int8").split(",")],
        train_images=args.train_images,
        recipe=recipe,
        evaluation=args.evaluate,
        max_drop=args.max_drop,
        on_broken=args.on_broken,
        all_images=args.all_images,
        input_type=args.input_type,
        name=args.name,
        latency=True,
        settings=_export.settings(args),
        progress=step,
        **options,
    )
    print(export.table(exported))
    print(path)
    _export.refuse_over_limit(exported, args.max_drop)
