"""Files that are tried: made, judged and measured, each kept with its figures."""

import time

from keras_effnet import benchmarks
from keras_effnet.errors import InputError
from keras_effnet.export import converting
from keras_effnet.export.levers import islands
from keras_effnet.sheet import Sheet
from keras_effnet.sheet import Tensor
from keras_effnet.tflite import TFLiteModel

PLAIN = "min-max"
# Precisions without ranges: where 8-bit weights alone stand, and the float file.
REFERENCES = ("weight-only", "float32")
_ROUNDS = 2
_SECONDS = 4


class Candidates:
    """All candidates of a search.

    Args:
        store: A `Store`.
        trace: The `converting.Trace` of the model.
        judge: A `Judge`.
        limits: `Limits`.
        input_type: Of the files.
        tell: Called with a line of text before each step.

    Attributes:
        found: Dicts of figures in the order in which they were tried.
        trace: The `converting.Trace`.
        store: The `Store`.
        tell: The function.
    """

    def __init__(self, store, trace, judge, limits, input_type, tell):
        self.store, self.trace, self.tell = store, trace, tell
        self._judge, self._limits, self._input_type = judge, limits, input_type
        self.found = []

    def try_draft(self, name, draft, network=None):
        """Quantises a draft and judges the file.

        Args:
            name: Of the candidate.
            draft: A `Draft`.
            network: Its `Network`, where operators stay in float.

        Returns:
            Its figures.
        """
        share = islands.float_share(network, draft.float_nodes) if network else 0.0
        about = {
            "precision": "int8",
            "levers": list(draft.levers),
            "float_nodes": sorted(draft.float_nodes),
            "float_share": share,
        }
        return self._try(
            name, about, lambda: draft.quantised(self.trace, self._input_type)
        )

    def try_precision(self, precision):
        """Judges a file of another precision, for comparison.

        It takes float32 where nothing says what a pixel is worth to the model.
        """
        input_type = self._input_type if precision != "float32" else None
        try:
            converting.file_of(self.trace, precision, input_type)
        except InputError:
            input_type = None
        about = {
            "precision": precision,
            "levers": [],
            "float_nodes": [],
            "float_share": 1.0,
        }
        return self._try(
            precision,
            about,
            lambda: converting.file_of(self.trace, precision, input_type),
        )

    def measure(self):
        """Adds latencies on this machine, relative to the plain int8 file's.

        Files of the same operators take the same time: one of them is measured.
        """
        first = {}
        for candidate in self.found:
            first.setdefault(_graph(candidate), candidate)
        plain, *others = first.values()
        missing = [c for c in others if not c.get("latency")]
        if missing or not plain.get("latency"):
            self.tell(f"measuring {len(missing) + 1} files")
            folder = self.store.folder.parent
            results = benchmarks.benchmark_many(
                [folder / c["file"] for c in (plain, *missing)],
                rounds=_ROUNDS,
                max_seconds=_SECONDS,
            )
            base = results[0].latency_metrics.median_ms
            for candidate, result in zip((plain, *missing), results, strict=True):
                candidate["latency"] = {
                    "median_ms": result.latency_metrics.median_ms,
                    "p90_ms": result.latency_metrics.p90_ms,
                    "relative": result.latency_metrics.median_ms / base,
                    "threads": result.options["threads"],
                    "host": result.device["cpu"] or result.device["machine"],
                }
        for candidate in self.found:
            candidate["latency"] = first[_graph(candidate)]["latency"]
            self.store.update(candidate)

    def _try(self, name, about, data):
        def make(path):
            started = time.perf_counter()
            path.write_bytes(data())
            # By which an integer input is read.
            pixels = Tensor(pixels=converting.takes_pixels(self.trace))
            file = TFLiteModel(path, threads=2, sheet=Sheet(input=pixels))
            figures = about | self._judge.figures(file)
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
