"""Whether the measuring itself is right.

    python benchmarks/studies/measuring_check.py

1. A runner that sleeps a known time comes out within 2 % of it, the statistics are
   NumPy's and the standard library's, and a run costs less than 20 µs beside its own
   time.
2. Two identical files come out "no difference seen" in at least 19 of 20 comparisons at
   α = 1 %, and a file made 10 % slower by further layers comes out "slower" in at least
   19 of 20. Its multiply-adds, and its instructions on an emulated core where there is
   QEMU, confirm the 10 %. Each comparison is a command of its own: the file, its copy
   and the slower one, in turn.

Run it on an idle machine; it takes about 20 minutes there. Writes
results/measuring_check.json, and ends with 1 where anything misses.
"""

import pathlib
import shutil
import statistics
import sys
import tempfile
import time

import numpy as np

from keras_effnet import benchmarks
from keras_effnet.benchmarks import significance
from keras_effnet.benchmarks.studies import comparison
from keras_effnet.benchmarks.targets.emulated import Emulated
from keras_effnet.benchmarks.targets.target import UNKNOWN_MEMORY
from keras_effnet.benchmarks.targets.target import UNKNOWN_OPERATORS
from keras_effnet.benchmarks.targets.target import Target
from keras_effnet.benchmarks.workers import latency
from keras_effnet.errors import InputError
from keras_effnet.progress import bar

OVERHEAD_US = 20
NEEDED = 0.95
LAYERS, MORE_LAYERS = 20, 22
# A system's own sleep comes 0.1 to 0.2 ms late.
SLEEPS_MS = (20, 50, 100)
TOLERANCE = 0.02


class Sleeper(Target):
    """Runs of a known time: the loop of the real target around a sleep."""

    name = "sleeper"

    def __init__(self, seconds):
        self._seconds = seconds

    def close(self):
        """There is nothing to end."""

    def answers(self, path, inputs):
        raise NotImplementedError

    def measure(self, path, request):
        runs = [request[key] for key in ("min_runs", "min_seconds", "max_seconds")]
        times = latency.timed_runs(lambda: time.sleep(self._seconds), *runs)
        return {
            "init_ns": times[0],
            "first_ns": times[0],
            "warmup_ns": [],
            "latency_ns": times.tolist(),
            "memory": UNKNOWN_MEMORY,
            "operators": UNKNOWN_OPERATORS,
            "inputs": [],
            "outputs": [],
            "output_sha256": "",
            "runtime": {"name": "sleep", "version": ""},
            "device": latency.device_facts(),
        }


def sleeps(path, runs=30):
    """Known times against what comes out, a row for each."""
    rows = []
    for known in SLEEPS_MS:
        (result,) = benchmarks.benchmark_many(
            [path], target=Sleeper(known / 1e3), rounds=3, min_runs=runs, min_seconds=0
        )
        median = result.latency_metrics.median_ms
        rows.append(
            {
                "known_ms": known,
                "median_ms": median,
                "error": median / known - 1,
                "within": abs(median / known - 1) <= TOLERANCE,
                "statistics_differ_by": _worst_statistic(result),
            }
        )
    return rows


def _worst_statistic(result):
    """The largest relative difference from NumPy and the standard library."""
    found = result.latency_metrics
    times = [ns / 1e6 for part in result.rounds for ns in part.latency_ns]
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    pairs = [
        (found.avg_ms, np.mean(times)),
        (found.avg_ms, statistics.fmean(times)),
        (found.median_ms, np.median(times)),
        (found.median_ms, statistics.median(times)),
        (found.stddev_ms, np.std(times)),
        (found.stddev_ms, statistics.pstdev(times)),
        (found.min_ms, min(times)),
        (found.max_ms, max(times)),
        *((getattr(found, f"p{n}_ms"), cuts[n - 1]) for n in (5, 90, 95, 99)),
        *(
            (getattr(found, f"p{n}_ms"), np.percentile(times, n))
            for n in (5, 90, 95, 99)
        ),
    ]
    return max(abs(a / b - 1) for a, b in map(tuple, pairs))


def overhead(runs=100_000):
    """What a run costs beside its own time, µs: of a run that does nothing, all."""
    started = time.perf_counter_ns()
    latency.timed_runs(lambda: None, runs, 0, 600)
    return (time.perf_counter_ns() - started) / runs / 1e3


def write_files(folder):
    """A file, its copy, and one with more of the same layers: `(paths, multiply_adds)`,
    dicts by `"file"`, `"copy"` and `"slower"`."""
    import keras

    from keras_effnet.analysis import analyze
    from keras_effnet.export import export

    paths, counts = {}, {}
    for name, layers in (("file", LAYERS), ("slower", MORE_LAYERS)):
        keras.utils.set_random_seed(0)
        x = inputs = keras.Input((28, 28, 32))
        for _ in range(layers):
            x = keras.layers.Conv2D(32, 3, padding="same", activation="relu")(x)
        x = keras.layers.GlobalAveragePooling2D()(x)
        model = keras.Model(inputs, keras.layers.Softmax()(x), name=name)
        counts[name] = analyze(model).multiply_adds
        (file,) = export(model, folder, ("float32",))
        paths[name] = pathlib.Path(file.path)
    paths["copy"] = paths["file"].with_name("copy.tflite")
    shutil.copy(paths["file"], paths["copy"])
    counts["copy"] = counts["file"]
    return paths, counts


def instructions(paths):
    """What an emulated Cortex-A76 counts for an inference of `"file"` and of
    `"slower"`, or `None` where there is no emulator."""
    try:
        with Emulated("cortex-a76") as core:
            found = benchmarks.benchmark_many(
                [paths["file"], paths["slower"]], target=core, rounds=1
            )
    except InputError as error:
        print(f"instructions are not counted: {error}", file=sys.stderr)
        return None
    return {"file": found[0].instructions, "slower": found[1].instructions}


def compare_once(paths, rounds, runs):
    """One comparison of the file with its copy, and one with the slower file."""
    names = ("file", "copy", "slower")
    results = benchmarks.benchmark_many(
        [paths[name] for name in names],
        rounds=rounds,
        min_runs=runs,
        min_seconds=0,
        warmup_seconds=0.15,
    )
    medians = {
        name: significance.round_medians(result.to_dict())
        for name, result in zip(names, results, strict=True)
    }
    row = {"median_ns": {name: values.tolist() for name, values in medians.items()}}
    for name in names[1:]:
        found = significance.compare(medians[name], medians["file"])
        row[name] = {
            key: getattr(found, key)
            for key in ("verdict", "ratio", "interval", "p_value")
        }
    return row


def report(args, folder):
    """All checks, for the JSON file; `passed` tells whether nothing misses."""
    paths, counts = write_files(folder)
    counted = instructions(paths)
    slept = sleeps(paths["file"])
    cost = overhead()
    turns = bar(range(args.comparisons), unit="comparison")
    rows = [compare_once(paths, args.rounds, args.runs) for _ in turns]
    same = sum(row["copy"]["verdict"] == significance.SAME for row in rows)
    found = sum(row["slower"]["verdict"] == significance.SLOWER for row in rows)
    passed = {
        "sleeps": all(row["within"] for row in slept),
        "statistics": all(row["statistics_differ_by"] < 1e-9 for row in slept),
        "overhead": cost < OVERHEAD_US,
        "multiply_adds": abs(_ratio(counts) - 1.1) < 0.001,
        "instructions": counted is None or abs(_ratio(counted) - 1.1) < 0.01,
        "identical": same >= NEEDED * len(rows),
        "slower": found >= NEEDED * len(rows),
    }
    return {
        "device": latency.device_facts(),
        "sleeps": slept,
        "overhead_us": cost,
        "multiply_adds": counts,
        "multiply_adds_ratio": _ratio(counts),
        "instructions": counted,
        "instructions_ratio": counted and _ratio(counted),
        "alpha": significance.ALPHA,
        "rounds": args.rounds,
        "runs": args.runs,
        "comparisons": len(rows),
        "identical_not_told_apart": same,
        "slower_found": found,
        "passed": passed,
        "rows": rows,
    }


def _ratio(counts):
    return counts["slower"] / counts["file"]


def show(content):
    """Prints what was found, a line each."""
    for row in content["sleeps"]:
        print(
            f"sleeps {row['known_ms']} ms: median {row['median_ms']:.3f} ms, "
            f"{row['error']:+.2%}; statistics within {row['statistics_differ_by']:.0e}"
        )
    print(f"overhead: {content['overhead_us']:.2f} µs a run")
    print(
        f"multiply-adds of the slower file: {content['multiply_adds_ratio']:.4f} times"
    )
    if content["instructions"]:
        print(f"instructions of it: {content['instructions_ratio']:.4f} times")
    whole = content["comparisons"]
    print(
        f"identical files not told apart: {content['identical_not_told_apart']}/{whole}"
    )
    print(f"slower file found: {content['slower_found']}/{whole}")
    missed = [name for name, passed in content["passed"].items() if not passed]
    print(f"MISSES: {', '.join(missed)}" if missed else "all within")


def measure(args):
    with tempfile.TemporaryDirectory() as folder:
        content = report(args, folder)
    show(content)
    yield content
    return 0 if all(content["passed"].values()) else 1


main = comparison.study(
    measure,
    counts={
        "--comparisons": (20, 1, "of each kind"),
        "--rounds": (
            *(24, significance.rounds_needed()),
            "processes of each file in each comparison",
        ),
        "--runs": (1200, 1, "of each file in each comparison"),
    },
    idle=True,
)
