"""name what is on photographs

keras-effnet predict cat.jpg --model EfficientNetV2S --weights imagenet
keras-effnet predict photos/ --model lite0_int8.tflite --top 3 --json
"""

import json

from keras_effnet.cli import _model
from keras_effnet.cli import _photos
from keras_effnet.errors import InputError
from keras_effnet.notes import note
from keras_effnet.progress import silent


def add_arguments(parser):
    parser.add_argument("photos", nargs="+", help="photographs, or folders of them")
    parser.add_argument(
        "--model",
        required=True,
        help="a network's name with --weights, or a .keras file, a .tflite file or a "
        "SavedModel folder",
    )
    _model.add_weights(parser)
    _model.add_trust(parser)
    _photos.add_on_broken(parser)
    parser.add_argument("--top", type=int, default=5, help="classes shown (default: 5)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args):
    from keras_effnet.data.finding import find_photos
    from keras_effnet.data.photos import readable
    from keras_effnet.evaluation import classify_photo

    if args.top < 1:
        raise InputError(f"--top must be at least 1. Received: {args.top}")
    photos = find_photos(args.photos)
    classifier = _model.classifier(args)
    classifier.note_guess()
    if classifier.class_names is None and classifier.classes == 1000:
        note(
            "the model has no names for its 1000 classes; --class-names imagenet says "
            "that they are ImageNet's"
        )
    photos, _ = readable(photos, None, args.on_broken, silent)
    results = []
    for photo in photos:
        results.append((photo, classify_photo(classifier, photo, args.top)))
        if not args.json:
            _print(*results[-1])
    if args.json:
        print(json.dumps([_as_json(*result) for result in results], indent=2))


def _print(photo, predictions):
    print(photo)
    for prediction in predictions:
        print(f"  {prediction.probability:7.2%}  {prediction.name}")


def _as_json(photo, predictions):
    return {
        "photo": str(photo),
        "predictions": [prediction._asdict() for prediction in predictions],
    }
