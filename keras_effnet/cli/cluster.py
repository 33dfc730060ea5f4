"""make a model's kernels of a few different values, so that the file compresses

keras-effnet cluster model.keras --train photos/ --clusters 16 --output out
keras-effnet cluster pruned/model.keras --keep sparsity --train photos/ --output out

Weight clustering through TensorFlow Model Optimization, from a Keras 3 model:
OUTPUT/NAME.keras, and .tflite files whose sheets tell the compressed size. The float
model teaches, so labels are optional. `keras-effnet qat --keep clusters` goes on from
there.

Stopped or killed, the same command with the same --output goes on from the last
checkpoint. Needs `pip install keras-effnet[tfmot]`.
"""

from keras_effnet.cli import _compression


def add_arguments(parser):
    _compression.add_arguments(parser, steps=300, learning_rate=0.1)
    parser.add_argument(
        "--clusters",
        type=int,
        default=16,
        metavar="N",
        help="different values in each kernel, 3 to 256 (default: 16)",
    )
    parser.add_argument(
        "--keep", metavar="WHAT", help="sparsity, of a model that was pruned before"
    )
    _compression.add_precision(parser)


def run(args):
    _compression.run(args, "cluster", clusters=args.clusters, keep=args.keep)
