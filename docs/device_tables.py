"""The tables of devices.md."""

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


# The targets that count instructions.
_CORES = ("cortex-a53", "cortex-a72", "cortex-a76")


def devices():
    """Measured: the files of `benchmarks/results/devices/`."""
    hosts = measured("devices/host")
    cores = [
        {result["name"]: result for result in measured(f"devices/arm-{core}")}
        for core in _CORES
    ]
    yield (
        "file",
        "px",
        "top-1",
        "as float",
        "MB",
        "ms on the host",
        "peak memory, MiB",
        *(f"{core[7:].upper()}, M instructions" for core in _CORES),
    )
    for host in hosts:
        accuracy = host["accuracy"]
        yield (
            f"`{host['name']}`",
            f"{host['inputs'][0]['shape'][1]}",
            f"{accuracy['top1']:.1%}" if accuracy else "",
            f"{accuracy['agreement_with_float']:.3f}" if accuracy else "",
            f"{host['model']['bytes'] / 1e6:.1f}",
            f"{host['latency_metrics']['median_ms']:.1f}",
            f"{host['memory_metrics']['peak_footprint_kb'] / 1024:.0f}",
            *(f"{core[host['name']]['instructions'] / 1e6:.0f}" for core in cores),
        )
