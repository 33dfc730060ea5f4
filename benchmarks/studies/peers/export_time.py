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

import argparse
import dataclasses
import os
import pathlib
import sys
import tempfile

import _child
import numpy as np
import tqdm
from _calibration import calibration_images
from _options import check_integers

from keras_effnet.benchmarks.studies import comparison
from keras_effnet.benchmarks.workers import latency
from keras_effnet.errors import InputError
from keras_effnet.specs import get_spec

TARGET = 0.45
CALIBRATION_IMAGES = 100
PRECISIONS = ("float32", "float16", "dynamic", "int8", "int16x8")
SIDES = ("keras_effnet", "TFLiteConverter")
_WORKER = pathlib.Path(__file__).with_name("_export_sides.py")


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
    """Converts once, in a fresh process.

    Args:
        side: One of `SIDES`.
        case: A `Case`.
        images: Path of the .npy file of the calibration images.

    Returns:
        What `_export_sides.main` returns.

    Raises:
        InputError: The process failed.
    """
    options = {**dataclasses.asdict(case), "side": side, "images": str(images)}
    try:
        return _child.run(_WORKER, options)
    except _child.ChildError as error:
        raise InputError(f"The conversion failed: {error}. Received: {side}") from error


def compare(case, images, source, bar, run=run_side):
    """Both sides in turn; a dict for the JSON file.

    Args:
        case: A `Case`.
        images: The calibration images, an array.
        source: What they are.
        bar: A `tqdm` that counts the processes.
        run: As `run_side`.
    """
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
    verdict = "within" if result["ratio"] <= TARGET else "MISSES"
    print(f"{label}: {times}, ratio {result['ratio']:.3f}, {verdict} {TARGET}")
    peaks = ", ".join(
        f"{side} {result['peak_memory_kb'][side] / 2**20:.2f} GiB" for side in SIDES
    )
    print(f"  peak memory: {peaks}, ratio {result['peak_memory_ratio']:.3f}")


def arguments(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [case.network for case in cases()]
    parser.add_argument(
        "--network", action="append", choices=names, help="all, unless named"
    )
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="default: 1 for B0, 2 for V2-S"
    )
    parser.add_argument(
        "--calibration-images",
        type=int,
        default=CALIBRATION_IMAGES,
        metavar="N",
        help=f"default: {CALIBRATION_IMAGES}",
    )
    parser.add_argument(
        "--image-size", type=int, metavar="PIXELS", help="default: the network's own"
    )
    parser.add_argument(
        "--output", type=pathlib.Path, help="default: results/export_time.json"
    )
    return parser.parse_args(argv)


def main(argv=None):
    args = arguments(argv)
    try:
        check_integers(
            1, rounds=args.rounds, calibration_images=args.calibration_images
        )
        check_integers(32, image_size=args.image_size)
        chosen = cases(args.network, args.rounds, args.image_size)
        load = os.getloadavg()
        results = {}
        total = sum(len(SIDES) * case.rounds for case in chosen)
        with tqdm.tqdm(total=total, unit="process", leave=False, disable=None) as bar:
            for case in chosen:
                images, source = calibration_images(
                    case.network, args.calibration_images, case.image_size
                )
                results[case.label] = compare(case, images, source, bar)
                bar.clear()
                show(case.label, results[case.label])
                # What is done stays, should the next one be killed.
                comparison.write_report(
                    "export_time", report(results, load), path=args.output
                )
    except InputError as error:
        print(f"export_time: error: {error}", file=sys.stderr)
        return 1
    return 0


def report(results, load):
    """What `comparison.write_report` writes of labels and results."""
    return {
        "load_average_before": load,
        "device": latency.device_facts(),
        "comparisons": results,
    }


if __name__ == "__main__":
    sys.exit(main())
