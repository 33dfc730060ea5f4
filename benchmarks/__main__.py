"""`python -m keras_effnet.benchmarks` is `keras-effnet benchmark`."""

import sys

from keras_effnet.cli import main

if __name__ == "__main__":
    sys.exit(main(["benchmark", *sys.argv[1:]]))
