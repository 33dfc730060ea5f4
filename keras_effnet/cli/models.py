"""list the published networks, their size and their work

  keras-effnet models
  keras-effnet models --family lite --json

Multiply-adds are for one image of the given size and 1000 classes, in the papers'
convention ("FLOPS"). Total parameters include BatchNormalization's statistics.
"""

import dataclasses
import json

from keras_effnet.costs import spec_costs
from keras_effnet.errors import InputError
from keras_effnet.errors import suggest
from keras_effnet.report.text import format_table
from keras_effnet.report.text import giga
from keras_effnet.specs import SPECS

_FAMILIES = tuple(dict.fromkeys(spec.family for spec in SPECS.values()))


def add_arguments(parser):
    parser.add_argument("--family", help=f"only one of {', '.join(_FAMILIES)}")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args):
    if args.family not in (None, *_FAMILIES):
        raise InputError(
            f"No family has this name. {suggest(args.family, _FAMILIES)}"
            f"The families are: {', '.join(_FAMILIES)}. "
            f"Received: --family {args.family}"
        )
    models = [
        {
            "name": spec.name,
            "family": spec.family,
            "image_size": spec.image_size,
            **dataclasses.asdict(spec_costs(spec)),
        }
        for spec in SPECS.values()
        if args.family in (None, spec.family)
    ]
    print(json.dumps(models, indent=2) if args.json else _report(models))


def _report(models):
    rows = [["name", "size", "trainable", "total", "10^9 multiply-adds", "family"]]
    rows += [
        [
            model["name"],
            str(model["image_size"]),
            f"{model['trainable_parameters']:,}",
            f"{model['total_parameters']:,}",
            giga(model["multiply_adds"]),
            model["family"],
        ]
        for model in models
    ]
    return format_table(rows, left=(0, 5))
