"""find, download, verify and convert published weights

  keras-effnet weights list --model EfficientNetV2B0
  keras-effnet weights info EfficientNetB4 noisy-student
  keras-effnet weights download EfficientNetLite0 imagenet@timm
  keras-effnet weights verify
  keras-effnet weights convert tf_efficientnet_b0_ap-f262efe1.pth b0.keras \\
      --model EfficientNetB0

SET@SOURCE names the project that serves the file; without it, the first of those
that `info` lists. Files are kept in KERAS_HOME (default: ~/.keras) under
models/keras_effnet. KERAS_EFFNET_MIRROR names servers that hold a copy of that
folder and are asked first.
"""

import argparse
import dataclasses
import json
import sys

from keras_effnet.cli._model import add_preprocessing
from keras_effnet.errors import InputError
from keras_effnet.report.text import tabulate
from keras_effnet.specs import get_spec
from keras_effnet.weights import store
from keras_effnet.weights import table
from keras_effnet.weights.convention import PADDINGS


def add_arguments(parser):
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    listing = _action(actions, "list", _list, "every set, with its published accuracy")
    listing.add_argument("--model", metavar="NETWORK", help="only of this network")
    listing.add_argument("--set", metavar="SET", help="only sets of this name")
    listing.add_argument("--source", help=f"only of {', '.join(table.SOURCES)}")
    listing.add_argument("--json", action="store_true", help="every file, as JSON")

    info = _action(actions, "info", _info, "addresses, hashes and preprocessing")
    _add_set(info)
    info.add_argument("--json", action="store_true", help="print JSON")

    download = _action(actions, "download", _download, "fetch a set and verify it")
    _add_set(download)
    download.add_argument(
        "--no-top", action="store_true", help="the file without the classifier"
    )

    verify = _action(
        actions, "verify", _verify, "check downloaded files against their hashes"
    )
    verify.add_argument("model", nargs="?", metavar="NETWORK", help="default: all")
    verify.add_argument("set", nargs="?", metavar="SET", help="default: all")

    convert = _action(actions, "convert", _convert, "write weights as a Keras file")
    convert.add_argument("input", metavar="IN", help="a weights file, or a set's name")
    convert.add_argument("output", metavar="OUT", help="a .keras or .weights.h5 file")
    convert.add_argument("--model", required=True, metavar="NETWORK")
    add_preprocessing(convert)
    convert.add_argument(
        "--no-preprocessing",
        action="store_true",
        help="the model takes normalised pixels",
    )
    convert.add_argument(
        "--padding",
        choices=PADDINGS,
        help="of the network's convolutions; default: what is known of the weights",
    )


def _action(actions, name, run, summary):
    parser = actions.add_parser(
        name, help=summary, description=summary, allow_abbrev=False
    )
    parser.set_defaults(run_action=run)
    # As the other commands take it, behind their own options.
    parser.add_argument(
        "--strict",
        action="store_true",
        default=argparse.SUPPRESS,
        help="end with an error where a note would tell what was assumed",
    )
    return parser


def _add_set(parser):
    parser.add_argument("model", metavar="NETWORK")
    parser.add_argument("set", metavar="SET", help="or SET@SOURCE")


def run(args):
    return args.run_action(args)


def _list(args):
    rows = table.select(args.model, args.set, args.source)
    if args.json:
        print(json.dumps([_as_json(row) for row in rows], indent=2))
        return
    if not rows:
        raise InputError(
            "No set is all of this. Received: "
            f"--model {args.model} --set {args.set} --source {args.source}"
        )
    print(_listed(rows))
    print("* is on this machine.")


def _listed(rows):
    def sources(members):
        here = {row.source for row in members if store.is_cached(row)}
        names = dict.fromkeys(row.source for row in members)
        return ", ".join(f"{name}*" if name in here else name for name in names)

    columns = {
        "network": lambda line: line[0],
        "set": lambda line: line[1],
        "top-1 %": lambda line: line[2] or "-",
        "classes": lambda line: line[3],
        "size": lambda line: str(line[4][0].image_size),
        "padding": lambda line: line[4][0].padding,
        "sources": lambda line: sources(line[4]),
    }
    return tabulate(table.summary(rows), columns, left=(0, 1, 5, 6))


def _as_json(row):
    return {
        **dataclasses.asdict(row),
        "path": str(store.path_of(row)),
        "downloaded": store.is_cached(row),
    }


def _info(args):
    name = get_spec(args.model).name
    rows = table.find(name, args.set)
    rows += [r for r in table.find(name, args.set, include_top=False) if r not in rows]
    if args.json:
        print(json.dumps([_as_json(row) for row in rows], indent=2))
        return
    print("\n\n".join(map(_described, rows)))


def _described(row):
    rule = row.preprocessing
    crop = f"centre crop of size/(size + {rule.crop_padding})"
    if rule.whole:
        crop = "the whole photograph resized"
    elif rule.crop_fraction is not None:
        pixels, _ = rule.resized((row.image_size, row.image_size))
        crop = f"short side resized to {pixels}, centre crop of {row.image_size}"
    top1 = f"{row.top1} % at {row.image_size} px" if row.top1 else "not published"
    here = ", downloaded" if store.is_cached(row) else ""
    lines = {
        "set": f"{row.model} {row.name}@{row.source}"
        f"{'' if row.include_top else ', without the classifier'}",
        "classes": row.classes or "-",
        "top-1": top1,
        "address": row.url,
        "hash": store.known_hash(row),
        "file": f"{store.path_of(row)}{here}",
        "pixels": f"(x - {_values(rule.mean)}) / {_values(rule.std)} of 0-255 RGB, "
        f"{crop}, {rule.interpolation}",
        "network": f"padding {row.padding}, epsilon {row.bn_epsilon:g}",
        "licence": row.licence,
        "source": row.page,
    }
    return "\n".join(f"{key + ':':9} {value}" for key, value in lines.items())


def _values(values):
    return f"{values[0]:g}" if len(values) == 1 else str(values)


def _download(args):
    name = get_spec(args.model).name
    row = table.find(name, args.set, include_top=not args.no_top)[0]
    print(store.fetch(row))


def _verify(args):
    rows = table.select(args.model)
    if args.set:
        rows = table.find(args.model, args.set)
    found = [row for row in rows if store.is_cached(row)]
    if not found:
        raise InputError(
            f"None of these files is in {store.cache_folder()}. Received: "
            f"{args.model or 'all networks'}, {args.set or 'all sets'}"
        )
    failed = False
    for row in found:
        try:
            print(f"{store.path_of(row)}: {store.verify(row)}")
        except InputError as error:
            print(f"keras-effnet: error: {error}", file=sys.stderr)
            failed = True
    return 1 if failed else 0


def _convert(args):
    from keras_effnet.quiet import import_keras

    get_spec(args.model)
    import_keras()
    from keras_effnet.conversion import convert

    model = convert(
        args.input,
        args.output,
        args.model,
        preprocessing=args.preprocessing,
        include_preprocessing=not args.no_preprocessing,
        padding=args.padding,
    )
    print(f"{args.output}: {model.name}, {model.count_params():,} parameters")
