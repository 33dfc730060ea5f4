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

import json
import shlex

from keras_effnet.cli import _photos
from keras_effnet.errors import InputError
from keras_effnet.progress import tell


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
        metavar="N",
        help="processes that share the runs of a file, interleaved with those of "
        "the other files (default: 8, the fewest by which two files can be told apart)",
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
        "CSV file, a folder of photographs without classes, or that of a run, for "
        "those that it held out",
    )
    _photos.add_on_broken(parser)
    _photos.add_all_images(parser)
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
    from keras_effnet import benchmarks

    of_settings = {
        "min_runs": args.runs,
        "min_seconds": args.seconds,
        "cool_down_seconds": args.cool_down,
        "rounds": args.rounds,
    }
    results = benchmarks.measure(
        args.files,
        args.target or ["host"],
        threads=_numbers(args.threads, "--threads"),
        settings=args.settings,
        profile=args.profile,
        evaluate=args.evaluate,
        on_broken=args.on_broken,
        all_images=args.all_images,
        sustained=args.sustained,
        output=args.output,
        cores=None if args.cores is None else _numbers(args.cores, "--cores"),
        ssh_options=shlex.split(args.ssh_options),
        benchmark_model=args.benchmark_model,
        address=_address(args.address),
        accelerator=args.accelerator,
        progress=tell,
        xnnpack=not args.no_xnnpack,
        weight_cache=args.weight_cache,
        **{key: value for key, value in of_settings.items() if value is not None},
    )
    if args.json:
        print(json.dumps([result.to_dict() for result in results]))
    else:
        print(benchmarks.table(results))


def _numbers(text, option):
    """What `1,2` or `4-7` names."""
    try:
        ends = [[int(end) for end in part.split("-", 1)] for part in text.split(",")]
    except ValueError as error:
        raise InputError(
            f"{option} must be whole numbers with commas. Received: {text!r}"
        ) from error
    return [number for part in ends for number in range(part[0], part[-1] + 1)]


def _address(text):
    host, _, port = text.partition(":")
    if port and not port.isdecimal():
        raise InputError(f"--address must be HOST or HOST:PORT. Received: {text!r}")
    return host, int(port or 0)
