"""The images that both sides of a comparison are calibrated on."""

import numpy as np

from keras_effnet import preprocessing
from keras_effnet.benchmarks.studies.comparison import FLOWERS
from keras_effnet.data import finding
from keras_effnet.data import photos
from keras_effnet.specs import get_spec


def calibration_images(network, count, image_size=None, folder=FLOWERS):
    """Photographs as a network takes them, spread evenly over the folder; made-up ones
    where there are too few. `(images, source)`: a float32 array, `(count, size, size,
    3)`, 0-255, and a line that says what they are."""
    spec = get_spec(network)
    size = image_size or spec.image_size
    found = finding.find_photos([folder]) if folder.is_dir() else []
    if len(found) < count:
        return made_up(count, size), f"{count} made-up images"
    paths = found[:: len(found) // count][:count]
    rule = preprocessing.for_spec(spec, size)
    images = np.concatenate(list(photos.batches(paths, (size, size, 3), rule)))
    return images.astype("float32"), f"{count} photographs of {folder.name}"


def made_up(count, size):
    """Coarse patches of colour under fine noise."""
    random = np.random.default_rng(0)
    patches = random.uniform(0, 255, (count, 8, 8, 3))
    coarse = np.arange(size) * 8 // size
    images = patches[:, coarse][:, :, coarse]
    noise = random.normal(0, 20, images.shape)
    return np.round(np.clip(images + noise, 0, 255)).astype("float32")
