"""A file on its way: what the levers hand from one to the next."""

import dataclasses

from keras_effnet.export import converting
from keras_effnet.export.calibration import Ranges
from keras_effnet.export.levers import islands


@dataclasses.dataclass(frozen=True)
class Draft:
    """A float file and how it is to be quantised.

    Attributes:
        data: The bytes of the float .tflite file, its weights as the levers left
            them; tensors and operators are those of the converted model.
        ranges: `{index: (least, greatest)}` of all activations.
        float_nodes: Names of the operators (their outputs') that compute in float;
            large kernels of theirs are stored in 8 bits all the same.
        levers: What has been done, in order, for the table.
    """

    data: bytes
    ranges: dict[int, tuple[float, float]]
    float_nodes: frozenset[str] = frozenset()
    levers: tuple[str, ...] = ()

    def after(self, lever, **changes):
        """The draft with changes, and the lever that made them in its list."""
        return dataclasses.replace(self, levers=(*self.levers, lever), **changes)

    def quantised(self, trace, input_type=None):
        """The bytes of the int8 file.

        Args:
            trace: The `converting.Trace` that the draft began as.
            input_type: As `converting.file_of` takes it.
        """
        data = converting.file_of(
            dataclasses.replace(trace, float32=self.data),
            "int8",
            input_type,
            "tflite",
            Ranges(self.ranges, 0, ""),
            self.float_nodes,
        )
        return islands.with_8_bit_kernels(data) if self.float_nodes else data
