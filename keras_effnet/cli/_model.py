"""The arguments by which several commands name a model, and its loading."""

import pathlib

from keras_effnet.class_names import check_names
from keras_effnet.class_names import read_names
from keras_effnet.errors import InputError
from keras_effnet.notes import note
from keras_effnet.quiet import import_keras
from keras_effnet.specs import get_spec
from keras_effnet.specs import suggested

FILE_SUFFIXES = (".keras", ".tflite")


def add_weights(parser):
    parser.add_argument(
        "--weights",
        metavar="SET",
        help="of a network given by name: a published set, see `keras-effnet weights "
        "list`, or a file",
    )
    add_preprocessing(parser)
    parser.add_argument(
        "--class-names",
        metavar="NAMES",
        help="of a model that has none: imagenet, or a text file with one name a line",
    )


def add_preprocessing(parser):
    parser.add_argument(
        "--preprocessing",
        metavar="SET",
        help="the published set whose preprocessing a weights file needs (default: "
        "the network's ImageNet weights', or what the file says)",
    )


def is_file(model):
    path = pathlib.Path(model)
    return path.suffix in FILE_SUFFIXES or path.is_dir()


def find_spec(name):
    """The network that has this name, for a model that is no file."""
    try:
        return get_spec(name)
    except InputError as error:
        raise InputError(
            "The model must be a file (.keras, .tflite, or a SavedModel folder) or a "
            f"network's name. {suggested(name)}`keras-effnet models` lists the "
            f"names. Received: {name!r}"
        ) from error


def build(spec, args):
    """A network with the weights that the arguments name, or random ones."""
    import_keras()
    from keras_effnet import build_model

    return build_model(spec, weights=args.weights, preprocessing=args.preprocessing)


def load(args):
    """The `keras.Model` that the argument `model` names."""
    if not is_file(args.model):
        spec = find_spec(args.model)
        if not args.weights:
            note("no --weights, the network is random")
        return build(spec, args)
    if pathlib.Path(args.model).suffix != ".keras":
        raise InputError(f"Export starts from a .keras file. Received: {args.model!r}")
    refuse_weights(args)
    import_keras()
    from keras_effnet import saving

    model = saving.load_model(args.model)
    # Networks share a name; the files that come of them must not.
    args.name = args.name or pathlib.Path(args.model).stem
    if names := _class_names(args, model.output_shape[-1]):
        saving.attach(model, saving.attached(model), names)
    return model


def _class_names(args, classes):
    """What `--class-names` gives, or `None`."""
    if not args.class_names:
        return None
    names = read_names(args.class_names)
    check_names(names, max(2, classes))
    return names


def refuse_itself(path, args):
    """A .keras file must not replace the model that it comes from."""
    if pathlib.Path(path).resolve() == pathlib.Path(args.model).resolve():
        raise InputError(
            "The .keras file would replace the one that it comes from: give "
            f"--output or --name. Received: {str(path)!r}"
        )


def refuse_weights(args):
    """A model that is a file brings its own."""
    for option in ("weights", "preprocessing"):
        value = getattr(args, option)
        if value:
            raise InputError(
                f"A model file has its {option}. Received: --{option} {value}"
            )


def add_trust(parser):
    parser.add_argument(
        "--trust",
        action="store_true",
        help="run a SavedModel that reads or writes files or reaches other programs",
    )


def classifier(args):
    """What `--model` or the argument `model` names, loaded to classify images."""
    from keras_effnet.evaluation import load_classifier

    if is_file(args.model):
        refuse_weights(args)
        if not args.model.endswith(".tflite"):
            import_keras()
        found = load_classifier(args.model, args.trust)
        found.class_names = _class_names(args, found.classes) or found.class_names
        return found
    spec = find_spec(args.model)
    if not args.weights:
        raise InputError(
            "A network given by name needs --weights: random ones would name anything. "
            f"Received: {args.model} without --weights"
        )
    return load_classifier(build(spec, args))
