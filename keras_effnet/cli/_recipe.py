"""The arguments that name a recipe and change it, of `train` and `preview`."""

from keras_effnet.training.recipes import RECIPES
from keras_effnet.training.recipes import parse_override


def add_arguments(parser):
    parser.add_argument(
        "--recipe",
        default="finetune",
        help=f"one of {', '.join(RECIPES)} (default: finetune)",
    )
    parser.add_argument("--model", metavar="NETWORK", help="default: the recipe's")
    parser.add_argument(
        "--weights",
        metavar="SET",
        help="to start from: a published set, a file, or none, from nothing: all then "
        "learns from the first epoch (default: the recipe's)",
    )
    parser.add_argument(
        "--epochs",
        metavar="N",
        help="the recipe's phases keep their shares of them (default: the recipe's)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="another value for a field of the recipe; may be repeated",
    )


def overrides(args):
    """Fields of the recipe and their values, as the arguments change them."""
    found = dict(parse_override(text) for text in args.set)
    if args.model:
        found["model"] = args.model
    if args.epochs is not None:
        found["epochs"] = args.epochs
    if args.weights:
        found["weights"] = None if args.weights == "none" else args.weights
    return found
