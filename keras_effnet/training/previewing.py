"""A picture of what the network of a recipe will see in training."""

import pathlib

from keras_effnet import files
from keras_effnet.data import photos
from keras_effnet.data import preview
from keras_effnet.errors import InputError
from keras_effnet.preprocessing import for_weights
from keras_effnet.training.networks import evaluation_rule
from keras_effnet.training.stages import stages
from keras_effnet.weights.table import sets_of

_MOST_PHOTOS = 12


def write_preview(paths, recipe, output, stage="all", draws=6, on_broken="skip"):
    """Draws photographs, of many twelve, evenly spread, as the stages of a recipe see
    them, or one of them, from 1, into a .png file; `draws` training images of each.
    `on_broken` as for `photos.readable`."""
    if draws < 1:
        raise InputError(f"`draws` must be at least 1. Received: {draws}")
    if pathlib.Path(output).suffix.lower() != ".png":
        raise InputError(f"`output` must end in .png. Received: {str(output)!r}")
    chosen = _chosen(stages(recipe), str(stage))
    published = str(recipe.weights).partition("@")[0] in sets_of(recipe.model)
    rule = for_weights(recipe.model, recipe.weights if published else None)
    rule = evaluation_rule(recipe, rule)
    # The first of each folder would show one class only.
    paths, _ = photos.readable(
        paths[:: -(-len(paths) // _MOST_PHOTOS)], None, on_broken
    )
    pictures = [photos.read_photo(path, recipe.channels) for path in paths]
    drawn = [preview.draw(pictures, one, recipe, rule, draws) for one in chosen]
    with files.replacing(output) as temporary:
        preview.figure(drawn).savefig(temporary, format="png", dpi=150)


def _chosen(stages, name):
    if name == "all":
        return stages
    if name.isdecimal() and 1 <= int(name) <= len(stages):
        return [stages[int(name) - 1]]
    raise InputError(f"`stage` must be 'all' or 1 to {len(stages)}. Received: {name!r}")
