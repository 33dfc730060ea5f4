"""What the scripts of benchmarks/ measured."""

import json
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def measured(name):
    """A committed result file."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
