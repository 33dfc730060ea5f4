"""The table of devices.md."""

from table_data import measured


def arm_instructions():
    """Measured: `benchmarks/results/arm_instructions.json`."""
    yield "network", "normalisation", "keras_effnet", "keras.applications", "ratio"
    for row in measured("arm_instructions")["rows"]:
        ours, theirs = row["instructions"].values()
        yield (
            f"`{row['network']}`",
            row["normalisation"],
            f"{ours[0] / 1e6:.3f} M",
            f"{theirs[0] / 1e6:.3f} M",
            f"{row['ratio']:.4f}",
        )
