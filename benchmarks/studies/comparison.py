"""What every script here does around its measuring: options, turns, the JSON file."""

import argparse
import contextlib
import datetime
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import shlex
import statistics
import subprocess
import sys
import time

from keras_effnet import files
from keras_effnet.errors import InputError

RESULTS = pathlib.Path(__file__).resolve().parents[1] / "results"
ROOT = RESULTS.parents[1]
SHARED = pathlib.Path(os.environ.get("KERAS_EFFNET_SHARED", ROOT.parent / "shared"))
FLOWERS = SHARED / "data/flowers"
IMAGENET = SHARED / "data/imagenet_sample"
LABELS = IMAGENET / "labels.csv"
# Options of several scripts, as `study` takes them.
EPOCHS = {"--epochs": (None, 1, "the recipe's by default")}
CALIBRATION_IMAGES = {"--calibration-images": (100, 1, "photographs")}
KEEP = {
    "--keep": {
        "type": pathlib.Path,
        "metavar": "FOLDER",
        "help": "keep the files there",
    }
}
_PACKAGES = ("keras-effnet", "keras", "tensorflow", "ai-edge-litert", "numpy")
# A list that json.dumps has put on many lines.
_NUMBERS = re.compile(r"\[\n((?:[-+.\deE,\s]|null)*)\]")
_SERIES, _DIGITS = 3, 7


def study(measure, *, counts=(), networks=(), idle=False, more=()):
    """The `main(argv=None)` of the script in which `measure` stands, as its last line.

    It reads the options, measures, writes what is found as a JSON file of the script's
    name, and returns the exit code: 1 after an `InputError`, of which one line is
    printed. Where the script is what Python runs, that is done at once.

    Args:
        measure: A generator function of the options. What it yields, a dict, is
            written at once, so that it stays should the script be killed; the next
            dict replaces it. What it returns is the exit code.
        counts: `{option: (default, lowest, text)}` of options that take a number.
        networks: Names of which `--network` takes one or more, all by default.
        idle: Whether to wait until the machine is.
        more: `{option: dict}` of arguments of `ArgumentParser.add_argument`.
    """
    script, counts = measure.__globals__, dict(counts)
    name = pathlib.Path(script["__file__"]).stem
    if idle:
        counts["--idle-seconds"] = 120, 0, "to wait at most for an idle machine"

    def main(argv=None):
        args = _parser(script["__doc__"], name, counts, networks, more).parse_args(argv)
        if networks:
            chosen = args.network or networks
            args.network = [network for network in networks if network in chosen]
        try:
            for option, (_, lowest, _) in counts.items():
                value = getattr(args, option.strip("-").replace("-", "_"))
                if value is not None and value < lowest:
                    raise InputError(
                        f"{option} must be an integer from {lowest} up. "
                        f"Received: {value}"
                    )
            load = wait_until_idle(timeout_seconds=args.idle_seconds if idle else 0)
            found = measure(args)
            while True:
                content = {"load_average_before": load, **next(found)}
                write_report(name, content, args.output)
        except StopIteration as end:
            return end.value or 0
        except InputError as error:
            print(f"{name}: error: {error}", file=sys.stderr)
            return 1

    if measure.__module__ == "__main__":
        sys.exit(main())
    return main


def _parser(doc, name, counts, networks, more):
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    if networks:
        add("--network", action="append", choices=networks, help="all, unless named")
    for option, (default, _, text) in counts.items():
        text = text if default is None else f"{text} (default: {default})"
        add(option, type=int, default=default, metavar="N", help=text)
    for option, arguments in dict(more).items():
        add(option, **arguments)
    add("--output", type=pathlib.Path, help=f"default: results/{name}.json")
    return parser


def in_turn(sides, rounds):
    """`{name: what its function returned}` of so many rounds, each side first in
    turn."""
    found, names = {name: [] for name in sides}, list(sides)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            found[name].append(sides[name]())
    return found


def medians(values_by_name):
    """A dict of names and the medians of their values."""
    return {name: statistics.median(values) for name, values in values_by_name.items()}


def interleaved(sides, pairs):
    """Measures two sides in turn, functions of one work each that return its
    nanoseconds; the ratio is the first's median over the second's."""
    found = in_turn(sides, pairs)
    seconds = {name: [ns / 1e9 for ns in values] for name, values in found.items()}
    middle = medians(seconds)
    ours, theirs = sides
    of_pairs = [a / b for a, b in zip(seconds[ours], seconds[theirs], strict=True)]
    return {
        "seconds": seconds,
        "median_seconds": middle,
        "ratio": middle[ours] / middle[theirs],
        "median_of_pair_ratios": statistics.median(of_pairs),
    }


def wait_until_idle(load=0.3, timeout_seconds=120):
    """Waits, for a while, until the one-minute load average is below `load`."""
    end = time.monotonic() + timeout_seconds
    while os.getloadavg()[0] > load and time.monotonic() < end:
        time.sleep(5)
    return os.getloadavg()


def verdict(ratio, target):
    """Whether a ratio is as hoped for, in words."""
    return f"{'within' if ratio <= target else 'MISSES'} {target}"


def pairs_of(target, comparisons):
    """The result of several `interleaved` by name, for the JSON file; prints a line for
    each. `target` is the largest ratio that was hoped for."""
    for label, result in comparisons.items():
        seconds = ", ".join(
            f"{side} {median:.3f} s"
            for side, median in result["median_seconds"].items()
        )
        ratio = result["ratio"]
        print(f"{label}: {seconds}, ratio {ratio:.4f}, {verdict(ratio, target)}")
    return {"target_ratio": target, "comparisons": comparisons}


def write_report(name, content, path=None):
    """Writes to results/NAME.json, or to `path`, the circumstances of a result, and
    it."""
    changes = _git("status", "--porcelain")
    report = {
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": None if changes is None else bool(changes),
        "command": shlex.join(["python", *sys.argv]),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "versions": installed_versions(*_PACKAGES),
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "load_average_after": os.getloadavg(),
        **content,
    }
    path = path or RESULTS / f"{name}.json"
    files.write_text(path, compact(report))
    print(f"written: {os.path.relpath(path)}")


def compact(report):
    """JSON with a line for each list of numbers, and no digits that a clock lacks."""
    text = json.dumps(_rounded(report), indent=1) + "\n"
    return _NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text)


def _rounded(value):
    """Numbers of a raw series are kept to seven digits, all others as they are."""
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if not isinstance(value, list | tuple):
        return value
    if len(value) < _SERIES or not all(isinstance(each, float) for each in value):
        return [_rounded(each) for each in value]
    return [float(f"{each:.{_DIGITS}g}") for each in value]


def with_others(name, networks, rows_of):
    """The rows of some networks, measured now, and those of others from
    results/NAME.json; each row says at which commit it was measured."""
    path = RESULTS / f"{name}.json"
    kept = []
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        commit = {"commit": before["commit"]}
        kept = [commit | r for r in before["rows"] if r["network"] not in networks]
    commit = {"commit": _git("rev-parse", "HEAD")}
    return kept + [row | commit for n in networks for row in rows_of(n)]


def kept(path, make):
    """What `make()` gave, made once and kept as a JSON file."""
    if not path.exists():
        files.write_text(path, json.dumps(make()))
    return json.loads(path.read_text())


def installed_versions(*packages):
    """A dict of those that are installed."""
    versions = {}
    for name in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def file_facts(path):
    """Size and checksum of a file, a dict."""
    data = path.read_bytes()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _git(*arguments):
    """What git prints, `None` where it or the repository isn't there."""
    try:
        return subprocess.run(
            ["git", *arguments],
            cwd=RESULTS.parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
