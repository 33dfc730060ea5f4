"""Photographs of every kind, and the crop of the papers."""

import numpy as np
import pytest
from PIL import Image

from keras_effnet.data.photos import batches
from keras_effnet.data.photos import find_photos
from keras_effnet.data.photos import read_labels
from keras_effnet.data.photos import read_photo
from keras_effnet.data.photos import resize_and_crop
from keras_effnet.errors import InputError
from keras_effnet.preprocessing import Preprocessing

CROP = Preprocessing((0.0,), (1.0,), "bilinear", 32)
WHOLE = Preprocessing((0.0,), (1.0,), "bilinear", None)


def save(path, pixels, mode=None, **options):
    Image.fromarray(np.asarray(pixels), mode).save(path, **options)
    return path


def test_a_real_photograph(photos):
    china = read_photo(photos[0])
    assert (china.shape, china.dtype) == ((427, 640, 3), np.uint8)
    grey = read_photo(photos[0], channels=1)
    assert grey.shape == (427, 640, 1)
    # ITU-R 601: the weights of red, green and blue in the luma.
    luma = china.astype(float) @ [0.299, 0.587, 0.114]
    assert np.abs(grey[..., 0] - luma).max() <= 1


@pytest.mark.parametrize("mode", ["L", "P", "LA", "RGBA", "CMYK", "1", "I;16"])
def test_every_colour_mode_becomes_rgb(mode, tmp_path):
    grey = np.full((4, 6), 255, np.uint8)
    if mode == "I;16":
        image = Image.fromarray(np.full((4, 6), 65535, np.uint16))
    else:
        image = Image.fromarray(grey).convert("RGB").convert(mode)
    path = tmp_path / "photo.tif"
    image.save(path)
    found = read_photo(path)
    assert (found.shape, found.dtype) == ((4, 6, 3), np.uint8)
    assert (found == 255).all()


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    path = save(tmp_path / "photo.png", np.full((4, 6), 0x8000, np.uint16))
    assert (read_photo(path) == 0x80).all()


def test_upright_by_exif(tmp_path):
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, :2] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise
    path = save(tmp_path / "photo.png", pixels, exif=exif)
    found = read_photo(path)
    assert found.shape == (8, 4, 3)
    assert (found[:2] == 255).all()
    assert (found[2:] == 0).all()


def ramp(height, width):
    """Red tells the column and green the row, in 0-200."""
    red = np.linspace(0, 200, width)[None].repeat(height, 0)
    green = np.linspace(0, 200, height)[:, None].repeat(width, 1)
    return np.stack([red, green, 0 * red], -1).round().astype(np.uint8)


@pytest.mark.parametrize(("height", "width"), [(300, 500), (500, 300), (400, 400)])
def test_the_centre_crop_takes_size_over_size_plus_32(height, width):
    """tensorflow/tpu `_decode_and_center_crop`: a square of 224 / 256 of the
    short side, in the middle."""
    found = resize_and_crop(ramp(height, width), (224, 224), CROP).astype(float)
    side = min(height, width) * 224 / 256
    for channel, length, line in ((0, width, found[112]), (1, height, found[:, 112])):
        first, last = line[2, channel], line[-3, channel]
        extent = (last - first) / 200 * length * 224 / (224 - 5)
        assert extent == pytest.approx(side, abs=0.012 * length)
        assert (first + last) / 2 == pytest.approx(100, abs=1.5)


def test_without_a_crop_the_whole_photograph_is_squeezed():
    found = resize_and_crop(ramp(300, 500), (64, 64), WHOLE)
    assert found[:, 0, 0].max() <= 3
    assert found[:, -1, 0].min() >= 197
    assert found[-1, :, 1].min() >= 197


def test_interpolations_differ(photos):
    photo = read_photo(photos[1])
    bicubic = Preprocessing((0.0,), (1.0,), "bicubic", 32)
    a = resize_and_crop(photo, (64, 64), CROP).astype(int)
    b = resize_and_crop(photo, (64, 64), bicubic).astype(int)
    assert 0 < np.abs(a - b).mean() < 8


def test_one_pixel_is_enough(tmp_path):
    path = save(tmp_path / "photo.png", np.full((1, 1, 3), 7, np.uint8))
    ((pixel,),) = [batches([path], (5, 5, 3), CROP)]
    assert pixel.shape == (1, 5, 5, 3)
    assert (pixel == 7).all()


def test_batches(photos):
    found = list(batches(photos * 2, (16, 24, 1), CROP, batch_size=3))
    assert [batch.shape for batch in found] == [(3, 16, 24, 1), (1, 16, 24, 1)]
    assert (found[1][0] == found[0][1]).all()
    with pytest.raises(InputError, match=r"1 or 3 channels.*\(16, 24, 4\)"):
        next(batches(photos, (16, 24, 4), CROP))


def test_folders_are_searched(photos, tmp_path):
    (tmp_path / "b" / "deep").mkdir(parents=True)
    for name in ("b/deep/z.JPG", "b/a.png", "c.jpeg", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    found = find_photos([tmp_path, photos[0]])
    names = [str(path.relative_to(tmp_path)) for path in found[:-1]]
    assert names == ["b/a.png", "b/deep/z.JPG", "c.jpeg"]
    assert found[-1] == photos[0]


def test_nothing_found(tmp_path):
    with pytest.raises(InputError, match=r"no photographs.*Received"):
        find_photos([tmp_path])
    with pytest.raises(InputError, match=r"no such file or folder.*absent"):
        find_photos([tmp_path / "absent"])


def test_damaged_photographs(photos, tmp_path):
    data = photos[0].read_bytes()
    for name, content in (
        ("cut.jpg", data[: len(data) // 2]),
        ("empty.jpg", b""),
        ("text.jpg", b"no photograph"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=rf"can't be read.*{name}") as caught:
            read_photo(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no such file"):
        read_photo(tmp_path / "absent.jpg")


def test_a_huge_photograph_is_not_unpacked(tmp_path):
    """A bomb: a few kilobytes that would unpack to gigabytes."""
    path = tmp_path / "huge.png"
    Image.new("1", (20_000, 20_000)).save(path)
    assert path.stat().st_size < 100_000
    with pytest.raises(InputError, match=r"more than .* pixels.*huge\.png"):
        read_photo(path)


def test_labels(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("file,class_index\na.jpg,3\nb.jpg,0\n")
    paths, labels = read_labels(path)
    assert paths == [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    assert labels.tolist() == [3, 0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "can't be read: No such file"),
        ("file,label\na.jpg,3\n", "'file' and 'class_index'"),
        ("file,class_index\na.jpg,tench\n", "an integer"),
        ("file,class_index\na.jpg\n", "an integer"),
        ("file,class_index\n", "no photograph"),
    ],
)
def test_labels_that_are_none(content, message, tmp_path):
    path = tmp_path / "labels.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_labels(path)
