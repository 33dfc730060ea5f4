"""The tables of devices.md, and README's of which network to take."""

from table_data import measured

from keras_effnet.weights.table import published
from keras_effnet.weights.table import summary


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


# Each, and what for.
_CHOICES = {
    "EfficientNetLite0": "any phone, live camera; begin here",
    "EfficientNetLite2": "a middling phone, live camera",
    "EfficientNetLite4": "a fast phone; single photographs on any",
    "EfficientNetV2B0": "as Lite2; to 8 bits by `quantize`",
    "EfficientNetV2B3": "a fast phone; to 8 bits by `quantize`",
    "EfficientNetV2S": "tablets, desktops, servers",
}


def which_network():
    """Published accuracy and, of the int8 files, what `benchmarks/results/devices/`
    has measured."""
    hosts, *cores = (
        {result["name"]: result for result in measured(f"devices/{name}")}
        for name in ("host", "arm-cortex-a53", "arm-cortex-a76")
    )
    top1 = {
        model: found
        for model, name, found, *_ in summary(published())
        if name == "imagenet"
    }
    yield (
        "network",
        "for",
        "ImageNet top-1, published",
        "int8 file, MB",
        "peak memory, MiB",
        "ms on the host",
        "work on a Cortex-A53, of Lite0's",
        "on a Cortex-A76",
    )
    for network, purpose in _CHOICES.items():
        host = hosts[f"{network}_int8"]
        work = [
            core[f"{network}_int8"]["instructions"]
            / core["EfficientNetLite0_int8"]["instructions"]
            for core in cores
        ]
        yield (
            f"`{network}`",
            purpose,
            f"{top1[network]}%",
            f"{host['model']['bytes'] / 1e6:.1f}",
            f"{host['memory_metrics']['peak_footprint_kb'] / 1024:.0f}",
            f"{host['latency_metrics']['median_ms']:.1f}",
            *(f"{times:.1f} ×" for times in work),
        )
