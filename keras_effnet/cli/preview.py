"""write a picture of what the network will see in training

  keras-effnet preview photos/ --recipe flowers --output preview.png
  keras-effnet preview rose.jpg daisy.jpg --recipe v2_paper --stage 4

A block for each progressive stage; the first column is the evaluation crop.
"""

from keras_effnet.cli import _photos
from keras_effnet.cli import _recipe
from keras_effnet.quiet import import_keras


def add_arguments(parser):
    parser.add_argument("photos", nargs="+", help="photographs, or folders of them")
    _recipe.add_arguments(parser)
    _photos.add_on_broken(parser)
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
    import_keras()
    from keras_effnet.data.finding import find_photos
    from keras_effnet.training.previewing import write_preview
    from keras_effnet.training.recipes import get_recipe

    paths = find_photos(args.photos)
    recipe = get_recipe(args.recipe, images=len(paths), **_recipe.overrides(args))
    write_preview(paths, recipe, args.output, args.stage, args.draws, args.on_broken)
    print(f"written: {args.output}")
