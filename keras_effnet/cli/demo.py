"""train, quantise and measure a small EfficientNet on built-in digits

keras-effnet demo
"""

import pathlib

from keras_effnet.errors import InputError
from keras_effnet.quiet import import_keras


def add_arguments(parser):
    parser.add_argument(
        "--output", default="runs/demo", metavar="FOLDER", help="default: runs/demo"
    )
    parser.add_argument("--epochs", type=int, help="default: the recipe's")


def run(args):
    if args.epochs is not None and args.epochs < 1:
        raise InputError(f"--epochs must be at least 1. Received: {args.epochs}")
    import_keras()
    from keras_effnet.demo import run_demo

    options = {} if args.epochs is None else {"epochs": args.epochs}
    results = run_demo(args.output, **options)
    print(f"\nAccuracy on {results['held_out_images']} held-out digits")
    print(f"  {'Keras model':24}{results['keras']['accuracy']:7.2%}")
    for file in results["files"]:
        print(
            f"  {file['name']:24}{file['accuracy']:7.2%}  "
            f"{file['bytes'] / 1e6:.2f} MB  {file['median_ms']:.3f} ms"
        )
    folder = pathlib.Path(args.output)
    print(f"\n{folder / 'report.html'} and {folder / 'results.json'} tell the rest")
