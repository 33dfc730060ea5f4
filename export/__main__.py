"""`python -m keras_effnet.export` is `keras-effnet export`."""

import sys

from keras_effnet.cli import main

if __name__ == "__main__":
    sys.exit(main(["export", *sys.argv[1:]]))
