"""The papers' tables. Plain Python: nothing of Keras is imported here.

Sources:
    V1: Tan and Le, "EfficientNet", ICML 2019, Table 1; coefficients from
        tensorflow/tpu `efficientnet_builder.py`.
    V2: Tan and Le, "EfficientNetV2", ICML 2021, Table 4; B0-B3, M, L and XL
        from google/automl `effnetv2_configs.py`.
    Lite and EdgeTPU: tensorflow/tpu `lite/efficientnet_lite_builder.py` and
        `edgetpu/efficientnet_edgetpu_builder.py`.
"""

import dataclasses
import re
from typing import Any

from keras_effnet.errors import InputError
from keras_effnet.errors import suggest

_OPERATOR = re.compile(r"(?P<fused>Fused-)?MBConv(?P<expand>\d+), k(?P<kernel>\d)x\d")


@dataclasses.dataclass(frozen=True)
class Stage:
    """One row of a paper's table: a run of equal blocks.

    Attributes:
        operator: As the paper prints it, `"MBConv6, k5x5"` or
            `"Fused-MBConv4, k3x3"`: block, expansion ratio, kernel size.
        strides: Of the first block; the others have stride 1.
        filters: Output channels.
        layers: Number of blocks.
        se_ratio: Squeeze-and-excitation channels over the channels that enter
            the block; 0 for none.
        expand_from: The channels that the expansion ratio multiplies; `None`
            for those that enter the block.
        skip: Whether blocks that keep their shape have a residual connection.
    """

    operator: str
    strides: int
    filters: int
    layers: int
    se_ratio: float = 0.0
    expand_from: int | None = None
    skip: bool = True

    def __post_init__(self) -> None:
        if not _OPERATOR.fullmatch(self.operator):
            raise InputError(
                "`operator` must read as in the papers, 'MBConv6, k3x3' or "
                f"'Fused-MBConv4, k3x3'. Received: operator={self.operator!r}"
            )

    @property
    def fused(self) -> bool:
        return self.operator.startswith("Fused-")

    @property
    def expand_ratio(self) -> int:
        return int(_OPERATOR.sub(r"\g<expand>", self.operator))

    @property
    def kernel_size(self) -> int:
        return int(_OPERATOR.sub(r"\g<kernel>", self.operator))


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """A network before it is built: base table, scaling, and regularisation.

    Attributes:
        name: The constructor, `"EfficientNetB0"`.
        model_name: The name of the Keras model, `"efficientnetb0"`.
        family: `"v1"`, `"v2"`, `"lite"` or `"edgetpu"`.
        stages: The base table, before scaling.
        width: Multiplies channels.
        depth: Multiplies blocks per stage.
        image_size: Input height and width in pixels, at evaluation.
        dropout_rate: Before the classifier.
        drop_connect_rate: Of the last block; block i of N has `rate * i / N`.
        stem_filters: Channels of the first convolution, before scaling.
        top_filters: Channels of the last 1x1 convolution, before scaling.
        activation: A Keras activation name.
        bn_momentum: Of every BatchNormalization.
        bn_epsilon: Of every BatchNormalization.
        padding: Of convolutions with strides: `"same"`, TensorFlow's, or
            `"symmetric"`, PyTorch's.
        never_shrink: Rounding may not take away more than 10 % of the channels
            (V1's rule; the V2 code does not have it).
        fixed_ends: Stem, top and the repeats of the first and the last stage
            are not scaled (Lite).
        normalization: A key of `keras_effnet.rule.NORMALIZATIONS`.
    """

    name: str
    model_name: str
    family: str
    stages: tuple[Stage, ...]
    width: float
    depth: float
    image_size: int
    dropout_rate: float
    drop_connect_rate: float = 0.2
    stem_filters: int = 32
    top_filters: int = 1280
    activation: str = "swish"
    bn_momentum: float = 0.99
    bn_epsilon: float = 1e-3
    padding: str = "same"
    never_shrink: bool = True
    fixed_ends: bool = False
    normalization: str = "imagenet"


# fmt: off
#         operator               stride  channels  layers  se
V1_STAGES = (
    Stage("MBConv1, k3x3",            1,       16,      1, 0.25),
    Stage("MBConv6, k3x3",            2,       24,      2, 0.25),
    Stage("MBConv6, k5x5",            2,       40,      2, 0.25),
    Stage("MBConv6, k3x3",            2,       80,      3, 0.25),
    Stage("MBConv6, k5x5",            1,      112,      3, 0.25),
    Stage("MBConv6, k5x5",            2,      192,      4, 0.25),
    Stage("MBConv6, k3x3",            1,      320,      1, 0.25),
)
LITE_STAGES = tuple(dataclasses.replace(stage, se_ratio=0.0) for stage in V1_STAGES)

V2_B_STAGES = (
    Stage("Fused-MBConv1, k3x3",      1,       16,      1),
    Stage("Fused-MBConv4, k3x3",      2,       32,      2),
    Stage("Fused-MBConv4, k3x3",      2,       48,      2),
    Stage("MBConv4, k3x3",            2,       96,      3, 0.25),
    Stage("MBConv6, k3x3",            1,      112,      5, 0.25),
    Stage("MBConv6, k3x3",            2,      192,      8, 0.25),
)
V2_S_STAGES = (
    Stage("Fused-MBConv1, k3x3",      1,       24,      2),
    Stage("Fused-MBConv4, k3x3",      2,       48,      4),
    Stage("Fused-MBConv4, k3x3",      2,       64,      4),
    Stage("MBConv4, k3x3",            2,      128,      6, 0.25),
    Stage("MBConv6, k3x3",            1,      160,      9, 0.25),
    Stage("MBConv6, k3x3",            2,      256,     15, 0.25),
)
V2_M_STAGES = (
    Stage("Fused-MBConv1, k3x3",      1,       24,      3),
    Stage("Fused-MBConv4, k3x3",      2,       48,      5),
    Stage("Fused-MBConv4, k3x3",      2,       80,      5),
    Stage("MBConv4, k3x3",            2,      160,      7, 0.25),
    Stage("MBConv6, k3x3",            1,      176,     14, 0.25),
    Stage("MBConv6, k3x3",            2,      304,     18, 0.25),
    Stage("MBConv6, k3x3",            1,      512,      5, 0.25),
)
V2_L_STAGES = (
    Stage("Fused-MBConv1, k3x3",      1,       32,      4),
    Stage("Fused-MBConv4, k3x3",      2,       64,      7),
    Stage("Fused-MBConv4, k3x3",      2,       96,      7),
    Stage("MBConv4, k3x3",            2,      192,     10, 0.25),
    Stage("MBConv6, k3x3",            1,      224,     19, 0.25),
    Stage("MBConv6, k3x3",            2,      384,     25, 0.25),
    Stage("MBConv6, k3x3",            1,      640,      7, 0.25),
)
V2_XL_STAGES = (
    Stage("Fused-MBConv1, k3x3",      1,       32,      4),
    Stage("Fused-MBConv4, k3x3",      2,       64,      8),
    Stage("Fused-MBConv4, k3x3",      2,       96,      8),
    Stage("MBConv4, k3x3",            2,      192,     16, 0.25),
    Stage("MBConv6, k3x3",            1,      256,     24, 0.25),
    Stage("MBConv6, k3x3",            2,      512,     32, 0.25),
    Stage("MBConv6, k3x3",            1,      640,      8, 0.25),
)
EDGETPU_STAGES = (
    # The official first row reads 24 input channels behind a 32-channel stem,
    # so it expands to 4 x 24 = 96, and it has no residual connection.
    Stage("Fused-MBConv4, k3x3",      1,       24,      1, expand_from=24, skip=False),
    Stage("Fused-MBConv8, k3x3",      2,       32,      2),
    Stage("Fused-MBConv8, k3x3",      2,       48,      4),
    Stage("MBConv8, k5x5",            2,       96,      5),
    Stage("MBConv8, k5x5",            1,      144,      4),
    Stage("MBConv8, k5x5",            2,      192,      2),
)

_V1: dict[str, Any] = {"family": "v1", "stages": V1_STAGES}
_V2: dict[str, Any] = {"family": "v2", "bn_momentum": 0.9, "never_shrink": False}
_V2_B = {**_V2, "stages": V2_B_STAGES}
_V2_L = {**_V2, "normalization": "128"}
_LITE: dict[str, Any] = {"family": "lite", "stages": LITE_STAGES, "activation": "relu6",
                         "fixed_ends": True, "normalization": "127"}
_EDGETPU: dict[str, Any] = {"family": "edgetpu", "stages": EDGETPU_STAGES, "activation": "relu",
                            "normalization": "127"}

_TABLE = (
    #         name                    model name                width depth size dropout
    ModelSpec("EfficientNetB0",       "efficientnetb0",          width=1.0, depth=1.0, image_size=224, dropout_rate=0.2, **_V1),
    ModelSpec("EfficientNetB1",       "efficientnetb1",          width=1.0, depth=1.1, image_size=240, dropout_rate=0.2, **_V1),
    ModelSpec("EfficientNetB2",       "efficientnetb2",          width=1.1, depth=1.2, image_size=260, dropout_rate=0.3, **_V1),
    ModelSpec("EfficientNetB3",       "efficientnetb3",          width=1.2, depth=1.4, image_size=300, dropout_rate=0.3, **_V1),
    ModelSpec("EfficientNetB4",       "efficientnetb4",          width=1.4, depth=1.8, image_size=380, dropout_rate=0.4, **_V1),
    ModelSpec("EfficientNetB5",       "efficientnetb5",          width=1.6, depth=2.2, image_size=456, dropout_rate=0.4, **_V1),
    ModelSpec("EfficientNetB6",       "efficientnetb6",          width=1.8, depth=2.6, image_size=528, dropout_rate=0.5, **_V1),
    ModelSpec("EfficientNetB7",       "efficientnetb7",          width=2.0, depth=3.1, image_size=600, dropout_rate=0.5, **_V1),
    ModelSpec("EfficientNetB8",       "efficientnetb8",          width=2.2, depth=3.6, image_size=672, dropout_rate=0.5, **_V1),
    ModelSpec("EfficientNetL2",       "efficientnetl2",          width=4.3, depth=5.3, image_size=800, dropout_rate=0.5, **_V1),
    ModelSpec("EfficientNetV2B0",     "efficientnetv2-b0",       width=1.0, depth=1.0, image_size=224, dropout_rate=0.2, **_V2_B),
    ModelSpec("EfficientNetV2B1",     "efficientnetv2-b1",       width=1.0, depth=1.1, image_size=240, dropout_rate=0.2, **_V2_B),
    ModelSpec("EfficientNetV2B2",     "efficientnetv2-b2",       width=1.1, depth=1.2, image_size=260, dropout_rate=0.3, **_V2_B),
    ModelSpec("EfficientNetV2B3",     "efficientnetv2-b3",       width=1.2, depth=1.4, image_size=300, dropout_rate=0.3, **_V2_B),
    ModelSpec("EfficientNetV2S",      "efficientnetv2-s",        width=1.0, depth=1.0, image_size=384, dropout_rate=0.2, stages=V2_S_STAGES,  stem_filters=24, **_V2_L),
    ModelSpec("EfficientNetV2M",      "efficientnetv2-m",        width=1.0, depth=1.0, image_size=480, dropout_rate=0.3, stages=V2_M_STAGES,  stem_filters=24, **_V2_L),
    ModelSpec("EfficientNetV2L",      "efficientnetv2-l",        width=1.0, depth=1.0, image_size=480, dropout_rate=0.4, stages=V2_L_STAGES,  **_V2_L),
    ModelSpec("EfficientNetV2XL",     "efficientnetv2-xl",       width=1.0, depth=1.0, image_size=512, dropout_rate=0.4, stages=V2_XL_STAGES, **_V2_L),
    ModelSpec("EfficientNetLite0",    "efficientnet-lite0",      width=1.0, depth=1.0, image_size=224, dropout_rate=0.2, **_LITE),
    ModelSpec("EfficientNetLite1",    "efficientnet-lite1",      width=1.0, depth=1.1, image_size=240, dropout_rate=0.2, **_LITE),
    ModelSpec("EfficientNetLite2",    "efficientnet-lite2",      width=1.1, depth=1.2, image_size=260, dropout_rate=0.3, **_LITE),
    ModelSpec("EfficientNetLite3",    "efficientnet-lite3",      width=1.2, depth=1.4, image_size=280, dropout_rate=0.3, **_LITE),
    ModelSpec("EfficientNetLite4",    "efficientnet-lite4",      width=1.4, depth=1.8, image_size=300, dropout_rate=0.3, **_LITE),
    ModelSpec("EfficientNetEdgeTPUS", "efficientnet-edgetpu-s",  width=1.0, depth=1.0, image_size=224, dropout_rate=0.2, **_EDGETPU),
    ModelSpec("EfficientNetEdgeTPUM", "efficientnet-edgetpu-m",  width=1.0, depth=1.1, image_size=240, dropout_rate=0.2, **_EDGETPU),
    ModelSpec("EfficientNetEdgeTPUL", "efficientnet-edgetpu-l",  width=1.2, depth=1.4, image_size=300, dropout_rate=0.3, **_EDGETPU),
)
# fmt: on

SPECS = {spec.name: spec for spec in _TABLE}
_SHORT = {name.lower().removeprefix("efficientnet"): name for name in SPECS}


def get_spec(name: str) -> ModelSpec:
    """The specification of a published network.

    Args:
        name: A constructor's name or a model's name, in any case, with or
            without hyphens, underscores and what all begin with: `"EfficientNetV2S"`,
            `"efficientnetv2-s"`, `"v2s"`.

    Returns:
        A `ModelSpec`.

    Raises:
        InputError: No network has this name.
    """
    wanted = _compact(name)
    if found := _SHORT.get(wanted.removeprefix("efficientnet")):
        return SPECS[found]
    raise InputError(
        f"No network has this name. {suggested(name)}"
        f"The {len(SPECS)} networks are: {', '.join(SPECS)}. Received: {name!r}"
    )


def suggested(name: str) -> str:
    """The part of a message that names the networks of the nearest names.

    Args:
        name: That `get_spec` does not know.

    Returns:
        As `keras_effnet.errors.suggest`.
    """
    return suggest(_compact(name), [*SPECS, *_SHORT])


def _compact(name: str) -> str:
    return re.sub(r"[-_ ]", "", str(name)).lower()
