"""Rounding and compound scaling, against the official values and tables."""

import dataclasses

import pytest
from reference_counts import CHANNELS
from reference_counts import LAYERS
from reference_counts import PUBLISHED

from keras_effnet import scaling
from keras_effnet.analysis import build_without_weights
from keras_effnet.costs import spec_costs
from keras_effnet.errors import InputError
from keras_effnet.specs import SPECS


@pytest.mark.parametrize(
    ("filters", "width", "rounded"),
    [
        # tensorflow/tpu `efficientnet_model.round_filters`, divisor 8.
        (32, 1.0, 32),
        (32, 1.1, 32),
        (32, 1.2, 40),
        (32, 1.4, 48),
        (16, 1.1, 16),
        (16, 1.4, 24),
        (24, 1.1, 24),
        (40, 1.1, 48),
        (1280, 1.1, 1408),
        (320, 4.3, 1376),
        # 9.6 rounds to 8, which is below 90 %, so it goes up.
        (16, 0.6, 16),
        # 19.2 rounds to 16, below 90 %: up.
        (16, 1.2, 24),
        (16, 0.1, 8),
    ],
)
def test_round_filters(filters, width, rounded):
    assert scaling.round_filters(filters, width) == rounded


@pytest.mark.parametrize(("filters", "width"), [(16, 1.2), (16, 0.6)])
def test_round_filters_of_v2_has_no_guard(filters, width):
    rounded = scaling.round_filters(filters, width, never_shrink=False)
    assert rounded == scaling.round_filters(filters, width) - 8


def test_round_filters_to_another_multiple():
    assert scaling.round_filters(32, 1.1, divisor=1) == 35
    assert scaling.round_filters(32, 1.1, divisor=16) == 32


@pytest.mark.parametrize(
    ("layers", "depth", "rounded"),
    [(1, 1.0, 1), (1, 1.1, 2), (3, 1.4, 5), (4, 3.1, 13), (4, 5.3, 22), (5, 2.0, 10)],
)
def test_round_repeats_goes_up(layers, depth, rounded):
    assert scaling.round_repeats(layers, depth) == rounded


@pytest.mark.parametrize("name", CHANNELS)
def test_channels_and_layers_by_stage(name):
    spec = SPECS[name]
    stages = scaling.scaled_stages(spec)
    channels = [stage.filters for stage in stages]
    ends = (scaling.stem_filters(spec), scaling.top_filters(spec))
    assert (ends[0], *channels, ends[1]) == CHANNELS[name]
    assert tuple(stage.layers for stage in stages) == LAYERS[name]


@pytest.mark.parametrize("name", SPECS)
def test_ends_and_number_of_blocks(name):
    spec = SPECS[name]
    assert scaling.stem_filters(spec) == PUBLISHED[name].stem
    assert scaling.top_filters(spec) == PUBLISHED[name].top
    stages = scaling.scaled_stages(spec)
    assert sum(stage.layers for stage in stages) == PUBLISHED[name].blocks


def test_lite_keeps_its_ends():
    stages = scaling.scaled_stages(SPECS["EfficientNetLite4"])
    assert [stage.layers for stage in stages] == [1, 4, 4, 6, 6, 8, 1]


def test_edgetpu_scales_what_its_first_block_expands_from():
    first, *_ = scaling.scaled_stages(SPECS["EfficientNetEdgeTPUL"])
    assert (first.expand_from, first.filters) == (32, 32)


def test_phi_zero_is_the_base():
    base = SPECS["EfficientNetB0"]
    scaled = scaling.compound_scale(0)
    assert dataclasses.replace(scaled, name=base.name, model_name=base.model_name) == (
        base
    )


def test_phi_raises_the_coefficients_to_its_power():
    spec = scaling.compound_scale(2, alpha=1.3, beta=1.05, gamma=1.2)
    assert spec.depth == pytest.approx(1.69)
    assert spec.width == pytest.approx(1.1025)
    assert spec.image_size == round(224 * 1.44)
    half = scaling.compound_scale(0.5, alpha=1.44, beta=1.0, gamma=1.0)
    assert half.depth == pytest.approx(1.2)
    assert (half.width, half.image_size) == (1.0, 224)


def test_scales_another_base_from_where_it_stands():
    base = SPECS["EfficientNetB2"]
    spec = scaling.compound_scale(1, alpha=2, beta=1.5, gamma=1, base=base)
    assert spec.depth == pytest.approx(2.4)
    assert spec.width == pytest.approx(1.65)
    assert spec.image_size == 260


@pytest.mark.parametrize("phi", [12, 16, 20])
def test_multiply_adds_grow_as_the_paper_says(phi):
    """By (alpha * beta^2 * gamma^2)^phi; whole layers and whole groups of 8
    channels matter less the larger the network."""
    base = scaling.compound_scale(phi)
    more = scaling.compound_scale(phi + 4)
    ratio = spec_costs(more).multiply_adds / spec_costs(base).multiply_adds
    assert ratio == pytest.approx((1.2 * 1.1**2 * 1.15**2) ** 4, rel=0.02)


def test_names_are_distinct_and_can_be_given():
    names = {scaling.compound_scale(phi).name for phi in (0, 0.5, 1, 1.5, 15)}
    assert len(names) == 5
    spec = scaling.compound_scale(1, name="Mine")
    assert (spec.name, spec.model_name) == ("Mine", "mine")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"phi": -1}, "Received: phi=-1"),
        ({"phi": 1, "alpha": 0.9}, "`alpha` must be at least 1. Received: alpha=0.9"),
        ({"phi": 1, "beta": 0}, "Received: beta=0"),
        ({"phi": 1, "gamma": 0.5}, "Received: gamma=0.5"),
    ],
)
def test_impossible_coefficients_are_named(options, message):
    with pytest.raises(InputError, match=message):
        scaling.compound_scale(**options)


def test_any_width_depth_and_size():
    spec = scaling.scaled_spec("EfficientNetB0", width=2.0, depth=3.1, image_size=600)
    assert spec_costs(spec) == spec_costs(SPECS["EfficientNetB7"])
    same = scaling.scaled_spec(SPECS["EfficientNetLite0"], depth=1.1, image_size=240)
    assert spec_costs(same) == spec_costs(SPECS["EfficientNetLite1"])
    assert scaling.scaled_spec("EfficientNetB3").width == 1.2


@pytest.mark.parametrize("label", ["width", "depth", "image_size"])
def test_coefficients_must_be_positive(label):
    with pytest.raises(InputError, match=f"`{label}` must be positive"):
        scaling.scaled_spec("EfficientNetB0", **{label: 0})


def test_a_scaled_network_is_built():
    spec = scaling.scaled_spec("EfficientNetV2B0", width=0.5, depth=0.4, image_size=48)
    model = build_without_weights(spec)
    assert model.input_shape == (None, 48, 48, 3)
    assert model.count_params() == spec_costs(spec).total_parameters
    assert model.name == "efficientnetv2-b0-w0.5-d0.4-i48"
