"""How fast our files are: against stock conversions, and against onnxruntime.

    python benchmarks/studies/peers/file_latency.py

EfficientNet-B0 and EfficientNetV2-B0 at 224 pixels, in float32 and int8, one thread,
LiteRT with XNNPACK: files of `export` against files that TensorFlow's converter makes
of keras.applications' network, traced at batch 1, with the same weights and the same
mean and standard deviation, calibrated on the same 100 images. Beside them the same
network in onnxruntime (int8: static, QDQ, weights per channel, activations in uint8),
which is left out where onnx, tf2onnx or onnxruntime isn't installed. First the float
files' outputs are held against each other: only one and the same function is worth
timing.

The files take turns, run by run, in one process; then again in further ones. A ratio
is that of the medians of all runs, its interval (95 %) from a bootstrap over the
processes. Writes results/file_latency.json. KERAS_EFFNET_SHARED names the folder of
photographs and of V2-B0's weights, `../shared` by default; without it the images are
made up and the weights random.
"""

import tempfile

import numpy as np

from keras_effnet import children
from keras_effnet.benchmarks.studies import comparison
from keras_effnet.benchmarks.studies.peers._calibration import calibration_images
from keras_effnet.benchmarks.workers import latency
from keras_effnet.errors import InputError
from keras_effnet.progress import bar as progress_bar
from keras_effnet.quiet import import_keras
from keras_effnet.specs import get_spec

TARGETS = {
    "EfficientNetB0": {"float32": 0.95, "int8": 1.00},
    "EfficientNetV2B0": {"float32": 0.96, "int8": 0.99},
}
WARM_UP = 5
_RESAMPLES = 2000
_WORKER = "keras_effnet.benchmarks.studies.peers._latency_worker"


def run_worker(files, runs):
    """One round: a fresh process; what `_latency_worker.main` returns."""
    options = {
        "files": {side: str(path) for side, path in files.items()},
        "runs": runs,
        "warm_up": WARM_UP,
    }
    try:
        return children.ask(_WORKER, options)
    except children.ChildError as error:
        raise InputError(
            f"The files can't be run. Received: {error.last_line}"
        ) from error


def measure(files, rounds, runs, bar, run=run_worker):
    """All rounds; each starts with another file."""
    sides = list(files)
    nanoseconds, loads = {side: [] for side in sides}, []
    for number in range(rounds):
        first = number % len(sides)
        order = sides[first:] + sides[:first]
        answer = run({side: files[side] for side in order}, runs)
        loads.append(answer["load_average"])
        for side, values in answer["nanoseconds"].items():
            nanoseconds[side].append(values)
        bar.update()
    ours, *others = sides
    return {
        "median_ms": _of_all(np.median, nanoseconds),
        "min_ms": _of_all(np.min, nanoseconds),
        "p90_ms": _of_all(lambda values: np.percentile(values, 90), nanoseconds),
        "ratio": {side: ratio(nanoseconds[ours], nanoseconds[side]) for side in others},
        "load_average_of_rounds": loads,
        "nanoseconds": nanoseconds,
    }


def _of_all(function, nanoseconds):
    return {side: float(function(runs)) / 1e6 for side, runs in nanoseconds.items()}


def ratio(ours, theirs):
    """Of medians, of all runs: of nanoseconds `(rounds, runs)` of the same rounds.

    With it its interval, 95 %, from resampled rounds, which keep their two sides
    together; the median of the rounds' own ratios; and the ratio of the least disturbed
    runs."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    random = np.random.default_rng(0)
    drawn = random.integers(0, len(ours), (_RESAMPLES, len(ours)))
    resampled = [np.median(ours[rows]) / np.median(theirs[rows]) for rows in drawn]
    of_rounds = np.median(ours, axis=1) / np.median(theirs, axis=1)
    return {
        "of_medians": float(np.median(ours) / np.median(theirs)),
        "interval": np.percentile(resampled, (2.5, 97.5)).tolist(),
        "median_of_round_ratios": float(np.median(of_rounds)),
        "of_minima": float(ours.min() / theirs.min()),
    }


def compare(network, args, folder, bar):
    """Converts and measures one network: `(label, result)` for each precision."""
    from keras_effnet.benchmarks.studies.peers import _latency_files

    size = args.image_size or get_spec(network).image_size
    images, source = calibration_images(network, args.calibration_images, size)
    model, weights = _latency_files.build(network, images)
    if weights == "random" and network in _latency_files.WEIGHTS:
        bar.write(f"{network}: {_latency_files.WEIGHTS[network]} is absent, random")
    paths = _latency_files.write_files(
        model,
        network,
        images,
        folder,
        progress=lambda step: bar.set_description(f"{network}, converting: {step}"),
        note=bar.write,
    )
    checked = _latency_files.check(paths, images)
    for precision, files in paths.items():
        bar.set_description(f"{network}, {precision}")
        yield (
            f"{network}, {precision}",
            {
                "network": network,
                "precision": precision,
                "image_size": size,
                "weights": weights,
                "calibration": source,
                "target_ratio": TARGETS[network][precision],
                **checked,
                "files": {
                    side: {"name": path.name, **comparison.file_facts(path)}
                    for side, path in files.items()
                },
                **measure(files, args.rounds, args.runs, bar),
            },
        )


def show(label, result):
    """A line of times and one for each ratio."""
    times = ", ".join(f"{side} {ms:.2f} ms" for side, ms in result["median_ms"].items())
    print(f"{label}: {times}")
    for side, found in result["ratio"].items():
        low, high = found["interval"]
        line = f"  {found['of_medians']:.3f} ({low:.3f} to {high:.3f}) of {side}"
        if side == "keras.applications":
            target = result["target_ratio"]
            line += f", {comparison.verdict(found['of_medians'], target)}"
        print(line)


def study(args):
    import_keras()  # bad options need not wait for it
    from keras_effnet.benchmarks.studies.peers import _latency_files

    if missing := _latency_files.onnx_missing():
        print(f"{_latency_files.ONNX} is left out: {missing} is not installed")
    total = len(args.network) * len(_latency_files.PRECISIONS) * args.rounds
    versions = comparison.installed_versions("tf2onnx", "onnx", "onnxruntime")
    results = {}
    with (
        tempfile.TemporaryDirectory() as temporary,
        progress_bar(total=total, unit="process") as bar,
    ):
        for network in args.network:
            for label, result in compare(network, args, args.keep or temporary, bar):
                results[label] = result
                bar.clear()
                show(label, result)
                yield {
                    "device": latency.device_facts(),
                    "versions_of_others": versions,
                    "comparisons": results,
                }


main = comparison.study(
    study,
    counts={
        "--rounds": (20, 1, "processes"),
        "--runs": (40, 1, "of each file in each process"),
        **comparison.CALIBRATION_IMAGES,
        "--image-size": (None, 32, "pixels; 224 by default"),
    },
    networks=TARGETS,
    more=comparison.KEEP,
)
