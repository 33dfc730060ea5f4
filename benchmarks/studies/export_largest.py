"""Time and memory of exporting the largest networks.

    python benchmarks/studies/export_largest.py

EfficientNetV2XL at 512 pixels and EfficientNetL2 at 64, random weights, float32 and
dynamic range, each in a process of its own; the peak is that of the process. L2 needs
16 GB of memory. Writes results/export_largest.json.
"""

from keras_effnet import children
from keras_effnet.benchmarks.studies import comparison
from keras_effnet.costs import spec_costs
from keras_effnet.progress import tell
from keras_effnet.specs import get_spec

SIZES = {"EfficientNetV2XL": 512, "EfficientNetL2": 64}
PRECISIONS = ("float32", "dynamic")
_WORKER = "keras_effnet.benchmarks.studies.peers._export_sides"


def measure(args):
    rows = []
    for name in args.network:
        size = args.image_size or SIZES[name]
        asked = {"network": name, "image_size": size, "precisions": PRECISIONS}
        found = children.ask(_WORKER, {"side": "keras_effnet", **asked})
        rows.append(
            {
                "network": name,
                "image_size": size,
                "parameters": spec_costs(get_spec(name)).total_parameters,
                "seconds": found["nanoseconds"] / 1e9,
                "peak_bytes": found["peak_memory_kb"] * 1024,
                "files": found["files"],
            }
        )
        tell(f"{name}: {rows[-1]['seconds']:.0f} s")
        yield {"rows": rows}


main = comparison.study(
    measure,
    counts={"--image-size": (None, 32, "pixels, of all; the largest by default")},
    networks=SIZES,
)
