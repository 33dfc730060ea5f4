"""What the scripts of benchmarks/ measured."""

import json
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent


def measured(name):
    """A committed result file."""
    path = ROOT / "benchmarks" / "results" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))
