"""Photographs of every kind, and the crop of the papers."""

import os
import struct
import tracemalloc

import numpy as np
import pytest
from PIL import Image
from PIL import ImageOps

from keras_effnet.data.finding import find_photos
from keras_effnet.data.photos import batches
from keras_effnet.data.photos import fault
from keras_effnet.data.photos import read_photo
from keras_effnet.data.photos import readable
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


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.int16])
def test_pixels_of_unknown_range_are_refused(dtype, tmp_path):
    path = save(tmp_path / "photo.tif", np.full((4, 6), 1, dtype))
    assert "32 bits" in fault(path)
    with pytest.raises(InputError, match=r"can't be read.*which is white.*photo\.tif"):
        read_photo(path)


def exif_of(*entries):
    """TIFF's tags as they lie in a file: `(tag, type, count, value)` each."""
    rows = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    head = b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries))
    return head + rows + bytes(4)


UPRIGHT, TURNED = (0x0112, 3, 1, 1), (0x0112, 3, 1, 6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize(
    ("exif", "is_turned"),
    [
        (exif_of(TURNED), True),
        (exif_of(TURNED, (0x0100, 2, 4, 0)), True),
        (exif_of(TURNED, (0x9286, 5, 9, 9999)), True),
        (exif_of(TURNED, (0x011A, 5, 1, 0xFFFFFFFF), (0x8769, 4, 1, 8)), True),
        (exif_of((0x0112, 2, 4, 0x41414141)), False),
        (exif_of((0x0112, 3, 1, 77)), False),
        (exif_of(TURNED)[:20], False),
        (b"Exif\0\0XX*\0", False),
        (b"Exif\0\0", False),
    ],
)
def test_of_exif_the_orientation_alone_is_read(tmp_path, suffix, exif, is_turned):
    path = tmp_path / f"photo.{suffix}"
    save(path, ramp(20, 40), exif=exif)
    assert read_photo(path).shape == ((40, 20, 3) if is_turned else (20, 40, 3))
    assert readable([path]) == ([path], None)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_pillows(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "photo.png", ramp(5, 9), exif=exif)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert (read_photo(path) == expected).all()


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of odd tags
def test_whatever_pillow_raises_the_photograph_is_named(tmp_path):
    random = np.random.default_rng(0)
    for suffix in ("avif", "tif", "jp2", "webp"):
        whole = save(tmp_path / f"whole.{suffix}", ramp(20, 40)).read_bytes()
        for _ in range(40):
            data = bytearray(whole)
            for place in random.integers(0, len(data), 4):
                data[place] = random.integers(0, 256)
            path = tmp_path / f"photo.{suffix}"
            path.write_bytes(data)
            if fault(path):
                with pytest.raises(InputError, match=rf"photo\.{suffix}"):
                    read_photo(path)
            else:
                read_photo(path)


def test_no_other_format_is_opened(tmp_path):
    """Pillow would start Ghostscript for EPS, whatever the file is called."""
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    assert fault(path) == "no image"
    Image.new("RGB", (4, 4)).save(path, "TGA")
    assert fault(path) == "no image"


def test_odd_files_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "device.jpg").symlink_to("/dev/zero")
    with open(tmp_path / "sparse.jpg", "wb") as file:
        file.truncate(300 * 10**9)
    for name, message in (
        ("pipe.jpg", "no regular file"),
        ("device.jpg", "no regular file"),
        ("sparse.jpg", "more than 1,073,741,824 bytes"),
    ):
        assert message in fault(tmp_path / name)
        with pytest.raises(InputError, match=rf"{message}.*{name}"):
            read_photo(tmp_path / name)


@pytest.mark.parametrize("orientation", [1, 6])
def test_sixteen_bits_take_no_more_memory_than_the_result(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "a.png", np.full((2000, 3000), 9, np.uint16), exif=exif)
    tracemalloc.start()
    try:
        found = read_photo(path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2.4 * found.nbytes
