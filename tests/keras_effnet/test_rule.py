"""The preprocessing rule: what part of a photograph it takes, at which size."""

import json

import pytest

from keras_effnet import rule
from keras_effnet.errors import InputError
from keras_effnet.rule import NORMALIZATIONS
from keras_effnet.rule import Preprocessing

VALUES = NORMALIZATIONS["imagenet"]
RESIZED = Preprocessing(*VALUES, crop_fraction=0.9, crops=((0, 0.9), (225, 1.0)))
AUTOML = Preprocessing(*NORMALIZATIONS["128"], "bilinear", crops=rule.AUTOML_CROPS)


@pytest.mark.parametrize(
    ("shape", "size", "resized"),
    [
        # The short side is 248 = floor(224 / .9), the other cut to whole pixels.
        ((500, 333), (224, 224), (372, 248)),
        ((333, 500), (224, 224), (248, 372)),
        ((300, 300), (224, 224), (248, 248)),
        ((100, 200), (90, 180), (100, 200)),
        ((100, 100), (90, 180), (200, 200)),
    ],
)
def test_the_crop_after_the_resize_is_of_whole_pixels(shape, size, resized):
    left, top, right, bottom = RESIZED.box(*shape, size)
    rows, columns = shape[0] / resized[0], shape[1] / resized[1]
    assert right - left == pytest.approx(size[1] * columns)
    assert bottom - top == pytest.approx(size[0] * rows)
    # torchvision's CenterCrop.
    assert top / rows == pytest.approx(round((resized[0] - size[0]) / 2))
    assert left / columns == pytest.approx(round((resized[1] - size[1]) / 2))
    assert left >= 0
    assert right <= shape[1]


def test_a_strip_is_no_reason_for_a_large_image():
    left, top, right, bottom = RESIZED.box(1, 60_000, (224, 224))
    assert (bottom - top, right - left) == pytest.approx(
        (224 / 248, 224 / 248), rel=1e-3
    )


def test_the_crop_of_another_size():
    assert rule.at_size(RESIZED, 224) == RESIZED
    wide = rule.at_size(RESIZED, 225)
    assert (wide.crop_fraction, wide.crop_padding) == (1.0, 32)
    assert rule.at_size(wide, 100) == RESIZED
    # Resized to 256 times 341.
    columns = 400 / 341
    assert wide.box(300, 400, (256, 256)) == pytest.approx(
        (42 * columns, 0, 298 * columns, 300)
    )
    assert not AUTOML.whole
    assert rule.at_size(AUTOML, 320).whole
    assert rule.at_size(rule.at_size(AUTOML, 320), 319) == AUTOML
    # What a user says of a size holds at every size.
    own = Preprocessing(*NORMALIZATIONS["128"], "bilinear", None)
    assert rule.at_size(own, 128) == own


def test_it_is_read_as_it_was_written():
    for each in (RESIZED, AUTOML, Preprocessing(*VALUES)):
        text = json.dumps(rule.as_json(each))
        assert rule.from_json(json.loads(text)) == each


def test_files_of_earlier_versions_are_read_as_they_were():
    earlier = {
        "mean": [128.0],
        "std": [128.0],
        "interpolation": "bilinear",
        "crop_padding": 32,
        "included": True,
    }
    assert rule.from_json(earlier) == AUTOML
    earlier["mean"] = [127.0]
    assert rule.from_json(earlier) == Preprocessing((127.0,), (128.0,), "bilinear")
    assert rule.as_json(rule.from_json(earlier)) == {
        **earlier,
        "mean": (127.0,),
        "std": (128.0,),
    }


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"crop_fraction": 0.0}, "above 0 and at most 1.*crop_fraction=0.0"),
        ({"crop_fraction": 1.5}, "crop_fraction=1.5"),
        ({"crop_fraction": float("nan")}, "crop_fraction=nan"),
        ({"crop_fraction": "0.9"}, "crop_fraction='0.9'"),
        ({"crop_padding": -1}, "`crop_padding` must be None or a number of pixels"),
        ({"crop_padding": 0.9}, "crop_padding=0.9"),
        ({"crops": ((0, 32), (320, 0.5))}, "crops="),
        ({"crops": ((320, None), (0, 32))}, "by ascending sizes"),
        ({"crop_fraction": 0.9, "crops": ((0, 0.9), (225, None))}, "crops="),
    ],
)
def test_what_is_no_crop(options, match):
    with pytest.raises(InputError, match=match):
        Preprocessing(*VALUES, **options)
