"""`python -m keras_effnet.benchmarks` is `keras-effnet benchmark`."""

import sys

from keras_effnet.cli import main

sys.exit(main(["benchmark", *sys.argv[1:]]))
