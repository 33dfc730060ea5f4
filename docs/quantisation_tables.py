"""The tables of quantisation.md."""

from table_data import measured

_COMMAND = "chosen by the command"
_PLAIN = "TFLiteConverter"


def quantise_command():
    """Measured: `benchmarks/results/quantisation.json`."""
    yield (
        "network",
        "file",
        "top-1 (float)",
        "drop, points",
        "agreement",
        "size",
        "latency",
    )
    for row in measured("quantisation")["rows"]:
        if row["file"] in (_PLAIN, _COMMAND):
            runs = row["runs"] or []
            yield (
                f"`{row['network']}`",
                ", ".join(dict.fromkeys(run["chosen"] for run in runs))
                or f"`{_PLAIN}`",
                f"{row['top1']:.1%} ({row['reference_top1']:.1%})",
                *loss(row),
                f"{row['relative_bytes']:.2f}",
                f"{row['relative_latency']:.2f}",
            )


def levers_v2():
    """Measured: `benchmarks/results/quantisation.json`."""
    yield from _levers("EfficientNetV2B0")


def levers_lite():
    """Measured: `benchmarks/results/quantisation.json`."""
    yield from _levers("EfficientNetLite0")


def _levers(network):
    yield "file", "drop, points", "agreement", "size", "latency"
    for row in measured("quantisation")["rows"]:
        if row["network"] == network and row["file"] != _COMMAND:
            yield (
                row["file"],
                *loss(row),
                f"{row['relative_bytes']:.2f}",
                f"{row['relative_latency']:.2f}",
            )


def loss(row):
    """Drop and agreement of a row, each with its interval."""
    low, high = row["drop_interval"]
    least, most = row["agreement_interval"]
    return (
        f"{row['drop']:.1f} ({low:.1f} to {high:.1f})",
        f"{row['agreement']:.3f} ({least:.3f} to {most:.3f})",
    )
