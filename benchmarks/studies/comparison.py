"""Two sides measured in one run, and the JSON file that keeps what was seen."""

import contextlib
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import shlex
import statistics
import subprocess
import sys
import time

from keras_effnet import files

RESULTS = pathlib.Path(__file__).resolve().parents[1] / "results"
_PACKAGES = ("keras-effnet", "keras", "tensorflow", "ai-edge-litert", "numpy")


def interleaved(sides, pairs):
    """Measures two sides in turn, each first in every other pair.

    Args:
        sides: A dict of two names and functions; a function does its work once
            and returns the nanoseconds it took. The ratio is the first's
            median over the second's.
        pairs: How many times each is measured.

    Returns:
        A dict: raw seconds of each side, their medians, the ratio of the
        medians, and the median of the pairs' own ratios.
    """
    seconds = {name: [] for name in sides}
    for pair in range(pairs):
        order = list(sides) if pair % 2 == 0 else list(sides)[::-1]
        for name in order:
            seconds[name].append(sides[name]() / 1e9)
    ours, theirs = sides
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    of_pairs = [a / b for a, b in zip(seconds[ours], seconds[theirs], strict=True)]
    return {
        "seconds": seconds,
        "median_seconds": medians,
        "ratio": medians[ours] / medians[theirs],
        "median_of_pair_ratios": statistics.median(of_pairs),
    }


def wait_until_idle(load=0.3, timeout_seconds=120):
    """Waits, for a while, until the one-minute load average is below `load`."""
    end = time.monotonic() + timeout_seconds
    while os.getloadavg()[0] > load and time.monotonic() < end:
        time.sleep(5)
    return os.getloadavg()


def write_result(name, target, load_before, comparisons):
    """Writes `results/NAME.json` and prints a line for each comparison.

    Args:
        name: Of the file, without the suffix.
        target: The largest ratio that was hoped for.
        load_before: The load averages when the run began.
        comparisons: A dict of names and what `interleaved` returned.
    """
    for label, result in comparisons.items():
        medians = ", ".join(
            f"{side} {median:.3f} s"
            for side, median in result["median_seconds"].items()
        )
        verdict = "within" if result["ratio"] <= target else "MISSES"
        print(f"{label}: {medians}, ratio {result['ratio']:.4f}, {verdict} {target}")
    write_report(
        name,
        {
            "load_average_before": load_before,
            "target_ratio": target,
            "comparisons": comparisons,
        },
    )


def write_report(name, content, path=None):
    """Writes where and with what a result was made, and the result.

    Args:
        name: Of the file in `results/`, without the suffix.
        content: A dict, which follows the circumstances.
        path: Of another file.
    """
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
    files.write_text(path, json.dumps(report, indent=1) + "\n")
    print(f"written: {os.path.relpath(path)}")


def with_others(name, networks, rows_of):
    """The rows of some networks, and those of others from the result that is there.

    Args:
        name: Of the file in `results/`, without the suffix.
        networks: That are measured now.
        rows_of: A function of a network that yields its rows, dicts with `network`.

    Returns:
        A list of rows; each says at which commit it was measured.
    """
    path = RESULTS / f"{name}.json"
    kept = []
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        commit = {"commit": before["commit"]}
        kept = [commit | r for r in before["rows"] if r["network"] not in networks]
    commit = {"commit": _git("rev-parse", "HEAD")}
    return kept + [row | commit for n in networks for row in rows_of(n)]


def installed_versions(*packages):
    """A dict of those that are installed."""
    versions = {}
    for name in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


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
