"""scale a network by the compound formula, or search its coefficients

  keras-effnet scale --phi 1
  keras-effnet scale --phi 2.5 --alpha 1.3 --beta 1.1 --gamma 1.1 --base EfficientNetB0
  keras-effnet scale --search my_score:accuracy --state search.json --plot search.png

Depth grows by alpha^phi, width by beta^phi and the image by gamma^phi (Tan and Le
2019, Equation 3). The published B1 to B7 are rounded by hand and follow from no
phi: they come from the table, `keras-effnet show EfficientNetB3` prints one.

The search is the paper's step one: every alpha, beta, gamma of a grid with
alpha * beta^2 * gamma^2 near 2 is scored at phi = 1 by a Python function of yours,
`accuracy` in my_score.py of this folder, from a network's specification to a number,
the higher the better. docs/scaling.md has an example. Stopped, it goes on where it
was when the same command is given again.
"""

import contextlib
import dataclasses
import json
import math
import shlex

from keras_effnet import files
from keras_effnet import scaling
from keras_effnet import scaling_search
from keras_effnet.cli import _analysis
from keras_effnet.costs import spec_costs
from keras_effnet.errors import InputError
from keras_effnet.progress import tell
from keras_effnet.report.text import giga
from keras_effnet.report.text import tabulate
from keras_effnet.specs import get_spec

_PAPER = {"alpha": 1.2, "beta": 1.1, "gamma": 1.15}
_MOST_BLOCKS = 500
_MOST_MULTIPLY_ADDS = 10**15
_SHOWN = 10


def add_arguments(parser):
    parser.add_argument(
        "--base",
        default="EfficientNetB0",
        metavar="NETWORK",
        help="what is scaled (default: EfficientNetB0)",
    )
    _analysis.add_output_arguments(parser)
    scaled = parser.add_argument_group("one scaled network")
    scaled.add_argument(
        "--phi", type=float, help="the compound coefficient; 0 is the base"
    )
    for label, what in (("alpha", "depth"), ("beta", "width"), ("gamma", "image size")):
        scaled.add_argument(
            f"--{label}",
            type=float,
            help=f"of the {what}, at least 1 (default: the paper's {_PAPER[label]})",
        )
    search = parser.add_argument_group("the search")
    search.add_argument(
        "--search", metavar="MODULE:FUNCTION", help="score every network of the grid"
    )
    search.add_argument(
        "--step", type=float, metavar="X", help="of the grid (default: 0.05)"
    )
    search.add_argument(
        "--tolerance",
        type=float,
        metavar="X",
        help="of alpha * beta^2 * gamma^2 around 2 (default: 0.1)",
    )
    search.add_argument(
        "--state", metavar="FILE.json", help="keep every score here, and resume"
    )
    search.add_argument("--plot", metavar="FILE.png", help="draw the scores")


def run(args):
    base = get_spec(args.base)
    if args.search is None:
        _refuse(args, ("step", "tolerance", "state", "plot"), "go with --search")
        if args.phi is None:
            raise InputError("Give --phi or --search. Received: neither")
        _analysis.show(_analysis.of_spec(_scaled(args, base)), args)
    else:
        _refuse(args, ("phi", *_PAPER), "go without --search, which tries them all")
        if args.layers:
            raise InputError("--layers goes without --search. Received: --layers")
        _search(args, base)


def _refuse(args, labels, where):
    given = [f"--{label}" for label in labels if getattr(args, label) is not None]
    if given:
        names = ", ".join(f"--{label}" for label in labels)
        raise InputError(f"{names} {where}. Received: {', '.join(given)}")


def _scaled(args, base):
    values = {"phi": args.phi}
    for label, default in _PAPER.items():
        given = getattr(args, label)
        values[label] = default if given is None else given
    for label, value in values.items():
        if not math.isfinite(value):
            raise InputError(f"--{label} must be finite. Received: {value}")
    received = ", ".join(f"{label}={value:g}" for label, value in values.items())
    try:
        spec = scaling.compound_scale(**values, base=base)
        blocks = sum(stage.layers for stage in scaling.scaled_stages(spec))
    except OverflowError as error:
        raise InputError(
            f"The network is too large to count. Received: {received}"
        ) from error
    if blocks > _MOST_BLOCKS or spec_costs(spec).multiply_adds > _MOST_MULTIPLY_ADDS:
        raise InputError(
            f"The network is too large to build: the most are {_MOST_BLOCKS} blocks "
            f"and {_MOST_MULTIPLY_ADDS:.0e} multiply-adds. Received: {received}"
        )
    return spec


def _search(args, base):
    options = {
        label: getattr(args, label)
        for label in ("step", "tolerance")
        if getattr(args, label) is not None
    }
    if args.plot:
        _check_plot(args.plot)
    results = scaling_search.search(
        args.search, base, state=args.state, progress=tell, **options
    )
    if args.plot:
        with files.replacing(args.plot) as temporary:
            scaling_search.plot(results).savefig(temporary)
    if args.json:
        print(json.dumps([_as_json(result) for result in results], indent=2))
    else:
        print(_report(results, args))


class _Untouched(Exception):
    pass


def _check_plot(path):
    """Raises now what writing would raise after days of training. A temporary
    file kept open for so long would stay behind if the process were killed."""
    if not path.lower().endswith(".png"):
        raise InputError(f"The plot is a .png file. Received: --plot {path}")
    with contextlib.suppress(_Untouched), files.replacing(path):
        raise _Untouched


def _as_json(result):
    content = dataclasses.asdict(result)
    del content["coefficients"]
    return {**result.coefficients._asdict(), **content}


def _report(results, args):
    columns = {
        "alpha": lambda result: f"{result.coefficients.alpha:g}",
        "beta": lambda result: f"{result.coefficients.beta:g}",
        "gamma": lambda result: f"{result.coefficients.gamma:g}",
        "score": lambda result: f"{result.score:.6g}",
        "10^9 multiply-adds": lambda result: giga(result.multiply_adds),
    }
    lines = [tabulate(results[:_SHOWN], columns)]
    if len(results) > _SHOWN:
        lines.append(f"The best {_SHOWN} of {len(results)}; --json prints all.")
    alpha, beta, gamma = results[0].coefficients
    command = f"keras-effnet scale --phi 2 --alpha {alpha:g} --beta {beta:g}"
    command += f" --gamma {gamma:g}"
    if args.base != "EfficientNetB0":
        command += f" --base {shlex.quote(args.base)}"
    lines.append(f"Step two, a larger one: {command}")
    return "\n".join(lines)
