"""What a network costs, from its table alone: nothing is built.

`keras_effnet.analysis` counts the same from a built model.
"""

import dataclasses

from keras_effnet import scaling
from keras_effnet.errors import check_number
from keras_effnet.specs import ModelSpec
from keras_effnet.specs import Stage


@dataclasses.dataclass(frozen=True)
class Costs:
    """Size and work of a network.

    Attributes:
        trainable_parameters: Weights that training changes.
        total_parameters: The same and BatchNormalization's moving statistics.
        multiply_adds: For one image. The papers' convention ("FLOPS"): a
            multiplication and its addition count once; convolutions,
            squeeze-and-excitation and the classifier count; biases,
            normalisation, activations and pooling do not.
    """

    trainable_parameters: int
    total_parameters: int
    multiply_adds: int


def spec_costs(
    spec: ModelSpec,
    image_size: int | None = None,
    classes: int = 1000,
    channels: int = 3,
) -> Costs:
    """Counts parameters and multiply-adds of a network with its classifier.

    `image_size` is height and width in pixels, the spec's when `None`.

    Raises:
        InputError: A number is not a positive integer.
    """
    size = spec.image_size if image_size is None else image_size
    for label, value in (
        ("image_size", size),
        ("classes", classes),
        ("channels", channels),
    ):
        check_number(label, value, "a positive integer", lambda n: n > 0, whole=True)
    count = _Counter(size, channels)
    count.conv(scaling.stem_filters(spec), kernel_size=3, strides=2)
    for stage in scaling.scaled_stages(spec):
        for repeat in range(stage.layers):
            _block(count, stage, first=repeat == 0)
    count.conv(scaling.top_filters(spec))
    count.dense(classes)
    return Costs(count.trainable, count.trainable + count.statistics, count.macs)


class _Counter:
    """Follows the tensor through the network: its size, its channels."""

    def __init__(self, size: int, channels: int) -> None:
        self.size = size
        self.channels = channels
        self.trainable = self.statistics = self.macs = 0

    def _stride(self, strides: int) -> None:
        # SAME padding.
        self.size = -(-self.size // strides)

    def _weights(self, number: int) -> None:
        self.trainable += number
        self.macs += number * self.size**2

    def _batch_normalization(self) -> None:
        self.trainable += 2 * self.channels
        self.statistics += 2 * self.channels

    def conv(self, filters: int, kernel_size: int = 1, strides: int = 1) -> None:
        self._stride(strides)
        self._weights(kernel_size**2 * self.channels * filters)
        self.channels = filters
        self._batch_normalization()

    def depthwise(self, kernel_size: int, strides: int) -> None:
        self._stride(strides)
        self._weights(kernel_size**2 * self.channels)
        self._batch_normalization()

    def squeeze_excite(self, filters: int) -> None:
        weights = 2 * self.channels * filters
        self.trainable += weights + self.channels + filters
        self.macs += weights

    def dense(self, units: int) -> None:
        self.trainable += (self.channels + 1) * units
        self.macs += self.channels * units


def _block(count: _Counter, stage: Stage, first: bool) -> None:
    base = (stage.expand_from if first else None) or count.channels
    strides = stage.strides if first else 1
    expands = stage.expand_ratio != 1
    squeezed = max(1, int(base * stage.se_ratio)) if stage.se_ratio else 0
    if stage.fused:
        if expands:
            count.conv(base * stage.expand_ratio, stage.kernel_size, strides)
    else:
        if expands:
            count.conv(base * stage.expand_ratio)
        count.depthwise(stage.kernel_size, strides)
    if squeezed:
        count.squeeze_excite(squeezed)
    if stage.fused and not expands:
        count.conv(stage.filters, stage.kernel_size, strides)
    else:
        count.conv(stage.filters)
