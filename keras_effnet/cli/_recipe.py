"""The arguments that name a recipe and change it, of `train` and `preview`."""

from keras_effnet.training.recipes import RECIPES
from keras_effnet.training.recipes import get_recipe
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
        help="to start from: a published set, a file, or none (default: the recipe's)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="another value for a field of the recipe; may be repeated",
    )


def chosen(args, images=None):
    """The `Recipe` that the arguments describe, for a number of training images."""
    overrides = dict(parse_override(text) for text in args.set)
    if args.weights:
        overrides["weights"] = None if args.weights == "none" else args.weights
    return get_recipe(args.recipe, model=args.model, images=images, **overrides)
