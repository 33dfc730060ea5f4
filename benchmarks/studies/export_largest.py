"""Time and memory of exporting the largest networks.

    python benchmarks/studies/export_largest.py

EfficientNetV2XL at 512 pixels and EfficientNetL2 at 64, random weights, float32 and
dynamic range, each in a process of its own; the peak is that of the process. L2 needs
16 GB of memory. Writes results/export_largest.json.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

CASES = (("EfficientNetV2XL", 512), ("EfficientNetL2", 64))
PRECISIONS = ("float32", "dynamic")


def measure(name, size):
    """Exports once, in this process.

    Args:
        name: Of the network.
        size: Of its image, pixels.

    Returns:
        A dict for the JSON file.
    """
    import keras_effnet
    from keras_effnet.export import export

    model = getattr(keras_effnet, name)(
        input_shape=(size, size, 3), classifier_activation=None
    )
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        exported = export(model, folder, PRECISIONS)
        seconds = time.perf_counter() - started
        peak = _peak_bytes()
        files = {
            file.precision: {key: file.numbers[key] for key in ("bytes", "sha256")}
            for file in exported
        }
    return {
        "network": name,
        "image_size": size,
        "parameters": model.count_params(),
        "seconds": seconds,
        "peak_bytes": peak,
        "files": files,
    }


def _peak_bytes():
    """Linux carries the parent's maximum over in `ru_maxrss`, but not in this."""
    status = pathlib.Path("/proc/self/status").read_text()
    (line,) = (x for x in status.splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def main():
    from keras_effnet.benchmarks.studies import comparison

    rows = []
    for name, size in CASES:
        command = [sys.executable, __file__, name, str(size)]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append(json.loads(answer.stdout.splitlines()[-1]))
        print(f"{name}: {rows[-1]['seconds']:.0f} s", file=sys.stderr, flush=True)
    comparison.write_report("export_largest", {"rows": rows})


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
    else:
        main()
