"""The page beside an exported file: one HTML file that holds its own pictures."""

import collections

import numpy as np

from keras_effnet import files
from keras_effnet.report import canvas
from keras_effnet.report import charts
from keras_effnet.report import page
from keras_effnet.report.text import cell
from keras_effnet.report.text import plain
from keras_effnet.report.text import signed
from keras_effnet.tflite import layer_name

_WORST = 10
_VERDICTS = {"within limit": "Within the limit", "over the limit": "Over the limit"}
_TECHNIQUES = {
    "quantize": "quantisation-aware training (qat)",
    "prune": "pruning",
    "cluster": "clustering",
}
# More kinds of operators than there are colours share the last one.
_KINDS = len(canvas.SERIES)


def write_page(sheet: dict, path):
    """Writes the .html page of an exported file from what its .json holds; what that
    lacks, or holds as `None`, the page leaves out."""
    sheet = {key: value for key, value in sheet.items() if value is not None}
    parts = [
        *_verdict(sheet),
        page.facts(_key_figures(sheet)),
        *_file(sheet),
        *_training(sheet),
        *_accuracy(sheet),
        *_operators(sheet),
        *_layers(sheet),
        *_speed(sheet),
        *reproduce(sheet),
    ]
    title = ", ".join(sheet[key] for key in ("model", "precision") if key in sheet)
    files.write_text(path, page.render(title, parts, _versions(sheet)))


def _verdict(sheet):
    found = sheet.get("evaluation")
    if not found:
        text = (
            "Accuracy and agreement with the float model were not measured: the same "
            "command with --evaluate PHOTOS measures them."
        )
        return [page.paragraph(text, "verdict")]
    measured = (
        f"It names the same class as the float model for {found['agreement']:.1%} of "
        f"{found['images']:,} images"
    )
    if found.get("drop") is None:
        text = f"{measured}. Whether it names the right one was not measured."
        return [page.paragraph(text, "verdict")]
    limit, verdict = sheet.get("max_drop"), sheet.get("verdict")
    low, high = found["drop_interval"]
    text = (
        f"Top-1 is {found['top1']:.2%} against the float model's "
        f"{found['reference_top1']:.2%}: a drop of {signed(found['drop'])} percentage "
        f"points (95 % interval {signed(low)} to {signed(high)})"
    )
    if verdict:
        text = f"{_VERDICTS[verdict]} of {limit:g} percentage points. {text}"
    text = f"{text}. {measured}."
    kind = (verdict or "").partition(" ")[0]
    if verdict == "within limit" and high > limit:
        text += " The interval reaches over the limit: more images would tell."
        kind = "open"
    return [page.paragraph(text, f"verdict {kind}")]


def _key_figures(sheet):
    found, latency = sheet.get("evaluation") or {}, sheet.get("latency") or {}
    top1, agreement = (cell(found.get(k), ".1%", "") for k in ("top1", "agreement"))
    speed = _ms(latency.get("median_ms"))
    if speed and (ratio := _ratio_to_float(latency)):
        speed += f", {ratio} × the float file's"
    return [
        ("accuracy (top-1)", top1),
        ("agrees with float", agreement),
        ("size", "bytes" in sheet and _megabytes(sheet["bytes"])),
        ("time on this host", speed),
    ]


def _megabytes(size):
    return f"{size / 1e6:.2f} MB"


def _ratio_to_float(latency):
    before = latency.get("float_median_ms")
    return before and f"{latency['median_ms'] / before:.2f}"


def _file(sheet):
    names = sheet.get("class_names", "")
    rows = [
        ("file", sheet.get("file")),
        ("bytes", "bytes" in sheet and f"{sheet['bytes']:,}"),
        ("compressed", _compressed(sheet)),
        ("zeros in the kernels", "sparsity" in sheet and f"{sheet['sparsity']:.1%}"),
        ("sha256", sheet.get("sha256")),
        ("batch", sheet.get("batch_size")),
        *((key, key in sheet and _tensor(sheet[key])) for key in ("input", "output")),
        ("preprocessing", plain(sheet.get("preprocessing"))),
        ("classes", names and f"{len(names):,}: {names[0]} … {names[-1]}"),
        ("converted by", sheet.get("engine")),
        ("calibration", plain(sheet.get("calibration"))),
    ]
    facts = page.facts(rows)
    return _section("The file", facts) if facts else []


def _compressed(sheet):
    sizes = sheet.get("compressed_bytes", {})
    return ", ".join(f"{name} {_megabytes(size)}" for name, size in sizes.items())


def _training(sheet):
    found = sheet.get("training")
    if not found:
        return []
    recipe = found["recipe"]
    technique = _TECHNIQUES.get(found["technique"], found["technique"])
    rows = [
        ("technique", f"{technique}, by TensorFlow Model Optimization"),
        ("images", f"{found['images']:,}"),
        ("recipe", plain(recipe)),
    ]
    text = (
        "The loss of each step: the Kullback-Leibler divergence from the float model's "
        "answers"
    )
    text += ", mixed with the labels." if recipe["distillation"] < 1 else "."
    return _section(
        "Training",
        page.facts(rows),
        page.image(losses(found["history"]), "Loss over the steps"),
        page.paragraph(text),
    )


def _accuracy(sheet):
    found = sheet.get("evaluation")
    if not found:
        return []
    rows = [
        (name, found[key], found[f"{key}_interval"])
        for name, key in (
            ("model before training", "reference_top1")
            if sheet.get("training")
            else ("float model", "reference_top1"),
            ("this file", "top1"),
            ("same class", "agreement"),
        )
        if found.get(key) is not None
    ]
    table = [
        (name, f"{share:.2%}", f"{low:.2%} to {high:.2%}")
        for name, share, (low, high) in rows
    ]
    figure = charts.intervals(
        [(*row, canvas.BLUE) for row in rows],
        "of the images, with 95 % interval",
        format=canvas.percent,
    )
    pictures = [page.image(figure, "Accuracy and agreement with their 95 % intervals")]
    text = f"Measured on {found['images']:,} images."
    note = "Intervals: Wilson 1927 for shares"
    if found.get("drop") is not None:
        low, high = found["drop_interval"]
        interval = f"{signed(low)} to {signed(high)}"
        table.append(("drop, points", signed(found["drop"]), interval))
        figure = drop(found["drop"], (low, high), sheet.get("max_drop"))
        note += ", Tango 1998 for the paired difference"
        pictures.append(page.image(figure, "The drop, its 95 % interval and the limit"))
        text += (
            f" {found['lost']:,} that the float model names rightly and this file "
            f"does not, {found['gained']:,} the other way round."
        )
    text += (
        " Probabilities differ from the float model's by "
        f"{found['mean_difference']:.2g} in the mean, by "
        f"{found['largest_difference']:.2g} at most."
    )
    return _section(
        "Accuracy",
        page.paragraph(text),
        page.table(("", "measured", "95 % interval"), table),
        *pictures,
        page.paragraph(f"{note}."),
    )


def _operators(sheet):
    counts = sheet.get("operators")
    if not counts:
        return []
    columns = {"number": counts}
    texts = []
    total = sum(counts.values())
    if (in_float := sheet.get("float_operators")) is not None:
        columns["in float"] = in_float
        number = sum(in_float.values())
        texts.append(f"Operators in float: {number:,} of {total:,}.")
    if "partitions" in sheet:
        outside = sheet.get("outside_xnnpack", {})
        columns["outside XNNPACK"] = outside
        number, parts = sum(outside.values()), sheet["partitions"]
        texts.append(f"Partitions that XNNPACK runs: {parts:,}.")
        texts.append(f"Operators outside, on LiteRT's own kernels: {number:,}.")
    columns = {key: column for key, column in columns.items() if column}
    rows = [
        (name, *(column.get(name, "–") for column in columns.values()))
        for name in counts
    ]
    return _section(
        "Operators",
        page.paragraph(" ".join(texts)),
        page.table(("operator", *columns), rows),
    )


def _layers(sheet):
    rows = sheet.get("layer_errors", ())
    if not any(row["error"] for row in rows):
        return []
    order = sorted(range(len(rows)), key=lambda n: -(rows[n]["error"] or 0))
    worst = [n for n in order[:_WORST] if rows[n]["error"]]
    table = [
        (
            f"{n}: {layer_name(rows[n]['name'])}",
            f"{rows[n]['error']:.3g}",
            cell(rows[n]["sqnr"], ".1f"),
            cell(rows[n]["rmse_over_scale"], ".2f"),
            rows[n]["operator"],
        )
        for n in worst
    ]
    of_what = "trained network in float" if sheet.get("training") else "float file"
    text = (
        "What has gathered up to each layer: the root mean square of the difference "
        f"from the {of_what}, as a multiple of the standard deviation there. Layers "
        "are numbered from 0; those without any difference are not drawn, and the "
        f"{len(worst)} worst are ringed and listed."
    )
    header = ("layer", "error", "SQNR, dB", "error / scale", "operator")
    picture = layers(rows, worst)
    return _section(
        "Error of each layer",
        page.paragraph(text),
        page.image(picture, "Relative error of each layer in the order of the graph"),
        page.table(header, table),
    )


def _speed(sheet):
    parts = []
    if latency := sheet.get("latency"):
        count = latency.get("threads")
        rows = [
            ("median", _ms(latency.get("median_ms"))),
            ("90th percentile", _ms(latency.get("p90_ms"))),
            ("float file, median", _ms(latency.get("float_median_ms"))),
            ("ratio to float", _ratio_to_float(latency)),
            ("threads", count),
            ("runs", latency.get("runs")),
            ("host", plain(latency.get("host"))),
        ]
        parts += _section("Latency on this host", page.facts(rows))
    seconds = [
        (name, f"{value:.1f} s")
        for name, value in sheet.get("seconds", {}).items()
        if value is not None
    ]
    if seconds:
        parts += _section("Time to make it", page.facts(seconds))
    return parts


def reproduce(sheet):
    settings = dict(sheet.get("settings", {}))
    command = settings.pop("command", None)
    parts = [page.code(command)] if command else []
    if settings:
        rows = [(key, plain(value)) for key, value in settings.items()]
        parts.append(page.facts(rows))
    return _section("To make it again", *parts) if parts else []


def _versions(sheet):
    return ", ".join(f"{k} {v}" for k, v in sheet.get("versions", {}).items())


def _section(title, *parts):
    return [page.heading(title), *parts]


def losses(history):
    """The loss of each step, and its mean over a twentieth of them."""
    window = max(1, len(history) // 20)
    series = {"each step": history}
    if window > 1:
        smooth = np.convolve(history, np.ones(window) / window, "valid")
        unknown = np.full(window - 1, np.nan)
        series[f"mean of {window} steps"] = np.concatenate([unknown, smooth])
    return charts.curves([("loss", None, series)], "step", faint="each step")


def drop(points, interval, limit=None):
    """A drop of the accuracy with its 95 % interval, and the limit, in points."""
    over = limit is not None and points > limit
    row = "drop", points, interval, canvas.RED if over else canvas.BLUE
    xlabel = "percentage points of top-1, with 95 % interval"
    return charts.intervals([row], xlabel, zero=0, limit=limit)


def layers(rows, marked=()):
    """Each layer's relative error, in the order of the graph; the marked are ringed."""
    drawn = [(n, row) for n, row in enumerate(rows) if row["error"]]
    common = collections.Counter(row["operator"] for _, row in drawn).most_common()
    named = [name for name, _ in common[: _KINDS - (len(common) > _KINDS)]]
    kinds = [
        row["operator"] if row["operator"] in named else "others" for _, row in drawn
    ]
    points = [
        charts.Point(n, row["error"], kind, ringed=n in marked)
        for (n, row), kind in zip(drawn, kinds, strict=True)
    ]
    panels = [("layer, in the order of the graph", points)]
    series = [*named, "others"]
    return charts.scatter(
        panels, "relative error", series, ringed="worst", ordered=True
    )


def _tensor(tensor):
    shape = " × ".join(map(str, tensor["shape"]))
    text = f"{tensor['name']}, {shape}, {tensor['dtype']}"
    if not tensor.get("scale"):
        return text
    text += f": value = {tensor['scale']:.6g} × (stored − {tensor['zero_point']})"
    text = text.replace("− -", "+ ")
    if not tensor.get("pixels"):
        return text
    offset = " − 128" if tensor["dtype"] == "int8" else ""
    return f"{text}, a pixel is stored as pixel{offset}"


def _ms(value):
    return None if value is None else f"{value:.2f} ms"
