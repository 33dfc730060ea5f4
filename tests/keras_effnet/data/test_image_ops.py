"""Every operation of RandAugment against Pillow, or numpy where Pillow has none."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from PIL import ImageEnhance
from PIL import ImageOps
from sklearn.datasets import load_sample_image

from keras_effnet.data import autoaugment
from keras_effnet.data import image_ops
from keras_effnet.data import randaugment


@pytest.fixture(scope="module")
def image():
    photo = Image.fromarray(load_sample_image("china.jpg")).resize((120, 90))
    # Not every value occurs, so that AutoContrast has something to do.
    return (20 + np.asarray(photo) * 0.7).astype(np.uint8)


def difference(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    assert (found.shape, found.dtype) == (expected.shape, np.uint8)
    return np.abs(found.astype(int) - expected.astype(int))


def test_autocontrast(image):
    found = difference(
        image_ops.autocontrast(tf.constant(image)),
        ImageOps.autocontrast(Image.fromarray(image)),
    )
    # Pillow's doubles fall just below some whole numbers.
    assert found.max() <= 1
    assert (found == 0).mean() > 0.95
    stretched = image_ops.autocontrast(tf.constant(image)).numpy()
    assert (stretched.min((0, 1)) == 0).all()
    assert (stretched.max((0, 1)) == 255).all()


@pytest.mark.parametrize("operation", ["autocontrast", "equalize"])
def test_a_flat_channel_stays_as_it_is(operation, image):
    flat = image.copy()
    flat[..., 1] = 77
    found = getattr(image_ops, operation)(tf.constant(flat)).numpy()
    assert (found[..., 1] == 77).all()
    assert (found[..., 0] != flat[..., 0]).any()


def test_equalize(image):
    expected = ImageOps.equalize(Image.fromarray(image))
    assert difference(image_ops.equalize(tf.constant(image)), expected).max() == 0
    few = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)  # a step of 0
    assert (image_ops.equalize(tf.constant(few)).numpy() == few).all()


def test_invert(image):
    expected = ImageOps.invert(Image.fromarray(image))
    assert difference(image_ops.invert(tf.constant(image)), expected).max() == 0


@pytest.mark.parametrize("bits", [1, 4, 6, 8])
def test_posterize(image, bits):
    expected = ImageOps.posterize(Image.fromarray(image), bits)
    assert (
        difference(image_ops.posterize(tf.constant(image), bits), expected).max() == 0
    )


def test_posterize_to_no_bits(image):
    assert not image_ops.posterize(tf.constant(image), 0).numpy().any()


@pytest.mark.parametrize("threshold", [0, 100, 255, 256, 384])
def test_solarize(image, threshold):
    image = np.concatenate([image, np.full_like(image, 255)])
    expected = ImageOps.solarize(Image.fromarray(image), threshold)
    found = image_ops.solarize(tf.constant(image), threshold)
    assert difference(found, expected).max() == 0


@pytest.mark.parametrize("addition", [0, 33, 110, 330])
def test_solarize_add(addition):
    every = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    wide = every.astype(int)
    expected = np.where(wide < 128, np.minimum(wide + addition, 255), wide)
    found = image_ops.solarize_add(tf.constant(every), addition)
    assert (found.numpy() == expected).all()


@pytest.mark.parametrize("factor", [0.0, 0.1, 0.9, 1.0, 1.9, 2.8])
@pytest.mark.parametrize("name", ["Color", "Contrast", "Brightness", "Sharpness"])
def test_enhancements(image, name, factor):
    operation = getattr(image_ops, name.lower())
    enhanced = getattr(ImageEnhance, name)(Image.fromarray(image)).enhance(factor)
    found = difference(operation(tf.constant(image), factor), enhanced)
    # Color's grey isn't rounded in between: half a value, times |1 - factor|.
    assert found.max() <= (2 if name == "Color" else 1)
    # Contrast's mean can round to the other side.
    assert found.mean() < (0.6 if name in ("Color", "Contrast") else 0.01)


@pytest.mark.parametrize("degrees", [-30.0, 15.0, 90.0])
def test_rotate(image, degrees):
    square = np.ascontiguousarray(image[:, :90])
    expected = Image.fromarray(square).rotate(degrees, fillcolor=(128,) * 3)
    found = difference(image_ops.rotate(tf.constant(square), degrees), expected)
    # Where the nearest pixel is a matter of rounding, another one is taken.
    assert (found.max(-1) == 0).mean() > 0.97


@pytest.mark.parametrize("level", [-0.43, 0.31])
@pytest.mark.parametrize("axis", ["x", "y"])
def test_shear(image, axis, level):
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x, y = (x + level * y, y) if axis == "x" else (x, y + level * x)
    x, y = np.round(x).astype(int), np.round(y).astype(int)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    taken = image[y.clip(0, height - 1), x.clip(0, width - 1)]
    expected = np.where(inside[..., None], taken, 128).astype(np.uint8)
    found = getattr(image_ops, f"shear_{axis}")(tf.constant(image), level)
    assert (difference(found, expected).max(-1) == 0).mean() > 0.97
    assert 0.05 < 1 - inside.mean() < 0.5


@pytest.mark.parametrize("pixels", [-150, -7, 0, 7.4, 300])
@pytest.mark.parametrize("axis", ["x", "y"])
def test_translate(image, axis, pixels):
    matrix = (1, 0, -round(pixels), 0, 1, 0)
    if axis == "y":
        matrix = (1, 0, 0, 0, 1, -round(pixels))
    expected = Image.fromarray(image).transform(
        image.shape[1::-1], Image.Transform.AFFINE, matrix, fillcolor=(128,) * 3
    )
    found = image_ops.translate(tf.constant(image), pixels, "yx".index(axis))
    assert difference(found, expected).max() == 0


@pytest.mark.parametrize("centre", [(0.5, 0.5), (0.0, 0.999), (0.999, 0.0)])
@pytest.mark.parametrize("side", [0, 20, 500])
def test_cutout(image, side, centre):
    expected = image.copy()
    top, left = (
        int(c * size) - side // 2
        for c, size in zip(centre, image.shape[:2], strict=True)
    )
    expected[max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)] = 128
    found = image_ops.cutout(tf.constant(image), side, tf.constant(centre))
    assert difference(found, expected).max() == 0


def test_one_channel(image):
    grey = tf.constant(image[..., :1])
    pairs = zip(randaugment.NAMES, randaugment.OPERATIONS.values(), strict=True)
    for name, operation in pairs:
        value = tf.constant(randaugment.argument(name, 6))
        found = operation(grey, value, tf.constant([0.5, 0.5]))
        assert (found.shape, found.dtype) == (grey.shape, tf.uint8), name
        if name != "Color":
            assert (found.numpy() != grey.numpy()).any(), name


def test_arguments_of_levels():
    # google/automl `efficientnetv2/autoaugment.py`, worked out by hand.
    expected = {
        "AutoContrast": (0, 0, 0),
        "Equalize": (0, 0, 0),
        "Invert": (0, 0, 0),
        "Rotate": (15, 30, 45),
        "Posterize": (2, 4, 6),
        "Solarize": (128, 256, 384),
        "Color": (1.0, 1.9, 2.8),
        "Contrast": (1.0, 1.9, 2.8),
        "Brightness": (1.0, 1.9, 2.8),
        "Sharpness": (1.0, 1.9, 2.8),
        "ShearX": (0.15, 0.3, 0.45),
        "ShearY": (0.15, 0.3, 0.45),
        "TranslateX": (50, 100, 150),
        "TranslateY": (50, 100, 150),
        "Cutout": (40, 80, 120),  # twice the official half sides 20, 40, 60
        "SolarizeAdd": (55, 110, 165),
    }
    assert tuple(expected) == randaugment.NAMES
    for name, values in expected.items():
        found = [randaugment.argument(name, level) for level in (5, 10, 15)]
        np.testing.assert_allclose(found, values, rtol=1e-6, err_msg=name)
    assert randaugment.argument("Posterize", 30) == 8
    assert randaugment.argument("TranslateX", 4, 100, 250) == 100


def recorded(monkeypatch, policy, count):
    """What `apply` is given for `count` seeds: `(count, calls, 4)`."""

    def record(calls, index, _, draws):
        call = tf.concat([[tf.cast(index, tf.float32)], draws], axis=0)
        return tf.concat([calls, call[None]], axis=0)

    monkeypatch.setattr(randaugment, "apply", record)
    seeds = tf.data.Dataset.range(count).map(
        lambda number: policy(tf.zeros([0, 4]), tf.stack([number, 7]))
    )
    return np.stack(list(seeds.as_numpy_iterator()))


def test_operations_are_drawn_evenly_and_signs_too(monkeypatch):
    calls = recorded(
        monkeypatch,
        lambda image, seed: randaugment.randaugment(image, seed, 9.0, layers=2),
        800,
    )
    assert calls.shape == (800, 2, 4)
    counts = np.bincount(calls[..., 0].astype(int).ravel(), minlength=16)
    assert len(counts) == 16
    # Chi squared with 15 degrees of freedom exceeds 37.7 once in a thousand.
    assert ((counts - 100) ** 2 / 100).sum() < 37.7
    np.testing.assert_allclose(calls[..., 1:].mean((0, 1)), 0.5, atol=0.03)
    # The layers are drawn apart from each other.
    assert (calls[:, 0, 0] == calls[:, 1, 0]).mean() == pytest.approx(1 / 16, abs=0.03)


def test_apply_runs_the_operation_of_the_index(image):
    image = tf.constant(image)
    centre = tf.constant([0.3, 0.7])
    for index, name in enumerate(randaugment.NAMES):
        value = tf.constant(randaugment.argument(name, 8))
        for draw, sign in ((0.2, -1.0), (0.8, 1.0)):
            signed = name[:5] in ("Rotat", "Shear", "Trans")
            expected = randaugment.OPERATIONS[name](
                image, value * sign if signed else value, centre
            )
            draws = tf.concat([[draw], centre], axis=0)
            found = randaugment.apply(image, tf.constant(index), value, draws)
            assert (found.numpy() == expected.numpy()).all(), name
    unchanged = randaugment.apply(image, tf.constant(16), value, draws)
    assert (unchanged.numpy() == image.numpy()).all()


def test_autoaugment_draws_policies_and_operations_by_probability(monkeypatch):
    count = 1500
    calls = recorded(monkeypatch, autoaugment.autoaugment, count)
    assert calls.shape == (count, 2, 4)
    assert len(autoaugment.POLICY) == 25
    for step in range(2):
        counts = np.bincount(calls[:, step, 0].astype(int), minlength=17)
        expected = np.zeros(17)
        for policy in autoaugment.POLICY:
            name, probability, _ = policy[step]
            expected[randaugment.NAMES.index(name)] += probability / 25
            expected[16] += (1 - probability) / 25
        spread = np.sqrt(count * expected * (1 - expected))
        assert (np.abs(counts - count * expected) <= 4 * spread).all()


def test_autoaugment_is_fixed_by_the_seed(image):
    image = tf.constant(image)
    found = [autoaugment.autoaugment(image, [n, 1]).numpy() for n in (0, 0, 1, 2, 3)]
    assert (found[0] == found[1]).all()
    assert len({pixels.tobytes() for pixels in found}) >= 3
