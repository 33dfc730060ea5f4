"""Time and memory of exporting the largest networks.

    python benchmarks/studies/export_largest.py

EfficientNetV2XL at 512 pixels and EfficientNetL2 at 64, random weights, float32 and
dynamic range, each in a process of its own; the peak is that of the process. L2 needs
16 GB of memory. Writes results/export_largest.json.
"""

import json
import pathlib
import sys
import tempfile
import time

from keras_effnet import children
from keras_effnet.benchmarks.studies import comparison
from keras_effnet.benchmarks.workers import latency
from keras_effnet.progress import tell

CASES = {"EfficientNetV2XL": 512, "EfficientNetL2": 64}
PRECISIONS = ("float32", "dynamic")


def measure(name, size):
    """Exports once, in this process; a row of the JSON file."""
    import keras_effnet
    from keras_effnet.export import export

    model = getattr(keras_effnet, name)(
        input_shape=(size, size, 3), classifier_activation=None
    )
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        exported = export(model, folder, PRECISIONS)
        seconds = time.perf_counter() - started
        # Linux carries the parent's maximum over in `ru_maxrss`, but not in this.
        peak = latency.memory_kb("VmHWM") * 1024
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


def measure_all(args):
    rows = []
    for name in args.network:
        size = args.image_size or CASES[name]
        rows.append(children.ask(pathlib.Path(__file__).resolve(), name, size))
        tell(f"{name}: {rows[-1]['seconds']:.0f} s")
        yield {"rows": rows}


main = comparison.study(
    measure_all,
    counts={"--image-size": (None, 32, "pixels, of all; the largest by default")},
    networks=CASES,
)

if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in CASES:  # the process that is asked
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
    else:
        sys.exit(main())
