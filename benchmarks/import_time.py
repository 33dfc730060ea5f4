"""What `import keras_effnet` costs over `import keras`.

    python benchmarks/import_time.py

Fresh processes, the two imports in turn; the time is that of the import
statement, without the interpreter's own start. Writes results/import_time.json.
"""

import subprocess
import sys

from keras_effnet.benchmarks import comparison

PAIRS = 21
TARGET = 1.05
_CODE = (
    "import time; start = time.perf_counter_ns(); import {}; "
    "print(time.perf_counter_ns() - start)"
)


def import_in_a_process(package):
    child = subprocess.run(
        [sys.executable, "-c", _CODE.format(package)],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(child.stdout.splitlines()[-1])


def main():
    sides = {
        package: lambda package=package: import_in_a_process(package)
        for package in ("keras_effnet", "keras")
    }
    for measure in sides.values():
        measure()  # the first import reads the disk
    load = comparison.wait_until_idle()
    result = comparison.interleaved(sides, PAIRS)
    comparison.write_result("import_time", TARGET, load, {"import": result})


if __name__ == "__main__":
    main()
