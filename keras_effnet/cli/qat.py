"""train a model with its numbers rounded, for an int8 file that keeps the accuracy

keras-effnet qat EfficientNetV2B0 --weights imagenet --train photos/ --output out
keras-effnet qat model.keras --train photos/ --evaluate labelled/ --max-drop 0.5 \\
    --output out
keras-effnet qat pruned/model.keras --keep sparsity --train photos/ --output out

Quantisation-aware training through TensorFlow Model Optimization, from a Keras 3 model:
OUTPUT/NAME_int8.tflite with its sheet, and OUTPUT/NAME.keras, the trained model. The
float model teaches, so labels are optional. --keep preserves what `keras-effnet prune`
and `keras-effnet cluster` made.

Stopped or killed, the same command with the same --output goes on from the last
checkpoint. Needs `pip install keras-effnet[tfmot]`.
"""

from keras_effnet.cli import _compression


def add_arguments(parser):
    _compression.add_arguments(parser, steps=200, learning_rate=0.1)
    parser.add_argument(
        "--keep",
        metavar="WHAT",
        help="of a model that was compressed before: sparsity, clusters or both",
    )


def run(args):
    _compression.run(args, "qat", keep=args.keep)
