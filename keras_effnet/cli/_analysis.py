"""How the commands show and scale print the analysis of a network."""

import json

from keras_effnet.quiet import import_keras


def add_output_arguments(parser):
    parser.add_argument(
        "--layers", action="store_true", help="every layer, not only the stages"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def of_spec(spec, image_size=None):
    """The `Analysis` of a network that is built but not filled with weights."""
    import_keras()
    from keras_effnet.analysis import analyze_spec

    return analyze_spec(spec, image_size)


def show(found, args):
    """Prints an `Analysis` as `add_output_arguments` asks for it."""
    from keras_effnet import analysis_text

    if args.json:
        print(json.dumps(analysis_text.as_json(found, args.layers), indent=2))
    else:
        print(analysis_text.text(found, args.layers))
