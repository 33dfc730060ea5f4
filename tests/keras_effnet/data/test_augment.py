"""Training and evaluation images of photographs, in graph."""

import dataclasses
import io

import numpy as np
import pytest
import tensorflow as tf
from conftest import shared_file
from PIL import Image

from keras_effnet.data import AUGMENTATIONS
from keras_effnet.data import augment
from keras_effnet.data.photos import read_photo
from keras_effnet.data.photos import resize_and_crop
from keras_effnet.errors import InputError
from keras_effnet.preprocessing import Preprocessing
from keras_effnet.training.recipe import Recipe
from keras_effnet.training.recipe import Stage

RULE = Preprocessing((0.0,), (1.0,), "bilinear", 32)
STAGE = Stage(0, 0, 1, 64, 8, 9.0, 0.0, 0.0, 0.0, 0.0)
RECIPE = Recipe("test", "EfficientNetB0", 1)


def encoded(pixels, format_, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format_, **options)
    return file.getvalue()


def draw(image, number=0, rule=RULE, **changes):
    recipe = dataclasses.replace(RECIPE, **changes)
    found = augment.training_image(
        tf.constant(image), tf.constant([number, 5]), STAGE, recipe, rule
    )
    assert (found.shape, found.dtype) == ((64, 64, recipe.channels), tf.uint8)
    return found.numpy()


def test_jpeg_and_pixels_give_the_same_image(photos):
    data = photos[0].read_bytes()
    pixels = tf.io.decode_jpeg(data, 3).numpy()
    for number in range(4):
        fused = draw(data, number).astype(int)
        sliced = draw(pixels, number).astype(int)
        # libjpeg smooths colour differently at the border of a crop.
        assert np.abs(fused - sliced).mean() < 0.5
        assert (draw(encoded(pixels, "PNG"), number) == sliced).all()


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_the_seed_decides(photos, augmentation):
    data = photos[1].read_bytes()
    found = [draw(data, n, augmentation=augmentation) for n in (0, 0, 1, 2, 3, 4, 5)]
    assert (found[0] == found[1]).all()
    different = len({pixels.tobytes() for pixels in found})
    most = {"none": 1, "flip": 2}.get(augmentation, 6)
    assert different == most


def test_in_a_dataset_each_place_has_its_own_image(photos):
    data = tf.constant([photos[0].read_bytes()] * 6)
    recipe = dataclasses.replace(RECIPE, augmentation="randaugment")

    def images():
        dataset = tf.data.Dataset.from_tensor_slices(data).enumerate()
        dataset = dataset.map(
            lambda place, image: augment.training_image(
                image, tf.stack([7, place]), STAGE, recipe, RULE
            ),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        assert dataset.element_spec.shape == (64, 64, 3)
        return np.stack(list(dataset.as_numpy_iterator()))

    first = images()
    assert (first == images()).all()
    assert len({image.tobytes() for image in first}) == 6


@pytest.mark.parametrize("augmentation", ["none", "flip"])
@pytest.mark.parametrize("fraction", [None, 0.875])
def test_without_crop_it_is_the_evaluation_crop(photos, augmentation, fraction):
    data = photos[0].read_bytes()
    rule = dataclasses.replace(RULE, crop_fraction=fraction)
    expected = augment.evaluation_image(tf.constant(data), (64, 64), rule).numpy()
    allowed = [expected, expected[:, ::-1]] if augmentation == "flip" else [expected]
    for number in range(4):
        found = draw(data, number, rule, augmentation=augmentation)
        assert any((found == image).all() for image in allowed)


def test_half_of_the_images_are_mirrored():
    image = tf.reshape(tf.range(12, dtype=tf.int32), [2, 2, 3])
    image = tf.cast(image, tf.uint8)
    found = [augment.flip(image, [n, 2]).numpy() for n in range(200)]
    mirrored = sum((pixels == image.numpy()[:, ::-1]).all() for pixels in found)
    same = sum((pixels == image.numpy()).all() for pixels in found)
    assert mirrored + same == 200
    assert 70 < mirrored < 130


def windows(shape, smallest, count=300):
    numbers = tf.data.Dataset.range(count)
    found = numbers.map(
        lambda number: augment.random_window(
            tf.constant(shape), tf.stack([number, 1]), smallest
        )
    )
    return np.stack(list(found.as_numpy_iterator()))


@pytest.mark.parametrize("smallest", [0.08, 0.5])
def test_random_windows(smallest):
    found = windows([300, 400, 3], smallest)
    top, left, height, width = found.T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= 300).all()
    assert (left + width <= 400).all()
    area = height * width / (300 * 400)
    assert area.min() > smallest - 0.01
    assert area.min() < smallest + 0.1
    assert area.max() > 0.85
    aspect = width / height
    assert (aspect > 0.73).all()
    assert (aspect < 1.36).all()
    assert aspect.std() > 0.1
    assert len(np.unique(left)) > 50


def test_a_strip_gives_its_middle_square():
    # No window of 8 % of it has an allowed shape.
    found = windows([10, 1000, 3], 0.08, 5)
    assert (found == [0, 495, 10, 10]).all()
    whole = windows([100, 100, 3], 1.0, 5)
    assert (whole[:, 2:] >= 86).all()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    "crop", [{"crop_padding": 32}, {"crop_padding": None}, {"crop_fraction": 0.9}]
)
@pytest.mark.parametrize("size", [(64, 64), (96, 160), (300, 300)])
def test_evaluation_agrees_with_pillow(photos, interpolation, crop, size):
    rule = Preprocessing((0.0,), (1.0,), interpolation, **crop)
    photo = read_photo(photos[0])
    expected = resize_and_crop(photo, size, rule).astype(int)
    antialiased = augment.evaluation_image(
        tf.constant(photo), size, rule, antialias=True
    )
    assert (antialiased.shape, antialiased.dtype) == ((*size, 3), tf.uint8)
    difference = np.abs(antialiased.numpy() - expected)
    assert difference.mean() < 0.5
    # Pillow looks beyond the border of the crop, and clips between its two passes,
    # where bicubic overshoots.
    inner = difference[3:-3, 3:-3]
    assert np.percentile(inner, 99.9) <= 1
    assert inner.max() <= (1 if interpolation == "bilinear" else 8)


@pytest.mark.parametrize("crop", [{}, {"crop_fraction": 0.9}, {"crop_fraction": 1.0}])
def test_evaluation_windows_equal_those_of_the_rule(crop):
    random = np.random.default_rng(0)
    rule = Preprocessing((0.0,), (1.0,), "bilinear", **crop)
    for _ in range(20):
        height, width = (int(side) for side in random.integers(20, 250, 2))
        size = tuple(int(side) for side in random.integers(8, 64, 2))
        shape = tf.constant([height, width, 3])
        top, left, kept_height, kept_width = augment.evaluation_window(
            shape, size, rule
        ).numpy()
        found = left, top, left + kept_width, top + kept_height
        expected = rule.box(height, width, size)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "BMP"])
@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_colour(photos, format_, channels):
    photo = read_photo(photos[0])
    colour = encoded(photo, format_)
    grey = encoded(photo[..., 0], format_)
    for data in (colour, grey):
        found = draw(data, channels=channels, augmentation="randaugment", cutout=10)
        assert found.std() > 5


def test_cutout_and_colour(photos):
    data = photos[0].read_bytes()
    plain, cut = draw(data), draw(data, cutout=20)
    changed = (plain != cut).any(-1)
    assert 0 < changed.sum() <= 400
    assert (cut[changed] == 128).all()
    strong = [draw(data, n, colour=0.5).mean() for n in range(8)]
    weak = [draw(data, n, colour=0.05).mean() for n in range(8)]
    plain = np.array([draw(data, n).mean() for n in range(8)])
    assert np.abs(strong - plain).mean() > 4 * np.abs(weak - plain).mean()


def test_an_unknown_augmentation(photos):
    with pytest.raises(InputError, match=r"one of none, flip.*Received: .*'mix'"):
        draw(photos[0].read_bytes(), augmentation="mix")


def test_real_photographs(photos):
    folder = shared_file("data/flowers/roses")
    rule = Preprocessing((0.0,), (1.0,), "bicubic", 32)
    for path in sorted(folder.iterdir())[:8]:
        found = augment.evaluation_image(
            tf.constant(path.read_bytes()), (224, 224), rule, antialias=True
        )
        expected = resize_and_crop(read_photo(path), (224, 224), rule)
        # The decoders differ a little as well.
        assert np.abs(found.numpy().astype(int) - expected).mean() < 1.5


def test_a_preview_shows_every_stage(photos, tmp_path):
    from keras_effnet.data import preview

    later = dataclasses.replace(STAGE, number=1, image_size=96, mixup_alpha=0.3)
    recipe = dataclasses.replace(RECIPE, augmentation="randaugment")
    images = [read_photo(path) for path in photos]
    previews = [
        preview.draw(images, stage, recipe, RULE, draws=3) for stage in (STAGE, later)
    ]
    assert [found.training.shape for found in previews] == [
        (2, 3, 64, 64, 3),
        (2, 3, 96, 96, 3),
    ]
    again = preview.draw(images, STAGE, recipe, RULE, draws=3)
    assert (again.training == previews[0].training).all()
    expected = augment.evaluation_image(images[0], (64, 64), RULE, antialias=True)
    assert (previews[0].evaluation[0] == expected.numpy()).all()
    figure = preview.figure(previews)
    titles = [" ".join(b._suptitle.get_text().split()) for b in figure.subfigs]
    sizes = "stage 1: epochs 1 to 1, 64 px", "stage 2: epochs 1 to 1, 96 px"
    assert titles == [
        f"{sizes[0]}, RandAugment magnitude 9, mixup 0; first as evaluated",
        f"{sizes[1]}, RandAugment magnitude 9, mixup 0.3; first as evaluated",
    ]
    assert sum(len(block.axes) for block in figure.subfigs) == 16
    figure.savefig(tmp_path / "preview.png")
    assert (tmp_path / "preview.png").stat().st_size > 10_000
