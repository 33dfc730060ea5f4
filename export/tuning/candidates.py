"""Files that are tried: made, judged and measured, each kept with its figures."""

import dataclasses
import time

from keras_effnet.errors import InputError
from keras_effnet.export import converting
from keras_effnet.export.levers import islands
from keras_effnet.export.levers.network import Network
from keras_effnet.sheet import Sheet
from keras_effnet.sheet import Tensor
from keras_effnet.tflite import TFLiteModel

PLAIN = "min-max"
# Precisions without ranges: where 8-bit weights alone stand, and the float file.
REFERENCES = ("weight-only", "float32")


class Candidates:
    """All candidates of a search; `found` has figures in the order of the tries."""

    def __init__(self, store, trace, reference, limits, cost, input_type, tell):
        self.store, self.trace, self.tell = store, trace, tell
        self._reference, self._limits, self._cost = reference, limits, cost
        self._input_type = input_type
        self.network, self.found = Network(trace.float32), []

    def try_draft(self, name, draft):
        """Quantises a draft and judges the file: its figures."""
        return self._try(
            name,
            lambda: draft.quantised(self.trace, self._input_type),
            precision="int8",
            levers=list(draft.levers),
            float_nodes=sorted(draft.float_nodes),
            float_share=islands.float_share(self.network, draft.float_nodes),
        )

    def try_precision(self, precision):
        """Judges a file of another precision, for comparison.

        It takes float32 where nothing says what a pixel is worth to the model.
        """

        def data():
            input_type = self._input_type if precision != "float32" else None
            try:
                return converting.file_of(self.trace, precision, input_type)
            except InputError:
                return converting.file_of(self.trace, precision)

        return self._try(
            precision,
            data,
            precision=precision,
            levers=[],
            float_nodes=[],
            float_share=1.0,
        )

    def measure(self):
        """Adds what each file costs, relative to the plain int8 file.

        Files of the same operators cost the same: one of them is measured.
        """
        first = {}
        for candidate in self.found:
            first.setdefault(_graph(candidate), candidate)
        plain, *others = first.values()
        missing = [c for c in others if not c.get("latency")]
        if missing or not plain.get("latency"):
            missing.insert(0, plain)
            self.tell(f"measuring {len(missing)} files")
            folder = self.store.folder.parent
            costs = self._cost([folder / c["file"] for c in missing])
            base = costs[0].median_ms
            for candidate, found in zip(missing, costs, strict=True):
                relative = {"relative": found.median_ms / base}
                candidate["latency"] = dataclasses.asdict(found) | relative
        for candidate in self.found:
            candidate["latency"] = first[_graph(candidate)]["latency"]
            self.store.update(candidate)

    def _try(self, name, data, **about):
        def make(path):
            started = time.perf_counter()
            path.write_bytes(data())
            # By which an integer input is read.
            pixels = Tensor(pixels=converting.takes_pixels(self.trace))
            file = TFLiteModel(path, threads=2, sheet=Sheet(input=pixels))
            figures = about | self._reference.figures(file)
            return figures | {"seconds": time.perf_counter() - started}

        figures = self.store.candidate(name, make)
        figures["within"] = self._limits.keep(figures)
        agreement = figures["evaluation"]["agreement"]
        drop = figures["evaluation"]["drop"]
        self.tell(
            f"{name}: agreement {agreement:.3f} "
            f"(expected {figures['expected_agreement']:.3f})"
            + (f", drop {drop:.2f} points" if drop is not None else "")
            + f", divergence {figures['divergence']:.4f}"
        )
        self.found.append(figures)
        return figures


def _graph(candidate):
    return candidate["precision"], tuple(candidate["float_nodes"])
