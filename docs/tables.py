"""Writes the tables of README.md and docs/ from the networks and the results,
draws README.md's picture, the page of the measured devices in build/, and what the
pages look like.

    python docs/tables.py

Between `<!-- table: NAME -->` and `<!-- end -->` everything is written by this
script; `make docs` runs it, and a test holds the pages against it.
"""

import collections
import re

import compression_tables
import device_tables
import export_tables
import plan_tables
import quantisation_tables
import screenshots
from table_data import RESULTS
from table_data import ROOT
from table_data import measured

from keras_effnet.benchmarks import report
from keras_effnet.costs import spec_costs
from keras_effnet.report import canvas
from keras_effnet.report.charts import accuracy_against_latency
from keras_effnet.specs import SPECS
from keras_effnet.weights.table import SOURCES
from keras_effnet.weights.table import published
from keras_effnet.weights.table import summary

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
# Sets that learned from photographs besides ImageNet's 1000 classes.
_MORE_THAN_IMAGENET = ("`noisy", "`imagenet21k", "`in12k")
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


def recipes():
    """Measured: `benchmarks/results/flowers.json` and `mnist.json`."""
    yield "recipe", "network", "learns from", "held out", "accuracy", "time"
    for name in ("flowers", "mnist"):
        report = measured(name)
        low, high = report["interval"]
        yield (
            f"`{name}`",
            f"`{report['recipe']['model']}`",
            f"{report['training_images']:,}",
            f"{report['held_out_images']:,}",
            f"{report['top1']:.1%} ({low:.1%} to {high:.1%})",
            f"{report['seconds'] / 60:.0f} min, {report['cores']} cores",
        )


def held_out():
    """Measured: `benchmarks/results/held_out.json`."""
    found = measured("held_out")["data"]
    yield ("top-1", *(f"`{name}`" for name in found))
    others = [each["other_half"] for each in found.values()]
    yield (
        "the half that was not learned from, alone",
        *(
            f"{other['top1']:.1%} ({low:.1%} to {high:.1%}), {other['images']} images"
            for other in others
            for low, high in [other["interval"]]
        ),
    )
    for name in next(iter(found.values()))["commands"]:
        rows = [each["commands"][name] for each in found.values()]
        yield name, *(f"{row['top1']:.1%}, {row['images']} images" for row in rows)
    yield (
        "`evaluate --all-images`",
        *(
            f"{whole['top1']:.1%}, {whole['learned_from']} of {whole['images']} images "
            "learned from"
            for each in found.values()
            for whole in [each["all_images"]]
        ),
    )


def how_many():
    """Measured: `benchmarks/results/photographs.json` and `flowers.json`."""
    yield "photographs of each class", "what learns", "accuracy", "least to most"
    for row in measured("photographs")["rows"]:
        found = row["top1"]
        yield (
            f"{row['of_each_class']}",
            "the classifier",
            f"{sum(found) / len(found):.1%}",
            f"{min(found):.1%} to {max(found):.1%}",
        )
    whole = measured("flowers")
    count = whole["training_images"] / len(whole["classes"])
    yield f"{count:.0f}", "the whole network", f"{whole['top1']:.1%}", ""


def how_long():
    """Measured: `benchmarks/results/flowers.json` and `export_time.json`."""
    yield "what", "time", "on"
    whole = measured("flowers")
    yield (
        f"`train --recipe flowers`, {whole['training_images']:,} photographs, "
        f"{whole['recipe']['epochs']} epochs",
        f"{whole['seconds'] / 60:.0f} min",
        f"{whole['cores']} cores, no GPU",
    )
    report = measured("export_time")
    for name, result in report["comparisons"].items():
        seconds = result["median_seconds"]["keras_effnet"]
        yield f"`export`: {name}", f"{seconds:.0f} s", f"{report['cores']} cores"


def input_pipeline():
    """Measured: `benchmarks/results/input_pipeline.json`."""
    yield "images/s", "`decode_jpeg` alone", "keras_effnet", "Keras", "of decoding"
    for name, result in measured("input_pipeline")["comparisons"].items():
        rates = result["images_per_second"].values()
        photographs = name.replace("_", " ")
        yield (
            photographs,
            *(f"{rate:.0f}" for rate in rates),
            f"{result['rate_of_decoding']:.2f} "
            f"({result['rate_of_decoding_by_cpu_time']:.2f} by CPU time)",
        )


def training_step():
    """Measured: `benchmarks/results/training_step.json`."""
    yield "B0, batch 32", "keras_effnet", "`train_on_batch`", "ratio"
    for name, result in measured("training_step")["comparisons"].items():
        ours, theirs = result["median_images_per_second"].values()
        ratio = result["rate_of_the_bare_model"]
        yield name, f"{ours:.2f} images/s", f"{theirs:.2f} images/s", f"{ratio:.3f}"


def accelerator_step():
    """Measured: `benchmarks/results/accelerator_step.json`."""
    report = measured("accelerator_step")
    yield (
        report["device"] + (", a trial of the script" if report["tiny"] else ""),
        "step",
        "keras_effnet, images/s",
        "timm, images/s",
        "ratio",
        "of the matrix rate",
        "peak memory",
    )
    for name, result in report["networks"].items():
        sides = result["sides"].values()
        for variant, ratio in (result["rate_of_timm"] or {}).items():
            yield (
                f"`{name}`, {result['image_size']} px, batch {result['batch']}",
                variant.replace("loop", "the loop"),
                *(_rate_and_range(side, variant) for side in sides),
                f"{ratio:.2f}",
                ", ".join(f"{s['share_of_matrix_rate'][variant]:.1%}" for s in sides),
                ", ".join(f"{s['peak_memory_bytes'] / 2**30:.1f}" for s in sides)
                + " GiB",
            )


def _rate_and_range(side, variant):
    least, most = side["least_and_most"][variant]
    median = side["median_images_per_second"][variant]
    return f"{median:.4g} ({least:.4g} to {most:.4g})"


def fused():
    """Measured: `benchmarks/results/fused.json`; the paper's Table 3."""
    report = measured("fused")
    paper = dict(zip(report["parameters"], (155, 216, 223, 206), strict=True))
    yield "fused stages", "parameters", "images/s", "of none", "paper, of none"
    for stages, count in report["parameters"].items():
        yield (
            stages,
            f"{count / 1e6:.1f} M",
            f"{report['median_images_per_second'][stages]:.2f}",
            f"{report['times_none'][stages]:.2f}",
            f"{paper[stages] / paper['none']:.2f}",
        )


def progressive():
    """Measured: `benchmarks/results/progressive.json`."""
    report = measured("progressive")
    yield "V2-B0", "image sizes", "time of an image", "of the fixed size's"
    fixed = report["mean_seconds_of_an_image"]["fixed size"]
    for name, seconds in report["mean_seconds_of_an_image"].items():
        sizes = report["seconds_of_an_image_by_size"][name][0]
        yield name, ", ".join(sizes), f"{seconds:.2f} s", f"{seconds / fixed:.2f}"


def weight_sets():
    """Published figures: `keras_effnet/weights/published.csv`."""
    yield "network", "set", "size", "top-1", "classes", "padding", "sources"
    for model, name, top1, classes, members in summary(published()):
        sources = ", ".join(dict.fromkeys(row.source for row in members))
        size, padding = str(members[0].image_size), members[0].padding
        yield f"`{model}`", f"`{name}`", size, top1, classes, padding, sources


def weight_sources():
    """Counted in `keras_effnet/weights/published.csv`."""
    yield "source", "files", "licence", "described at"
    counts = collections.Counter(row.source for row in published())
    for name, source in SOURCES.items():
        yield name, f"{counts[name]}", source.licence, source.page


def best_sets():
    """Published figures: `keras_effnet/weights/published.csv`."""
    yield "network", "size", "best set", "top-1", "of ImageNet alone", "top-1"
    found = {}
    for model, name, _, _, members in summary(published()):
        if top1 := max(row.top1 or 0 for row in members):
            sets = found.setdefault((model, members[0].image_size), [])
            sets.append((top1, f"`{name}`"))
    for (model, size), sets in sorted(
        found.items(), key=lambda item: (list(SPECS).index(item[0][0]), item[0][1])
    ):
        alone = [each for each in sets if not each[1].startswith(_MORE_THAN_IMAGENET)]
        cells = [
            cell
            for top1, name in (max(sets), max(alone, default=(None, "")))
            for cell in (name, f"{top1:.1f}" if top1 else "")
        ]
        yield f"`{model}`", f"{size}", *cells


def ratios():
    """Measured: `benchmarks/results/import_time.json` and `build_time.json`."""
    yield "what", "keras_effnet", "the other", "ratio"
    for name in ("import_time", "build_time"):
        report = measured(name)
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
    "accuracy": export_tables.accuracy,
    "precisions": export_tables.precisions,
    "export_time": export_tables.export_time,
    "file_latency": export_tables.file_latency,
    "export_largest": export_tables.export_largest,
    "compression": compression_tables.compression,
    "arm_instructions": device_tables.arm_instructions,
    "devices": device_tables.devices,
    "quantise_command": quantisation_tables.quantise_command,
    "levers_v2": quantisation_tables.levers_v2,
    "levers_lite": quantisation_tables.levers_lite,
    "ratios": ratios,
    "weight_sets": weight_sets,
    "weight_sources": weight_sources,
    "best_sets": best_sets,
    "recipes": recipes,
    "which_network": device_tables.which_network,
    "held_out": held_out,
    "how_many": how_many,
    "how_long": how_long,
    "input_pipeline": input_pipeline,
    "training_step": training_step,
    "accelerator_step": accelerator_step,
    "fused": fused,
    "progressive": progressive,
    "plan_input": plan_tables.plan_input,
    "plan_step": plan_tables.plan_step,
    "plan_all_reduce": plan_tables.plan_all_reduce,
    "plan_limits": plan_tables.plan_limits,
    "plan_checkpoint": plan_tables.plan_checkpoint,
    "plan_published": plan_tables.plan_published,
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
        {**row, "precision": row["form"], "accuracy": row["top1"]}
        for row in measured("accuracy")["rows"]
        if row["form"] in ("float32", "int8")
    ]
    return accuracy_against_latency(files)


def main():
    report.write([RESULTS / "devices"], ROOT / "build" / "devices.html")
    canvas.save(picture(), ROOT / "docs" / "accuracy.svg")
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        path.write_text(filled(text), encoding="utf-8")
    screenshots.take()


if __name__ == "__main__":
    main()
