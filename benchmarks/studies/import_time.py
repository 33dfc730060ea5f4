"""What `import keras_effnet` costs over `import keras`.

    python benchmarks/studies/import_time.py

Fresh processes, the two sides in turn; the time is that of the statements,
without the interpreter's own start. The package imports Keras on first use, so
the import alone says little: the second comparison has the first use in it.
Writes results/import_time.json.
"""

import subprocess
import sys

from keras_effnet.benchmarks.studies import comparison

TARGET = 1.05
COMPARISONS = {
    "import": {
        "keras_effnet": "import keras_effnet",
        "keras": "import keras",
    },
    "import and first use": {
        "keras_effnet": "import keras_effnet; keras_effnet.EfficientNetB0",
        "keras": "import keras; keras.applications.EfficientNetB0",
    },
}
_CODE = (
    "import time; start = time.perf_counter_ns(); {}; "
    "print(time.perf_counter_ns() - start)"
)


def time_in_a_process(statements):
    """Nanoseconds that the statements take in a fresh interpreter."""
    child = subprocess.run(
        [sys.executable, "-c", _CODE.format(statements)],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(child.stdout.splitlines()[-1])


def measure(args):
    results = {}
    for label, statements in COMPARISONS.items():
        sides = {
            side: lambda code=code: time_in_a_process(code)
            for side, code in statements.items()
        }
        comparison.in_turn(sides, 1)  # the first import reads the disk
        results[label] = comparison.interleaved(sides, args.pairs)
    yield comparison.pairs_of(TARGET, results)


main = comparison.study(measure, counts={"--pairs": (21, 1, "of processes")}, idle=True)
