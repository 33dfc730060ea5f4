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
from keras_effnet.report.text import giga
from keras_effnet.report.text import tabulate
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
    columns = {
        "name": lambda model: model["name"],
        "size": lambda model: str(model["image_size"]),
        "trainable": lambda model: f"{model['trainable_parameters']:,}",
        "total": lambda model: f"{model['total_parameters']:,}",
        "10^9 multiply-adds": lambda model: giga(model["multiply_adds"]),
        "family": lambda model: model["family"],
    }
    return tabulate(models, columns, left=(0, 5))
