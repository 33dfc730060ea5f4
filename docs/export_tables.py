"""The tables of export.md."""

from table_data import measured


def accuracy(forms=("keras", "float32", "dynamic", "int8")):
    """Measured: `benchmarks/results/accuracy.json`."""
    yield "network", "form", "top-1", "agrees with Keras", "size", "median latency"
    for row in measured("accuracy")["rows"]:
        if row["form"] in forms:
            in_keras = row["form"] == "keras"
            yield (
                f"`{row['network']}`",
                "Keras" if in_keras else f"{row['form']} .tflite",
                f"{row['top1']:.1%}",
                "" if in_keras else f"{row['agreement']:.1%}",
                "" if in_keras else f"{row['bytes'] / 1e6:.1f} MB",
                "" if in_keras else f"{row['median_ms']:.1f} ms",
            )


def precisions():
    """Measured: `benchmarks/results/accuracy.json`."""
    yield "network", "precision", "size", "top-1", "drop, points", "agrees", "latency"
    for row in measured("accuracy")["rows"]:
        if row["form"] == "keras":
            continue
        low, high = row["drop_interval"]
        yield (
            f"`{row['network']}`",
            f"`{row['form']}`",
            f"{row['bytes'] / 1e6:.1f} MB",
            f"{row['top1']:.1%}",
            f"{row['drop']:.1f} ({low:.1f} to {high:.1f})",
            f"{row['agreement']:.1%}",
            f"{row['median_ms']:.1f} ms",
        )


def export_time():
    """Measured: `benchmarks/results/export_time.json`."""
    yield "what", "keras_effnet", "`TFLiteConverter`", "ratio", "peak memory, ratio"
    for row in measured("export_time")["comparisons"].values():
        ours, theirs = row["median_seconds"].values()
        yield (
            f"`{row['network']}`, {', '.join(row['precisions'])}",
            f"{ours:.1f} s",
            f"{theirs:.1f} s",
            f"{row['ratio']:.3f}",
            f"{row['peak_memory_ratio']:.2f}",
        )


def export_largest():
    """Measured: `benchmarks/results/export_largest.json`."""
    yield "network", "parameters", "time", "peak memory", "float32", "dynamic"
    for row in measured("export_largest")["rows"]:
        yield (
            f"`{row['network']}`, {row['image_size']} px",
            f"{row['parameters'] / 1e6:.0f} M",
            f"{row['seconds']:.0f} s",
            f"{row['peak_bytes'] / 1e9:.1f} GB",
            *(f"{file['bytes'] / 1e6:,.0f} MB" for file in row["files"].values()),
        )


def file_latency():
    """Measured: `benchmarks/results/file_latency.json`."""
    others = "keras.applications", "onnxruntime"
    yield "file", "keras_effnet", *(f"of {other}" for other in others)
    for row in measured("file_latency")["comparisons"].values():
        yield (
            f"`{row['network']}`, {row['precision']}",
            f"{row['median_ms']['keras_effnet']:.1f} ms",
            *(_ratio(row["ratio"].get(other)) for other in others),
        )


def _ratio(found):
    if not found:
        return "not measured"
    low, high = found["interval"]
    return f"{found['of_medians']:.3f} ({low:.3f} to {high:.3f})"
