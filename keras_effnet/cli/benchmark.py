"""measure the latency and memory of .tflite files on this machine

  keras-effnet benchmark model.tflite
  keras-effnet benchmark float.tflite int8.tflite --threads 2 --output latency.json

Times are milliseconds of one run. docs/benchmarking.md explains the method and
every field of the JSON result.
"""

import contextlib
import json
import math
import sys

from keras_effnet.report.text import format_table

_TIMES = {
    "median": "median_ms",
    "p90": "p90_ms",
    "p95": "p95_ms",
    "min": "min_ms",
    "mean": "avg_ms",
    "first": "first_inference_ms",
    "init": "init_ms",
}


def add_arguments(parser):
    parser.add_argument("files", nargs="+", metavar="FILE.tflite")
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        metavar="N",
        help="of the interpreter (default: 1)",
    )
    parser.add_argument(
        "--runs",
        type=int,
        default=50,
        metavar="N",
        help="at least so many runs of a file (default: 50)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=1.0,
        metavar="S",
        help="at least so many seconds of runs of a file (default: 1)",
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=3,
        metavar="N",
        help="processes that share the runs of a file, interleaved with those of "
        "the other files (default: 3)",
    )
    parser.add_argument(
        "--no-xnnpack", action="store_true", help="run without the XNNPACK delegate"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, not a table")
    parser.add_argument(
        "--output", metavar="FILE.json", help="write the results with all raw times"
    )


def run(args):
    from keras_effnet import benchmarks
    from keras_effnet import files

    with contextlib.ExitStack() as stack:
        if args.output:
            # Opened first: that it can't be written should show before the wait.
            temporary = stack.enter_context(files.replacing(args.output))
        results = benchmarks.benchmark_many(
            args.files,
            rounds=args.rounds,
            threads=args.threads,
            min_runs=args.runs,
            min_seconds=args.seconds,
            max_seconds=max(150.0, args.seconds),
            xnnpack=not args.no_xnnpack,
            progress=lambda line: print(line, file=sys.stderr, flush=True),
        )
        text = json.dumps([result.to_dict() for result in results])
        if args.output:
            temporary.write_text(text + "\n", encoding="utf-8")
    print(text if args.json else _report(results))


def _report(results):
    rows = [["file", *_TIMES, "peak memory", "runs", "threads"]]
    for result in results:
        latency = vars(result.latency_metrics)
        peak_kb = result.memory_metrics.peak_footprint_kb
        rows.append(
            [
                result.name,
                *(_milliseconds(latency[key]) for key in _TIMES.values()),
                "unknown" if peak_kb is None else f"{peak_kb / 1024:.1f} MiB",
                str(result.misc_metrics.num_runs),
                str(result.options["threads"]),
            ]
        )
    first = results[0]
    lines = [
        format_table(rows, left=(0,)),
        "",
        f"Milliseconds of one run on this host: "
        f"{first.device['cpu'] or first.device['machine']}, "
        f"{first.device['cores']} cores, {first.runtime['name']} "
        f"{first.runtime['version']}, {first.options['delegate'] or 'no delegate'}.",
    ]
    lines += [
        f"Warning: {result.name}: {text}."
        for result in results
        for text in result.warnings
    ]
    return "\n".join(lines)


def _milliseconds(value):
    """Four significant digits, and never an exponent."""
    return f"{value:.{max(0, 3 - math.floor(math.log10(value)))}f}"
