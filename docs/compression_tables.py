"""The table of compression.md."""

from quantisation_tables import loss
from table_data import measured


def compression():
    """Measured: `benchmarks/results/compression.json`."""
    yield (
        "network",
        "file",
        "top-1",
        "drop, points",
        "agreement",
        "MB",
        "gzip",
        "zeros",
        "latency",
        "minutes",
    )
    for row in measured("compression")["rows"]:
        minutes = row["minutes"]
        yield (
            f"`{row['network']}`",
            row["file"],
            f"{row['top1']:.1%}",
            *loss(row),
            f"{row['bytes'][0] / 1e6:.1f}",
            f"{row['gzip_over_dense']:.2f}",
            f"{row['sparsity']:.0%}",
            f"{row['latency_over_plain']:.2f}",
            f"{sum(minutes) / len(minutes):.0f}" if minutes else "",
        )
