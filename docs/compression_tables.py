"""The table of compression.md."""

from quantisation_tables import loss
from table_data import measured

# Rows of `benchmarks/results/quantisation.json`.
_SEARCHED = {
    "rounding by layer": "`quantize`, all int8",
    "chosen by the command": "`quantize`, agreement .99",
}


def compression():
    """Measured: `benchmarks/results/compression.json`."""
    yield (
        "network",
        "file",
        "top-1",
        "drop, points",
        "agreement",
        "divergence",
        "MB",
        "gzip",
        "zeros",
        "latency",
        "minutes",
    )
    for row in _rows():
        minutes = row["minutes"]
        yield (
            f"`{row['network']}`",
            row["file"],
            f"{row['top1']:.1%}",
            *loss(row),
            *_found(row, "divergence", ".4f"),
            f"{row['bytes'][0] / 1e6:.1f}",
            *_found(row, "gzip_over_dense", ".2f"),
            *_found(row, "sparsity", ".0%"),
            *_found(row, "latency_over_plain", ".2f"),
            f"{sum(minutes) / len(minutes):.0f}" if minutes else "",
        )


def _rows():
    """With what the search found for the same photographs."""
    searched = measured("quantisation")["rows"]
    plain = {r["network"]: r for r in searched if r["file"] == "min-max"}
    for row in measured("compression")["rows"]:
        yield row
        network = row["network"]
        if row["file"] != "plain int8" or network not in plain:
            continue
        for other in searched:
            if other["network"] == network and other["file"] in _SEARCHED:
                ratio = other["relative_latency"] / plain[network]["relative_latency"]
                named = {"file": _SEARCHED[other["file"]], "minutes": []}
                yield other | named | {"latency_over_plain": ratio}


def _found(row, key, form):
    yield "" if row.get(key) is None else format(row[key], form)
