"""Published numbers that the built networks are held against.

Counts: computed from Google's block strings (tensorflow/tpu and google/automl);
they agree with torchvision's `num_params`, timm's `results/*.csv` and google/automl's
unit tests. `total` adds the moving mean and variance of BatchNormalization,
`giga_multiply_adds` are 10^9 at `image_size`, the size of evaluation; EdgeTPU for
1000 classes. Tables by stage: the EfficientNet paper's Table 1, scaled as in
tensorflow/tpu.
"""

from typing import NamedTuple


class Published(NamedTuple):
    image_size: int
    trainable: int
    total: int
    giga_multiply_adds: float
    blocks: int
    stem: int
    top: int
    dropout: float


# fmt: off
# ruff: noqa: E501 - tables are read as tables
# size, trainable, total, 10^9 multiply-adds, blocks, stem, top, dropout
_TABLE = {
    "EfficientNetB0":       (224,   5_288_548,   5_330_564,   0.386,  16,  32, 1280, 0.2),
    "EfficientNetB1":       (240,   7_794_184,   7_856_232,   0.687,  23,  32, 1280, 0.2),
    "EfficientNetB2":       (260,   9_109_994,   9_177_562,   0.994,  23,  32, 1408, 0.3),
    "EfficientNetB3":       (300,  12_233_232,  12_320_528,   1.827,  26,  40, 1536, 0.3),
    "EfficientNetB4":       (380,  19_341_616,  19_466_816,   4.394,  32,  48, 1792, 0.4),
    "EfficientNetB5":       (456,  30_389_784,  30_562_520,  10.266,  39,  48, 2048, 0.4),
    "EfficientNetB6":       (528,  43_040_704,  43_265_136,  19.068,  45,  56, 2304, 0.5),
    "EfficientNetB7":       (600,  66_347_960,  66_658_680,  37.746,  55,  64, 2560, 0.5),
    "EfficientNetB8":       (672,  87_413_142,  87_793_174,  62.597,  61,  72, 2816, 0.5),
    "EfficientNetL2":       (800, 480_309_308, 481_399_996, 475.704,  88, 136, 5504, 0.5),
    "EfficientNetV2B0":     (224,   7_139_704,   7_200_312,   0.718,  21,  32, 1280, 0.2),
    "EfficientNetV2B1":     (240,   8_141_052,   8_212_124,   1.197,  27,  32, 1280, 0.2),
    "EfficientNetV2B2":     (260,  10_096_086,  10_178_374,   1.698,  28,  32, 1408, 0.3),
    "EfficientNetV2B3":     (300,  14_358_406,  14_467_622,   3.011,  32,  40, 1536, 0.3),
    "EfficientNetV2S":      (384,  21_458_488,  21_612_360,   8.366,  40,  24, 1280, 0.2),
    "EfficientNetV2M":      (480,  54_139_356,  54_431_388,  24.582,  57,  24, 1280, 0.3),
    "EfficientNetV2L":      (480, 118_515_272, 119_027_848,  56.080,  79,  32, 1280, 0.4),
    "EfficientNetV2XL":     (512, 208_119_808, 208_896_832,  93.353, 100,  32, 1280, 0.4),
    "EfficientNetLite0":    (224,   4_652_008,   4_694_024,   0.385,  16,  32, 1280, 0.2),
    "EfficientNetLite1":    (240,   5_416_680,   5_470_344,   0.600,  21,  32, 1280, 0.2),
    "EfficientNetLite2":    (260,   6_092_072,   6_150_168,   0.860,  21,  32, 1280, 0.3),
    "EfficientNetLite3":    (280,   8_197_096,   8_273_768,   1.383,  24,  32, 1280, 0.3),
    "EfficientNetLite4":    (300,  13_006_568,  13_118_936,   2.553,  30,  32, 1280, 0.3),
    "EfficientNetEdgeTPUS": (224,   5_438_392,   5_489_832,   1.789,  18,  32, 1280, 0.2),
    "EfficientNetEdgeTPUM": (240,   6_899_496,   6_967_304,   3.013,  24,  32, 1280, 0.2),
    "EfficientNetEdgeTPUL": (300,  10_589_712,  10_681_920,   7.936,  27,  40, 1536, 0.3),
}
PUBLISHED = {name: Published(*row) for name, row in _TABLE.items()}

# Channels of the stem, the seven stages and the top.
CHANNELS = {
    "EfficientNetB0": (32, 16, 24, 40,  80, 112, 192, 320, 1280),
    "EfficientNetB1": (32, 16, 24, 40,  80, 112, 192, 320, 1280),
    "EfficientNetB2": (32, 16, 24, 48,  88, 120, 208, 352, 1408),
    "EfficientNetB3": (40, 24, 32, 48,  96, 136, 232, 384, 1536),
    "EfficientNetB4": (48, 24, 32, 56, 112, 160, 272, 448, 1792),
    "EfficientNetB5": (48, 24, 40, 64, 128, 176, 304, 512, 2048),
    "EfficientNetB6": (56, 32, 40, 72, 144, 200, 344, 576, 2304),
    "EfficientNetB7": (64, 32, 48, 80, 160, 224, 384, 640, 2560),
}

# Blocks of the seven stages.
LAYERS = {
    "EfficientNetB0": (1, 2, 2,  3,  3,  4, 1),
    "EfficientNetB1": (2, 3, 3,  4,  4,  5, 2),
    "EfficientNetB2": (2, 3, 3,  4,  4,  5, 2),
    "EfficientNetB3": (2, 3, 3,  5,  5,  6, 2),
    "EfficientNetB4": (2, 4, 4,  6,  6,  8, 2),
    "EfficientNetB5": (3, 5, 5,  7,  7,  9, 3),
    "EfficientNetB6": (3, 6, 6,  8,  8, 11, 3),
    "EfficientNetB7": (4, 7, 7, 10, 10, 13, 4),
}
# fmt: on
