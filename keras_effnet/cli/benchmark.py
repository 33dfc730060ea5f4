"""measure the latency and memory of .tflite files, here and on devices

  keras-effnet benchmark model.tflite
  keras-effnet benchmark float.tflite int8.tflite --threads 1,2 --output latency.json
  keras-effnet benchmark int8.tflite --target host --target adb --evaluate labelled/
  keras-effnet benchmark int8.tflite --target arm:cortex-a76 --output counts.json

Targets: host, this machine; adb or adb:SERIAL, an Android device;
ssh:USER@HOST[:PORT], a Linux board; arm:CORE, an emulated cortex-a53, cortex-a72 or
cortex-a76, which counts instructions; browser, of a phone or of this machine, which
opens the page that is shown.

Times are milliseconds of one run. With --output the command goes on where it was
stopped. docs/benchmarking.md explains the method and every field of the JSON result;
`keras-effnet report` draws it.
"""

import contextlib
import dataclasses
import json
import math
import pathlib
import shlex
import sys

from keras_effnet.errors import InputError
from keras_effnet.errors import suggest
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
# Runs, seconds, the pause between processes; quick and full are MLPerf Mobile's.
_SETTINGS = {
    "standard": (50, 1.0, 0.0),
    "quick": (128, 10.0, 60.0),
    "full": (1024, 60.0, 300.0),
}
_PROFILE = {
    "min_runs": 20,
    "min_seconds": 1.0,
    "warmup_runs": 5,
    "warmup_seconds": 0.5,
    "max_seconds": 60.0,
}
_OPERATORS = 6


def add_arguments(parser):
    parser.add_argument("files", nargs="+", metavar="FILE.tflite")
    parser.add_argument(
        "--target",
        action="append",
        metavar="TARGET",
        help="where to measure, see above; may be given several times (default: host)",
    )
    parser.add_argument(
        "--threads",
        default="1",
        metavar="N",
        help="of the interpreter, several with commas (default: 1)",
    )
    parser.add_argument(
        "--settings",
        default="standard",
        metavar="NAME",
        help="standard: 50 runs and 1 s; quick: 128 and 10 s, a minute's pause between "
        "processes; full: 1024 and 60 s, five minutes' pause (default: standard)",
    )
    parser.add_argument(
        "--runs", type=int, metavar="N", help="at least so many runs of a file"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        metavar="S",
        help="at least so many seconds of runs of a file",
    )
    parser.add_argument(
        "--cool-down",
        type=float,
        metavar="S",
        help="nothing runs for so many seconds between two processes",
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
    parser.add_argument(
        "--weight-cache",
        action="store_true",
        help="XNNPACK reads its packed weights from a file, as an app's second start "
        "does; of the host, needs a C compiler",
    )
    parser.add_argument(
        "--profile",
        action="store_true",
        help="also tell which operators the time goes to; of host, adb and ssh, needs "
        "a C compiler",
    )
    parser.add_argument(
        "--evaluate",
        metavar="PHOTOS",
        help="run these on each target, and here: a folder of one folder per class, a "
        "CSV file, or a folder of photographs without classes",
    )
    parser.add_argument(
        "--sustained",
        type=int,
        metavar="MINUTES",
        help="then run each file for so long, for the median of every minute",
    )
    parser.add_argument(
        "--cores", metavar="LIST", help="of adb and ssh, to run on: 4-7, or 0,2"
    )
    parser.add_argument(
        "--ssh-options", default="", metavar="TEXT", help="for ssh: '-i key -F none'"
    )
    parser.add_argument(
        "--benchmark-model",
        metavar="FILE",
        help="TensorFlow's own program for the device, to be used on adb and ssh",
    )
    parser.add_argument(
        "--address",
        default="127.0.0.1",
        metavar="HOST[:PORT]",
        help="of this machine, where the browser's page is served; 0.0.0.0 for phones "
        "in the network (default: 127.0.0.1)",
    )
    parser.add_argument(
        "--accelerator",
        default="wasm",
        metavar="NAME",
        help="of the browser: wasm or webgpu (default: wasm)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, not a table")
    parser.add_argument(
        "--output", metavar="FILE.json", help="write the results with all raw times"
    )


def run(args):
    from keras_effnet import files
    from keras_effnet.benchmarks.journal import Journal

    options = _options(args)
    threads = _numbers(args.threads, "--threads")
    if args.sustained is not None and args.sustained < 1:
        raise InputError(f"--sustained must be at least 1. Received: {args.sustained}")
    results, journal = [], None
    with contextlib.ExitStack() as stack:
        if args.output:
            # Opened first: that it can't be written should show before the wait.
            temporary = stack.enter_context(files.replacing(args.output))
            journal = Journal(f"{args.output}.rounds")
        for name in dict.fromkeys(args.target or ["host"]):
            results += _on(name, args, threads, options | {"journal": journal})
        text = json.dumps([result.to_dict() for result in results])
        if args.output:
            temporary.write_text(text + "\n", encoding="utf-8")
    if journal:
        journal.remove()
    print(text if args.json else _report(results))


def _options(args):
    if args.settings not in _SETTINGS:
        raise InputError(
            f"--settings must be one of {', '.join(_SETTINGS)}. "
            f"{suggest(args.settings, _SETTINGS)}Received: {args.settings!r}"
        )
    runs, seconds, pause = _SETTINGS[args.settings]
    seconds = seconds if args.seconds is None else args.seconds
    return {
        "rounds": args.rounds,
        "min_runs": runs if args.runs is None else args.runs,
        "min_seconds": seconds,
        "max_seconds": max(600.0 if args.settings == "full" else 150.0, seconds),
        "cool_down_seconds": pause if args.cool_down is None else args.cool_down,
        "xnnpack": not args.no_xnnpack,
        "weight_cache": args.weight_cache,
    }


def _numbers(text, option):
    """What `1,2` or `4-7` names."""
    try:
        ends = [[int(end) for end in part.split("-", 1)] for part in text.split(",")]
    except ValueError as error:
        raise InputError(
            f"{option} must be whole numbers with commas. Received: {text!r}"
        ) from error
    return [number for part in ends for number in range(part[0], part[-1] + 1)]


def _on(name, args, threads, options):
    from keras_effnet import benchmarks
    from keras_effnet.benchmarks.targets.by_name import open_target

    found = []
    with open_target(name, _settings(args)) as target:
        if args.profile and not target.profiles:
            raise InputError(
                f"--profile is of host, adb and ssh. Received: --target {name}"
            )
        for path in args.files:
            target.check(path)
        for number in _possible(threads, target):
            found += benchmarks.benchmark_many(
                args.files,
                target=target,
                threads=number,
                progress=lambda line: _tell(f"{target.name}: {line}"),
                **options,
            )
        return [_more(result, target, args) for result in found]


def _possible(threads, target):
    """Of a matrix the cells that a target has, unless it has none."""
    most = target.most_threads
    if most is None or min(threads) > most:
        return threads
    if left := [number for number in threads if number > most]:
        _tell(f"{target.name}: not with {', '.join(map(str, left))} threads")
    return [number for number in threads if number <= most]


def _settings(args):
    """What the classes of the targets take."""
    cores = None if args.cores is None else _numbers(args.cores, "--cores")
    shell = {"cores": cores, "benchmark_model": args.benchmark_model}
    host, _, port = args.address.partition(":")
    if port and not port.isdecimal():
        raise InputError(
            f"--address must be HOST or HOST:PORT. Received: {args.address!r}"
        )
    return {
        "adb": shell,
        "ssh": shell | {"options": tuple(shlex.split(args.ssh_options))},
        "browser": {
            "host": host,
            "port": int(port or 0),
            "accelerator": args.accelerator,
            "tell": _tell,
        },
    }


def _more(result, target, args):
    """With what was asked for beside the times."""
    path, extra = result.model["path"], {}
    request = {
        "threads": result.options["threads"],
        "xnnpack": not args.no_xnnpack,
    }
    if args.profile:
        _tell(f"{target.name}: {path}: profile")
        extra["profile"] = target.profile(path, request | _PROFILE)
    if args.evaluate:
        from keras_effnet.benchmarks import on_device

        with _bar(pathlib.Path(path).name) as progress:
            extra["accuracy"] = on_device.evaluate(
                path, target, args.evaluate, progress
            )
    if args.sustained:
        from keras_effnet.benchmarks import sustained

        extra["sustained"] = sustained.sustained(
            path,
            target,
            args.sustained,
            request,
            lambda minute, ms: _tell(
                f"{target.name}: {path}: minute {minute} of {args.sustained}: "
                f"{_milliseconds(ms)} ms"
            ),
        )
    return dataclasses.replace(result, **extra)


@contextlib.contextmanager
def _bar(name):
    import tqdm

    with tqdm.tqdm(desc=name, unit="image", leave=False, disable=None) as bar:

        def tell(done, total):
            bar.total = total
            bar.update(done - bar.n)

        yield tell


def _tell(line):
    print(line, file=sys.stderr, flush=True)


def _report(results):
    columns = _columns(results)
    rows = [["file", *columns]]
    rows += [[r.name, *(cell(r) for cell in columns.values())] for r in results]
    lines = [format_table(rows, left=(0,)), ""]
    for result in {result.target: result for result in results}.values():
        device, runtime = result.device, result.runtime
        place = "this host" if result.target == "host" else result.target
        lines.append(
            f"Milliseconds of one run on {place}: "
            f"{device['cpu'] or device['machine']}, "
            f"{device['cores']} cores, {runtime['name']} {runtime['version']}, "
            f"{result.options['delegate'] or 'no delegate'}."
        )
    for result in results:
        if result.profile:
            whole = sum(row["ms"] for row in result.profile)
            parts = [
                f"{row['operator']} {row['ms'] / whole:.0%}"
                for row in result.profile[:_OPERATORS]
            ]
            lines.append(f"{result.name} on {result.target}: {', '.join(parts)}.")
    lines += [
        f"Warning: {result.name}: {text}."
        for result in results
        for text in result.warnings
    ]
    return "\n".join(lines)


def _columns(results):
    """`{heading: function of a result}`: what any of the results has."""
    found = {}
    if {result.target for result in results} != {"host"}:
        found["target"] = lambda result: result.target
    for heading, key in _TIMES.items():
        found[heading] = lambda result, key=key: _milliseconds(
            getattr(result.latency_metrics, key)
        )
    found["peak memory"] = _memory
    found["runs"] = lambda result: str(result.misc_metrics.num_runs)
    found["threads"] = lambda result: str(result.options["threads"])
    if any(result.instructions for result in results):
        found["instructions"] = lambda result: (
            f"{result.instructions:,}" if result.instructions else "-"
        )
    if any(result.agreement for result in results):
        found["off the host"] = lambda result: _difference(result.agreement)
    if any(result.accuracy for result in results):
        found["top-1"] = lambda result: _share(result.accuracy, "top1")
        found["as the host"] = lambda result: _share(result.accuracy, "agreement")
    return found


def _memory(result):
    peak_kb = result.memory_metrics.peak_footprint_kb
    return "unknown" if peak_kb is None else f"{peak_kb / 1024:.1f} MiB"


def _difference(agreement):
    if agreement is None:
        return "-"
    if agreement["largest_steps"] is not None:
        return f"{agreement['largest_steps']} steps"
    return f"{agreement['largest_relative_error']:.0e}"


def _share(accuracy, key):
    share = (accuracy or {}).get(key)
    return "-" if share is None else f"{share:.1%}"


def _milliseconds(value):
    """Four significant digits, and never an exponent; a dash for what is unknown."""
    if value is None:
        return "-"
    return f"{value:.{max(0, 3 - math.floor(math.log10(value)))}f}"
