"""write a picture of what the network will see in training

  keras-effnet preview photos/ --recipe flowers --output preview.png
  keras-effnet preview rose.jpg daisy.jpg --recipe v2_paper --stage 4

A block for each progressive stage; the first column is the evaluation crop.
"""

import pathlib

from keras_effnet import files
from keras_effnet.cli import _recipe
from keras_effnet.errors import InputError
from keras_effnet.quiet import import_keras

_MOST_PHOTOS = 12


def add_arguments(parser):
    parser.add_argument("photos", nargs="+", help="photographs, or folders of them")
    _recipe.add_arguments(parser)
    parser.add_argument(
        "--stage", default="all", help="number of a stage, from 1 (default: all)"
    )
    parser.add_argument(
        "--draws", type=int, default=6, help="images of each photograph (default: 6)"
    )
    parser.add_argument(
        "--output", default="preview.png", help="a .png file (default: preview.png)"
    )


def run(args):
    from keras_effnet.data.photos import find_photos
    from keras_effnet.data.photos import read_photo

    if args.draws < 1:
        raise InputError(f"--draws must be at least 1. Received: {args.draws}")
    output = pathlib.Path(args.output)
    if output.suffix.lower() != ".png":
        raise InputError(f"--output must end in .png. Received: {args.output!r}")
    import_keras()
    from keras_effnet.data import preview
    from keras_effnet.preprocessing import for_weights
    from keras_effnet.training.networks import evaluation_rule
    from keras_effnet.training.recipes import get_recipe
    from keras_effnet.training.stages import stages
    from keras_effnet.weights.table import sets_of

    paths = find_photos(args.photos)
    recipe = get_recipe(args.recipe, args.model, len(paths), **_recipe.overrides(args))
    chosen = _chosen(stages(recipe), args.stage)
    published = str(recipe.weights).partition("@")[0] in sets_of(recipe.model)
    rule = for_weights(recipe.model, recipe.weights if published else None)
    rule = evaluation_rule(recipe, rule)
    # The first of each folder would show one class only.
    paths = paths[:: -(-len(paths) // _MOST_PHOTOS)]
    photos = [read_photo(path, recipe.channels) for path in paths]
    previews = [
        preview.draw(photos, stage, recipe, rule, args.draws) for stage in chosen
    ]
    with files.replacing(output) as temporary:
        preview.figure(previews).savefig(temporary, format="png", dpi=150)
    print(f"written: {output}")


def _chosen(stages, name):
    if name == "all":
        return stages
    if name.isdecimal() and 1 <= int(name) <= len(stages):
        return [stages[int(name) - 1]]
    raise InputError(f"--stage must be 'all' or 1 to {len(stages)}. Received: {name!r}")
