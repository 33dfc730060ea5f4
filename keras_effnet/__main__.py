"""`python -m keras_effnet` is `keras-effnet`."""

import sys

from keras_effnet.cli import main

if __name__ == "__main__":
    sys.exit(main())
