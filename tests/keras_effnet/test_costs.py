"""Parameters and multiply-adds from the tables, against published integers."""

import dataclasses

import pytest
from reference_counts import PUBLISHED

from keras_effnet.costs import spec_costs
from keras_effnet.errors import InputError
from keras_effnet.specs import SPECS


def test_the_table_names_every_network():
    assert set(PUBLISHED) == set(SPECS)


@pytest.mark.parametrize("name", PUBLISHED)
def test_costs_are_the_published_ones(name):
    published = PUBLISHED[name]
    costs = spec_costs(SPECS[name], image_size=published.image_size)
    assert costs.trainable_parameters == published.trainable
    assert costs.total_parameters == published.total
    assert round(costs.multiply_adds / 1e9, 3) == published.giga_multiply_adds
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
