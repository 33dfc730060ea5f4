"""The analysis of built models, against the papers' tables and small graphs
counted by hand."""

import dataclasses
import functools
import itertools

import keras
import pytest
from reference_counts import CHANNELS
from reference_counts import LAYERS
from reference_counts import PUBLISHED

from keras_effnet.analysis import analyze
from keras_effnet.analysis import build_without_weights
from keras_effnet.costs import spec_costs
from keras_effnet.errors import InputError
from keras_effnet.specs import SPECS

# fmt: off
# Tan and Le 2019, Table 1: operator, input resolution, channels, layers.
V1_TABLE_1 = [
    ("Conv3x3",                224,   32, 1),
    ("MBConv1, k3x3",          112,   16, 1),
    ("MBConv6, k3x3",          112,   24, 2),
    ("MBConv6, k5x5",           56,   40, 2),
    ("MBConv6, k3x3",           28,   80, 3),
    ("MBConv6, k5x5",           14,  112, 3),
    ("MBConv6, k5x5",           14,  192, 4),
    ("MBConv6, k3x3",            7,  320, 1),
    ("Conv1x1 & Pooling & FC",   7, 1280, 1),
]
# Tan and Le 2021, Table 4: operator, stride, channels, layers.
V2_TABLE_4 = [
    ("Conv3x3",                2,   24,  1),
    ("Fused-MBConv1, k3x3",    1,   24,  2),
    ("Fused-MBConv4, k3x3",    2,   48,  4),
    ("Fused-MBConv4, k3x3",    2,   64,  4),
    ("MBConv4, k3x3",          2,  128,  6),
    ("MBConv6, k3x3",          1,  160,  9),
    ("MBConv6, k3x3",          2,  256, 15),
    ("Conv1x1 & Pooling & FC", 1, 1280,  1),
]
# fmt: on


@functools.cache
def _of(name):
    """The analysis of a published network."""
    return analyze(build_without_weights(name))


# What `test_models.py` builds on every run, too.
QUICK = (
    "EfficientNetB0",
    "EfficientNetV2S",
    "EfficientNetLite0",
    "EfficientNetEdgeTPUS",
)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in PUBLISHED
    ],
)
def test_every_network_costs_what_is_published(name):
    published = PUBLISHED[name]
    found = _of(name)
    assert found.input_shapes == ((published.image_size, published.image_size, 3),)
    assert found.trainable_parameters == published.trainable
    assert found.total_parameters == published.total
    assert round(found.multiply_adds / 1e9, 3) == published.giga_multiply_adds
    assert found.multiply_adds == spec_costs(SPECS[name]).multiply_adds
    assert found.not_counted == ()
    stages = [row for row in found.layers if row.stage not in ("input", "other")]
    assert sum(row.multiply_adds for row in found.stages) == found.multiply_adds
    assert sum(row.parameters for row in found.stages) == published.total
    assert {row.stage for row in stages} == {row.name for row in found.stages}


def test_b0_is_the_papers_table_1():
    stages = _of("EfficientNetB0").stages
    assert [
        (row.operator, row.resolution, row.channels, row.layers) for row in stages
    ] == [(op, (size, size), channels, n) for op, size, channels, n in V1_TABLE_1]


def test_v2_s_is_the_papers_table_4():
    stages = _of("EfficientNetV2S").stages
    assert [(row.operator, row.channels, row.layers) for row in stages] == [
        (op, channels, n) for op, _, channels, n in V2_TABLE_4
    ]
    resolutions = [row.resolution[0] for row in stages]
    strides = [before / after for before, after in itertools.pairwise(resolutions)]
    assert strides == [stride for _, stride, _, _ in V2_TABLE_4[:-1]]


@pytest.mark.parametrize("name", CHANNELS)
def test_scaled_channels_and_layers_by_stage(name):
    stages = _of(name).stages
    assert tuple(row.channels for row in stages) == CHANNELS[name]
    assert tuple(row.layers for row in stages[1:-1]) == LAYERS[name]


def test_stages_beyond_26_blocks_are_read():
    spec = SPECS["EfficientNetV2XL"]
    spec = dataclasses.replace(spec, stages=(spec.stages[5],))
    found = analyze(build_without_weights(spec))
    assert {row.name: row.layers for row in found.stages}["block1"] == 32
    assert {row.stage for row in found.layers if row.name == "block1aa_add"} == {
        "block1"
    }


def test_keras_applications_model_reads_the_same():
    theirs = analyze(
        keras.applications.EfficientNetB0(weights=None, input_shape=(64, 48, 3))
    )
    ours = analyze(build_without_weights("EfficientNetB0", input_shape=(64, 48, 3)))
    assert theirs.multiply_adds == ours.multiply_adds
    assert theirs.stages[1:] == ours.stages[1:]
    assert ours.stages[0].resolution == (64, 48)


def test_channels_first_reads_the_same():
    last = _of("EfficientNetB0")
    keras.config.set_image_data_format("channels_first")
    try:
        first = analyze(build_without_weights("EfficientNetB0"))
    finally:
        keras.config.set_image_data_format("channels_last")
    assert first.input_shapes == ((3, 224, 224),)
    assert first.stages == last.stages
    assert first.peak_bytes == last.peak_bytes


def _residual():
    inputs = keras.Input((4, 4, 2))
    x = keras.layers.Conv2D(6, 1, name="widen")(inputs)
    x = keras.layers.DepthwiseConv2D(3, padding="same", name="spread")(x)
    x = keras.layers.Conv2D(2, 1, name="narrow")(x)
    x = keras.layers.Add(name="join")([inputs, x])
    x = keras.layers.GlobalAveragePooling2D(name="squeeze")(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="decide")(x))


def test_a_residual_counted_by_hand():
    """Elements of a 4 x 4 map: input 32, widen 96, spread 96, narrow 32,
    join 32, squeeze 2, decide 3. The input waits for `join`, so `spread` runs
    with 32 + 96 + 96 alive."""
    found = analyze(_residual())
    assert [row.multiply_adds for row in found.layers] == [
        0,
        16 * 2 * 6,
        16 * 9 * 6,
        16 * 6 * 2,
        0,
        0,
        2 * 3,
    ]
    assert found.activation_bytes == 4 * (32 + 96 + 96 + 32 + 32 + 2 + 3)
    assert found.peak_bytes == 4 * (32 + 96 + 96)
    assert analyze(_residual(), bytes_per_element=1).peak_bytes == 32 + 96 + 96
    assert found.stages == ()


def test_without_the_residual_the_input_is_freed():
    inputs = keras.Input((4, 4, 2))
    x = keras.layers.Conv2D(6, 1)(inputs)
    x = keras.layers.Conv2D(6, 1)(x)
    assert analyze(keras.Model(inputs, x)).peak_bytes == 4 * (96 + 96)


def test_outputs_stay_alive_to_the_end():
    inputs = keras.Input((4, 4, 2))
    first = keras.layers.Conv2D(6, 1)(inputs)
    second = keras.layers.Conv2D(1, 1)(first)
    third = keras.layers.Conv2D(8, 1)(second)
    model = keras.Model(inputs, [first, third])
    assert analyze(model).peak_bytes == 4 * 16 * (6 + 1 + 8)


def test_groups_and_strides_and_padding():
    inputs = keras.Input((9, 9, 8))
    x = keras.layers.Conv2D(4, 3, strides=2, groups=4, padding="valid")(inputs)
    found = analyze(keras.Model(inputs, x))
    assert found.multiply_adds == 4 * 4 * (3 * 3 * 2) * 4


def test_shared_and_nested_layers_run_twice_and_weigh_once():
    inner = _residual()
    left, right = keras.Input((4, 4, 2)), keras.Input((4, 4, 2))
    x = keras.layers.Add()([inner(left), inner(right)])
    found = analyze(keras.Model([left, right], x))
    once = analyze(inner)
    assert found.multiply_adds == 2 * once.multiply_adds
    assert found.total_parameters == once.total_parameters
    assert sum(row.parameters for row in found.layers) == once.total_parameters


def test_transfer_learning_keeps_the_table():
    base = build_without_weights("EfficientNetB0", include_top=False)
    inputs = keras.Input((96, 96, 3))
    x = keras.layers.GlobalMaxPooling2D()(base(inputs))
    found = analyze(keras.Model(inputs, keras.layers.Dense(10)(x)))
    assert [row.operator for row in found.stages] == [row[0] for row in V1_TABLE_1]
    assert found.stages[-1].resolution == (3, 3)
    assert found.layers[-1].stage == "top"


def test_sequential_and_operations_without_a_layer():
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3, name="one")])
    assert analyze(model).multiply_adds == 15
    inputs = keras.Input((5,))
    assert analyze(keras.Model(inputs, inputs * 2 + inputs)).multiply_adds == 0


def test_an_open_size_needs_a_number():
    model = build_without_weights("EfficientNetB0", include_top=False)
    with pytest.raises(InputError, match=r"fixed input size.*\(None, None, 3\)"):
        analyze(model)
    assert analyze(model, image_size=64).stages[-1].resolution == (2, 2)


def test_a_fixed_model_at_another_size():
    model = build_without_weights("EfficientNetB0")
    costs = spec_costs(SPECS["EfficientNetB0"], image_size=100)
    assert analyze(model, image_size=100).multiply_adds == costs.multiply_adds


def test_a_size_that_does_not_fit_is_named():
    inputs = keras.Input((4, 4, 1))
    x = keras.layers.Dense(3, name="decide")(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, x)
    with pytest.raises(
        InputError, match=r"'decide' takes 16 features and would get 25"
    ):
        analyze(model, image_size=5)


def test_a_map_that_vanishes_is_one_clear_line():
    inputs = keras.Input((9, 9, 1))
    model = keras.Model(inputs, keras.layers.Conv2D(1, 7)(inputs))
    with pytest.raises(
        InputError, match=r"cannot run.*Received: \(3, 3, 1\)"
    ) as caught:
        analyze(model, image_size=3)
    assert "\n" not in str(caught.value)


def test_work_that_is_not_known_is_said():
    inputs = keras.Input((6, 4))
    x = keras.layers.LSTM(3, name="memory")(inputs)
    found = analyze(keras.Model(inputs, x))
    assert found.not_counted == ("memory",)
    assert found.multiply_adds == 0


def test_a_model_without_a_graph_is_refused():
    class Subclassed(keras.Model):
        def call(self, x):
            return x

    for model in (Subclassed(), keras.Sequential([keras.layers.Dense(1)]), "B0"):
        with pytest.raises(InputError, match="functional"):
            analyze(model)
