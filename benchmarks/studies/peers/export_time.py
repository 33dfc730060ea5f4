"""How long a conversion takes: this package's export against TensorFlow's converter.

    python benchmarks/studies/peers/export_time.py

EfficientNet-B0 at five precisions, by one `export` here and by five runs of
`TFLiteConverter.from_keras_model` on keras.applications' network there, calibrated on
the same 100 images, which lie in memory on both sides; and EfficientNetV2-S in float32
alone, with the peak memory of the process. Conversion and calibration are timed: the
import and the building of the network stand outside, and no file is evaluated. Each
side is a fresh process, and the sides take turns. Writes results/export_time.json.

KERAS_EFFNET_SHARED names the folder of photographs, `../shared` by default; without
it the images are made up.
"""

import dataclasses
import pathlib
import tempfile

import numpy as np

from keras_effnet import children
from keras_effnet.benchmarks.studies import comparison
from keras_effnet.benchmarks.studies.peers._calibration import calibration_images
from keras_effnet.benchmarks.workers import latency
from keras_effnet.errors import InputError
from keras_effnet.progress import bar as progress_bar
from keras_effnet.specs import get_spec

TARGET = 0.45
PRECISIONS = ("float32", "float16", "dynamic", "int8", "int16x8")
SIDES = ("keras_effnet", "TFLiteConverter")
_WORKER = "keras_effnet.benchmarks.studies.peers._export_sides"


@dataclasses.dataclass(frozen=True)
class Case:
    """What both sides convert, and how often."""

    network: str
    precisions: tuple[str, ...]
    rounds: int
    image_size: int

    @property
    def label(self):
        return f"{self.network}, {', '.join(self.precisions)}"


def cases(networks=None, rounds=None, image_size=None):
    """The `Case`s of all networks, or of some."""
    table = [("EfficientNetB0", PRECISIONS, 1), ("EfficientNetV2S", ("float32",), 2)]
    return [
        Case(
            network,
            precisions,
            rounds or often,
            image_size or get_spec(network).image_size,
        )
        for network, precisions, often in table
        if not networks or network in networks
    ]


def run_side(side, case, images):
    """Converts once, in a fresh process; what `_export_sides.main` returns."""
    options = {**dataclasses.asdict(case), "side": side, "images": str(images)}
    try:
        return children.ask(_WORKER, options)
    except children.ChildError as error:
        raise InputError(
            f"The conversion failed: {error.last_line}. Received: {side}"
        ) from error


def compare(case, images, source, bar, run=run_side):
    """Both sides in turn; a dict for the JSON file."""
    answers = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "images.npy")
        np.save(path, images)

        def measure(side):
            bar.set_description(f"{case.network}, {side}")
            answers[side].append(run(side, case, path))
            bar.update()
            return answers[side][-1]["nanoseconds"]

        found = comparison.interleaved(
            {side: lambda side=side: measure(side) for side in SIDES}, case.rounds
        )
    peaks = {
        side: max(answer["peak_memory_kb"] for answer in of_side)
        for side, of_side in answers.items()
    }
    ours, theirs = (peaks[side] for side in SIDES)
    return {
        **dataclasses.asdict(case),
        "calibration": source,
        "target_ratio": TARGET,
        **found,
        "peak_memory_kb": peaks,
        "peak_memory_ratio": ours / theirs,
        "processes": answers,
    }


def show(label, result):
    """A line of times and one of memory."""
    seconds = result["median_seconds"]
    times = ", ".join(f"{side} {seconds[side]:.1f} s" for side in SIDES)
    verdict = comparison.verdict(result["ratio"], TARGET)
    print(f"{label}: {times}, ratio {result['ratio']:.3f}, {verdict}")
    peaks = ", ".join(
        f"{side} {result['peak_memory_kb'][side] / 2**20:.2f} GiB" for side in SIDES
    )
    print(f"  peak memory: {peaks}, ratio {result['peak_memory_ratio']:.3f}")


def measure(args):
    chosen = cases(args.network, args.rounds, args.image_size)
    results = {}
    total = sum(len(SIDES) * case.rounds for case in chosen)
    with progress_bar(total=total, unit="process") as bar:
        for case in chosen:
            images, source = calibration_images(
                case.network, args.calibration_images, case.image_size
            )
            results[case.label] = compare(case, images, source, bar)
            bar.clear()
            show(case.label, results[case.label])
            yield {"device": latency.device_facts(), "comparisons": results}


main = comparison.study(
    measure,
    counts={
        "--rounds": (None, 1, "default: 1 for B0, 2 for V2-S"),
        **comparison.CALIBRATION_IMAGES,
        "--image-size": (None, 32, "pixels; the network's own by default"),
    },
    networks=[case.network for case in cases()],
)
