"""A weights file of any format, written anew in Keras' own."""

import pathlib

from keras_effnet import files
from keras_effnet import weights as weights_room
from keras_effnet.errors import InputError
from keras_effnet.models import build_model
from keras_effnet.specs import get_spec

FORMATS = (".keras", ".weights.h5")


def convert(
    weights,
    target,
    network,
    *,
    preprocessing=None,
    include_preprocessing=True,
    padding=None,
):
    """Converts weights to a Keras file, with the classes that they have.

    Args:
        weights: A published set's name, or the path of a file of any format
            that `load_weights` reads.
        target: Path of the result: `.keras`, a whole model with its
            preprocessing, or `.weights.h5`.
        network: The network's name.
        preprocessing: As for `build_model`; by default what is known of the
            weights.
        include_preprocessing: Whether the model takes 0-255 pixels.
        padding: As for `build_model`; by default that of the weights.

    Returns the `keras.Model` that was written.

    Raises:
        InputError: The target's name ends otherwise, the weights can't be read
            or are of another network. Nothing is written then.
    """
    target = pathlib.Path(target)
    if not target.name.endswith(FORMATS):
        raise InputError(
            f"Converted files end in {' or '.join(FORMATS)}. Received: {str(target)!r}"
        )
    spec = get_spec(network)
    located = weights_room.locate(weights, spec.name)
    bare = build_model(spec, include_top=False)
    kernel = weights_room.read_located(located, bare).get("predictions/kernel")
    size = (located.published or spec).image_size
    model = build_model(
        spec,
        include_top=kernel is not None,
        weights=weights,
        classes=1000 if kernel is None else int(kernel.shape[-1]),
        input_shape=(size, size, 3),
        preprocessing=preprocessing,
        include_preprocessing=include_preprocessing,
        padding=padding,
    )
    if target.name.endswith(".keras"):
        model.save(target)
    else:
        with files.replacing(target) as temporary:
            model.save_weights(temporary)
    return model
