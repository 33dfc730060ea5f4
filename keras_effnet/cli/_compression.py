"""What the commands that train through TF-MOT have in common."""

import os
import pathlib
import shlex
import shutil

from keras_effnet import files
from keras_effnet.cli import _model
from keras_effnet.cli import export as _export
from keras_effnet.errors import InputError
from keras_effnet.quiet import import_keras

# Images from which the ranges of the files are taken.
_CALIBRATION = 250


def add_arguments(parser, steps, learning_rate):
    """Adds the arguments that all of them take.

    Args:
        parser: An `argparse.ArgumentParser`.
        steps: The default number of steps.
        learning_rate: The default.
    """
    parser.add_argument("model", help="a .keras file, or a network's name")
    _model.add_weights(parser)
    parser.add_argument(
        "--train",
        nargs="+",
        required=True,
        metavar="PHOTOS",
        help="photographs or folders to train on; with --distillation below 1 one "
        "folder of one folder per class, or a CSV file with the columns file and "
        "class_index",
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
    parser.add_argument(
        "--evaluate",
        metavar="PHOTOS",
        help="a folder of one folder per class, a CSV file, or a folder of photographs "
        "without classes, none of them trained on: each file is compared there with "
        "the model that came in",
    )
    parser.add_argument(
        "--max-drop",
        type=float,
        metavar="POINTS",
        help="percentage points of accuracy that a file may lose",
    )
    parser.add_argument(
        "--input-type",
        metavar="TYPE",
        help="of int8 files: float32, uint8 or int8 (default: int8)",
    )
    parser.add_argument("--name", help="of the files (default: the model's)")
    parser.add_argument("--output", required=True, metavar="FOLDER")


def add_precision(parser):
    """Adds the argument of the commands that write float files too."""
    parser.add_argument(
        "--precision",
        default="float32",
        help="of the files: float32, float16, dynamic, weight-only, int8, int16x8, "
        "with commas (default: float32)",
    )


def precisions(args):
    """What `--precision` names."""
    return tuple(name.strip() for name in args.precision.split(","))


def run(args, technique, precisions, **options):
    """Trains, writes the .keras file and the .tflite files, and tells of them.

    Args:
        args: What the command line gave.
        technique: The name of a function of `keras_effnet.export`.
        precisions: Of the files.
        **options: For the function.
    """
    # The training, a process of its own, needs a part of the GPU's memory.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    import_keras()
    from keras_effnet.export.calibration import evenly
    from keras_effnet.export.compression.compressing import check_model
    from keras_effnet.export.compression.recipe import CompressionRecipe
    from keras_effnet.export.judge import Judge
    from keras_effnet.export.precisions import check_input_type
    from keras_effnet.export.precisions import check_precision
    from keras_effnet.export.publishing import checked_name

    for precision in precisions:
        check_precision(precision)
    check_input_type(args.input_type)
    recipe = CompressionRecipe(
        args.steps,
        args.batch_size,
        args.learning_rate,
        args.distillation,
        args.temperature,
        args.seed,
    )
    model = _export.load(args)
    from keras_effnet import export as exporting
    from keras_effnet.cli import _export_photos

    check_model(model)
    folder, name = pathlib.Path(args.output), checked_name(args.name or model.name)
    _model.refuse_itself(folder / f"{name}.keras", args)
    paths, labels = _photographs(args, model, recipe)
    evaluation = _export_photos.evaluation(args, model, paths, "--train")
    Judge(model, evaluation, args.max_drop)  # refuses what can't be judged
    files.check_folder(folder)
    images = _images(model, paths)
    work = folder / f"{name}-training"
    with _bar(recipe.steps) as tell:
        result = getattr(exporting, technique)(
            model,
            images,
            labels=labels,
            recipe=recipe,
            folder=work,
            tell=tell,
            **options,
        )
    with files.replacing(folder / f"{name}.keras") as temporary:
        result.model.save(temporary)
    exported = exporting.export(
        result.model,
        folder,
        precisions,
        lambda: (images[i : i + 1] for i in evenly(len(images), _CALIBRATION)),
        name,
        input_type=args.input_type,
        evaluation=evaluation,
        max_drop=args.max_drop,
        settings={"command": shlex.join(["keras-effnet", *args.argv])},
        ranges=result.ranges,
        reference=model,
        training=result.figures,
        progress=_export.tell,
    )
    shutil.rmtree(work)
    exported = _export.measure(exported)
    print(_export.report(exported))
    print(folder / f"{name}.keras")
    _export.refuse_over_limit(exported, args.max_drop)


def _photographs(args, model, recipe):
    from keras_effnet.data import photos
    from keras_effnet.evaluation import labelled_photos
    from keras_effnet.evaluation import load_classifier
    from keras_effnet.export.calibration import evenly

    if args.train_images < 2:
        raise InputError(
            f"--train-images must be at least 2. Received: {args.train_images}"
        )
    labels = None
    if recipe.distillation < 1:
        source = pathlib.Path(args.train[0])
        if len(args.train) > 1:
            raise InputError(
                "--distillation below 1 needs labels: one folder of one folder per "
                "class, or one CSV file. "
                f"Received: --train {' '.join(args.train)}"
            )
        paths, labels = labelled_photos(source, load_classifier(model))
    else:
        paths = photos.find_photos(args.train)
    chosen = evenly(len(paths), args.train_images)
    return [paths[i] for i in chosen], None if labels is None else labels[chosen]


def _images(model, paths):
    """All photographs as the model takes them, in one array."""
    import numpy as np
    import tqdm

    from keras_effnet.data import photos
    from keras_effnet.evaluation import load_classifier

    classifier = load_classifier(model)
    bar = tqdm.tqdm(
        total=len(paths), desc="reading", unit="image", leave=False, disable=None
    )
    parts = []
    with bar:
        for batch in photos.batches(
            paths, classifier.input_shape, classifier.preprocessing
        ):
            parts.append(batch)
            bar.update(len(batch))
    return np.concatenate(parts)


class _bar:
    """A progress bar of steps that shows the loss."""

    def __init__(self, steps):
        import tqdm

        self._bar = tqdm.tqdm(
            total=steps, desc="training", unit="step", leave=False, disable=None
        )

    def __enter__(self):
        return self._tell

    def __exit__(self, *error):
        self._bar.close()

    def _tell(self, step, loss):
        self._bar.update(step - self._bar.n)
        self._bar.set_postfix(loss=f"{loss:.3f}")
