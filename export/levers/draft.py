"""A file on its way: what the levers hand from one to the next."""

import dataclasses

from keras_effnet.export import converting
from keras_effnet.export.calibration import Ranges
from keras_effnet.export.levers import islands


@dataclasses.dataclass(frozen=True)
class Draft:
    """A float file and how it is to be quantised.

    Weights are as the levers left them, tensors and operators those of the converted
    model. Of the operators that compute in float, large kernels are stored in 8 bits
    all the same.
    """

    data: bytes
    ranges: dict[int, tuple[float, float]]  # of all activations
    float_nodes: frozenset[str] = frozenset()  # by their outputs' names
    levers: tuple[str, ...] = ()  # what has been done, in order

    def after(self, lever, **changes):
        """The draft with changes, and the lever that made them in its list."""
        return dataclasses.replace(self, levers=(*self.levers, lever), **changes)

    def quantised(self, trace: converting.Trace, input_type=None) -> bytes:
        """The int8 file, of the trace that the draft began as."""
        data = converting.file_of(
            dataclasses.replace(trace, float32=self.data),
            "int8",
            input_type,
            "tflite",
            Ranges(self.ranges, 0, ""),
            self.float_nodes,
        )
        return islands.with_8_bit_kernels(data) if self.float_nodes else data
