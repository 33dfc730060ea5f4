"""The photographs that an export is calibrated and judged on."""

import pathlib
import sys

from keras_effnet.errors import InputError


def calibration(args, model, needed):
    """Photographs for the ranges of the activations.

    Returns:
        `(paths, batches)`: the photographs, and a function for `export`, both
        `None` where no precision needs them.
    """
    from keras_effnet.data import photos
    from keras_effnet.export.calibration import FEW_IMAGES
    from keras_effnet.export.calibration import evenly

    if not args.calibrate:
        if needed:
            raise InputError(
                f"{needed} needs photographs to find the ranges of the activations. "
                f"Received: --precision {needed} without --calibrate"
            )
        return None, None
    if args.calibration_images < 1:
        raise InputError(
            "--calibration-images must be at least 1. "
            f"Received: {args.calibration_images}"
        )
    found = photos.find_photos(args.calibrate)
    chosen = [found[i] for i in evenly(len(found), args.calibration_images)]
    for photo in chosen:
        # A damaged one is better found now than in the middle of a conversion.
        photos.read_photo(photo)
    if len(chosen) < FEW_IMAGES:
        print(
            f"keras-effnet: note: few photographs ({len(chosen)}) leave the ranges of "
            "the activations to chance; a hundred and more are usual",
            file=sys.stderr,
        )
    return chosen, _batches(model, chosen, 1, "calibrating")


def evaluation(args, model, seen, option="--calibrate"):
    """`Images` to judge the files on, or `None` without --evaluate.

    Args:
        args: What the command line gave.
        model: The `keras.Model`.
        seen: Photographs that the files know, none of which may judge, or `None`.
        option: By which they were given.
    """
    from keras_effnet.data import photos
    from keras_effnet.evaluation import class_folders
    from keras_effnet.evaluation import labelled_photos
    from keras_effnet.evaluation import load_classifier
    from keras_effnet.export import Images

    if not args.evaluate:
        return None
    source, labels = pathlib.Path(args.evaluate), None
    if source.is_dir() and not class_folders(source):
        paths = photos.find_photos([source])
    else:
        paths, labels = labelled_photos(source, load_classifier(model))
    known = {path.resolve() for path in seen or ()}
    both = [path for path in paths if pathlib.Path(path).resolve() in known]
    if both:
        raise InputError(
            "A file is never judged on photographs that it was made with: "
            f"{len(both)} are in {option} and in --evaluate. "
            f"Received: {str(both[0])!r}"
        )
    return Images(_batches(model, paths, 32, "evaluating"), labels)


def _batches(model, paths, batch_size, what):
    import tqdm

    from keras_effnet.data import photos
    from keras_effnet.evaluation import load_classifier

    classifier = load_classifier(model)
    shape, rule = classifier.input_shape, classifier.preprocessing

    def read():
        bar = tqdm.tqdm(
            total=len(paths), desc=what, unit="image", leave=False, disable=None
        )
        with bar:
            for batch in photos.batches(paths, shape, rule, batch_size=batch_size):
                yield batch
                bar.update(len(batch))

    return read
