"""set a share of a model's weights to zero while training it

keras-effnet prune model.keras --train photos/ --sparsity 0.5 --output out
keras-effnet prune model.keras --train labelled/ --distillation 0.5 --pattern 2:4 \\
    --precision float32,int8 --output out

Pruning through TensorFlow Model Optimization, from a Keras 3 model: OUTPUT/NAME.keras,
and .tflite files whose sheets tell the sparsity and the compressed size. The float
model teaches, so labels are optional. `keras-effnet qat --keep sparsity` goes on from
there.

Stopped or killed, the same command with the same --output goes on from the last
checkpoint. Needs `pip install keras-effnet[tfmot]`.
"""

from keras_effnet.cli import _compression


def add_arguments(parser):
    _compression.add_arguments(parser, steps=600, learning_rate=0.3)
    parser.add_argument(
        "--sparsity",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="of zeros in each kernel, above 0 and below 1 (default: 0.5)",
    )
    parser.add_argument(
        "--pattern",
        default="unstructured",
        help="unstructured, 2:4 (two zeros among four, so half of all) or block (four "
        "neighbouring output channels, of 1x1 convolutions and dense layers alone; "
        "default: unstructured)",
    )
    _compression.add_precision(parser)


def run(args):
    _compression.run(args, "prune", sparsity=args.sparsity, pattern=args.pattern)
