"""Published numbers that the built networks are held against.

Counts: computed from Google's block strings (tensorflow/tpu and google/automl);
they agree with torchvision's `num_params` and timm's `results/*.csv`. `total`
adds the moving mean and variance of BatchNormalization. Tables by stage: the
EfficientNet paper's Table 1, scaled as in tensorflow/tpu.
"""

from typing import NamedTuple


class Published(NamedTuple):
    trainable: int
    total: int
    blocks: int
    stem: int
    top: int
    dropout: float


# fmt: off
PUBLISHED = {
    "EfficientNetB0":       Published(  5_288_548,   5_330_564, 16,  32, 1280, 0.2),
    "EfficientNetB1":       Published(  7_794_184,   7_856_232, 23,  32, 1280, 0.2),
    "EfficientNetB2":       Published(  9_109_994,   9_177_562, 23,  32, 1408, 0.3),
    "EfficientNetB3":       Published( 12_233_232,  12_320_528, 26,  40, 1536, 0.3),
    "EfficientNetB4":       Published( 19_341_616,  19_466_816, 32,  48, 1792, 0.4),
    "EfficientNetB5":       Published( 30_389_784,  30_562_520, 39,  48, 2048, 0.4),
    "EfficientNetB6":       Published( 43_040_704,  43_265_136, 45,  56, 2304, 0.5),
    "EfficientNetB7":       Published( 66_347_960,  66_658_680, 55,  64, 2560, 0.5),
    "EfficientNetB8":       Published( 87_413_142,  87_793_174, 61,  72, 2816, 0.5),
    "EfficientNetL2":       Published(480_309_308, 481_399_996, 88, 136, 5504, 0.5),
    "EfficientNetV2B0":     Published(  7_139_704,   7_200_312, 21,  32, 1280, 0.2),
    "EfficientNetV2B1":     Published(  8_141_052,   8_212_124, 27,  32, 1280, 0.2),
    "EfficientNetV2B2":     Published( 10_096_086,  10_178_374, 28,  32, 1408, 0.3),
    "EfficientNetV2B3":     Published( 14_358_406,  14_467_622, 32,  40, 1536, 0.3),
    "EfficientNetV2S":      Published( 21_458_488,  21_612_360, 40,  24, 1280, 0.2),
    "EfficientNetV2M":      Published( 54_139_356,  54_431_388, 57,  24, 1280, 0.3),
    "EfficientNetV2L":      Published(118_515_272, 119_027_848, 79,  32, 1280, 0.4),
    "EfficientNetV2XL":     Published(208_119_808, 208_896_832, 100, 32, 1280, 0.4),
    "EfficientNetLite0":    Published(  4_652_008,   4_694_024, 16,  32, 1280, 0.2),
    "EfficientNetLite1":    Published(  5_416_680,   5_470_344, 21,  32, 1280, 0.2),
    "EfficientNetLite2":    Published(  6_092_072,   6_150_168, 21,  32, 1280, 0.3),
    "EfficientNetLite3":    Published(  8_197_096,   8_273_768, 24,  32, 1280, 0.3),
    "EfficientNetLite4":    Published( 13_006_568,  13_118_936, 30,  32, 1280, 0.3),
    "EfficientNetEdgeTPUS": Published(  5_438_392,   5_489_832, 18,  32, 1280, 0.2),
    "EfficientNetEdgeTPUM": Published(  6_899_496,   6_967_304, 24,  32, 1280, 0.2),
    "EfficientNetEdgeTPUL": Published( 10_589_712,  10_681_920, 27,  40, 1536, 0.3),
}

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
