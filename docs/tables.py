"""Writes the tables of README.md and docs/ from the networks and the results,
and draws README.md's picture.

    python docs/tables.py

Between `<!-- table: NAME -->` and `<!-- end -->` everything is written by this
script; `make docs` runs it, and a test holds the pages against it.
"""

import json
import pathlib
import re

from keras_effnet.costs import spec_costs
from keras_effnet.report.figures import accuracy_against_latency
from keras_effnet.specs import SPECS
from keras_effnet.weights.table import published
from keras_effnet.weights.table import summary

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
RESULTS = ROOT / "benchmarks" / "results"
_MARKED = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def models():
    """Every network, counted from its table."""
    yield "network", "image", "parameters", "multiply-adds"
    for spec in SPECS.values():
        costs = spec_costs(spec)
        yield (
            f"`{spec.name}`",
            f"{spec.image_size}",
            f"{costs.trainable_parameters / 1e6:.1f} M",
            f"{costs.multiply_adds / 1e9:.3f} G",
        )


def accuracy():
    """Measured: `benchmarks/results/accuracy.json`."""
    yield "network", "form", "top-1", "agrees with Keras", "size", "median latency"
    for row in _accuracy_rows():
        in_keras = row["form"] == "keras"
        yield (
            f"`{row['network']}`",
            "Keras" if in_keras else f"{row['form']} .tflite",
            f"{row['top1']:.1%}",
            "" if in_keras else f"{row['agreement']:.1%}",
            "" if in_keras else f"{row['bytes'] / 1e6:.1f} MB",
            "" if in_keras else f"{row['median_ms']:.1f} ms",
        )


def _accuracy_rows():
    return json.loads((RESULTS / "accuracy.json").read_text())["rows"]


def flowers():
    """Measured: `benchmarks/results/flowers.json`."""
    report = json.loads((RESULTS / "flowers.json").read_text())
    low, high = report["interval"]
    yield "recipe", "network", "learns from", "held out", "accuracy", "time"
    yield (
        "`flowers`",
        f"`{report['recipe']['model']}`",
        f"{report['training_images']:,}",
        f"{report['held_out_images']:,}",
        f"{report['top1']:.1%} ({low:.1%} to {high:.1%})",
        f"{report['seconds'] / 60:.0f} min, {report['cores']} cores",
    )


def weight_sets():
    """Published figures: `keras_effnet/weights/published.csv`."""
    yield "network", "set", "top-1", "classes", "sources"
    for model, name, top1, classes, members in summary(published()):
        sources = ", ".join(dict.fromkeys(row.source for row in members))
        yield f"`{model}`", f"`{name}`", top1, classes, sources


def ratios():
    """Measured: `benchmarks/results/import_time.json` and `build_time.json`."""
    yield "what", "keras_effnet", "the other", "ratio"
    for name in ("import_time", "build_time"):
        report = json.loads((RESULTS / f"{name}.json").read_text())
        for label, result in report["comparisons"].items():
            (_, ours), (other, theirs) = result["median_seconds"].items()
            yield (
                f"{name.removesuffix('_time')}: {label}",
                f"{ours:.2f} s",
                f"{theirs:.2f} s ({other})",
                f"{result['ratio']:.3f}",
            )


TABLES = {
    "models": models,
    "accuracy": accuracy,
    "ratios": ratios,
    "weight_sets": weight_sets,
    "flowers": flowers,
}


def filled(text):
    """A page's text with its tables as they should read."""
    return _MARKED.sub(
        lambda match: match[1] + _markdown(TABLES[match[2]]()) + match[3], text
    )


def _markdown(rows):
    header, *rows = rows
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def picture():
    """Accuracy against latency of every measured file."""
    files = [
        {**row, "name": f"{row['network']} {row['form']}", "accuracy": row["top1"]}
        for row in _accuracy_rows()
        if row["form"] != "keras"
    ]
    return accuracy_against_latency(files)


def main():
    picture().savefig(ROOT / "docs" / "accuracy.png", dpi=110)
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        path.write_text(filled(text), encoding="utf-8")


if __name__ == "__main__":
    main()
