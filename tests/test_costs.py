"""Parameters and multiply-adds from the tables, against published integers."""

import dataclasses

import pytest

from keras_effnet.costs import spec_costs
from keras_effnet.errors import InputError
from keras_effnet.specs import SPECS

# fmt: off
# Trainable and total parameters of the official checkpoints (torchvision's
# `num_params`, timm's results/*.csv, google/automl's unit tests; EdgeTPU for
# 1000 classes), and 10^9 multiply-adds at the evaluation size.
PUBLISHED = {
    "EfficientNetB0":       (224,   5_288_548,   5_330_564,   0.386),
    "EfficientNetB1":       (240,   7_794_184,   7_856_232,   0.687),
    "EfficientNetB2":       (260,   9_109_994,   9_177_562,   0.994),
    "EfficientNetB3":       (300,  12_233_232,  12_320_528,   1.827),
    "EfficientNetB4":       (380,  19_341_616,  19_466_816,   4.394),
    "EfficientNetB5":       (456,  30_389_784,  30_562_520,  10.266),
    "EfficientNetB6":       (528,  43_040_704,  43_265_136,  19.068),
    "EfficientNetB7":       (600,  66_347_960,  66_658_680,  37.746),
    "EfficientNetB8":       (672,  87_413_142,  87_793_174,  62.597),
    "EfficientNetL2":       (800, 480_309_308, 481_399_996, 475.704),
    "EfficientNetLite0":    (224,   4_652_008,   4_694_024,   0.385),
    "EfficientNetLite1":    (240,   5_416_680,   5_470_344,   0.600),
    "EfficientNetLite2":    (260,   6_092_072,   6_150_168,   0.860),
    "EfficientNetLite3":    (280,   8_197_096,   8_273_768,   1.383),
    "EfficientNetLite4":    (300,  13_006_568,  13_118_936,   2.553),
    "EfficientNetV2B0":     (224,   7_139_704,   7_200_312,   0.718),
    "EfficientNetV2B1":     (240,   8_141_052,   8_212_124,   1.197),
    "EfficientNetV2B2":     (260,  10_096_086,  10_178_374,   1.698),
    "EfficientNetV2B3":     (300,  14_358_406,  14_467_622,   3.011),
    "EfficientNetV2S":      (384,  21_458_488,  21_612_360,   8.366),
    "EfficientNetV2M":      (480,  54_139_356,  54_431_388,  24.582),
    "EfficientNetV2L":      (480, 118_515_272, 119_027_848,  56.080),
    "EfficientNetV2XL":     (512, 208_119_808, 208_896_832,  93.353),
    "EfficientNetEdgeTPUS": (224,   5_438_392,   5_489_832,   1.789),
    "EfficientNetEdgeTPUM": (240,   6_899_496,   6_967_304,   3.013),
    "EfficientNetEdgeTPUL": (300,  10_589_712,  10_681_920,   7.936),
}
# fmt: on


def test_the_table_names_every_network():
    assert set(PUBLISHED) == set(SPECS)


@pytest.mark.parametrize("name", PUBLISHED)
def test_costs_are_the_published_ones(name):
    size, trainable, total, giga = PUBLISHED[name]
    costs = spec_costs(SPECS[name], image_size=size)
    assert costs.trainable_parameters == trainable
    assert costs.total_parameters == total
    assert f"{costs.multiply_adds / 1e9:.3f}" == f"{giga:.3f}"
    assert spec_costs(SPECS[name]) == costs


def test_one_class_and_one_channel_more_cost_what_their_weights_cost():
    spec = SPECS["EfficientNetB0"]
    base = spec_costs(spec)
    classes = spec_costs(spec, classes=1001)
    assert classes.multiply_adds - base.multiply_adds == 1280
    assert classes.trainable_parameters - base.trainable_parameters == 1281
    channels = spec_costs(spec, channels=4)
    assert channels.multiply_adds - base.multiply_adds == 9 * 32 * 112 * 112
    assert channels.trainable_parameters - base.trainable_parameters == 9 * 32


@pytest.mark.parametrize(
    "bad", [{"image_size": 0}, {"classes": 1.5}, {"channels": True}]
)
def test_impossible_numbers_are_named(bad):
    (label, value), *_ = bad.items()
    with pytest.raises(InputError, match=rf"`{label}`.*Received: {label}={value}"):
        spec_costs(SPECS["EfficientNetB0"], **bad)


def test_squeeze_excite_counts_in_a_fused_block():
    """By hand: 1x1 input, stem 8, one fused block with ratio 1, top 8."""
    spec = dataclasses.replace(
        SPECS["EfficientNetV2B0"],
        stages=(
            dataclasses.replace(
                SPECS["EfficientNetV2B0"].stages[0], filters=8, se_ratio=0.25
            ),
        ),
        stem_filters=8,
        top_filters=8,
    )
    costs = spec_costs(spec, image_size=1, classes=2, channels=1)
    stem, squeeze, conv, top, dense = 9 * 8, 2 * 8 * 2, 9 * 8 * 8, 8 * 8, 8 * 2
    assert costs.multiply_adds == stem + squeeze + conv + top + dense
