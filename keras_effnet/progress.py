"""How far a piece of work is, told in one way everywhere.

A function that takes a while has an argument `progress`: a function of one line of
text, which is called before each step. `print` will do, and so will `tell`. With it,
many like steps are counted by a `bar`; `silent` is for one who wants the bars alone.
With `None` there is neither.
"""

import sys

from keras_effnet import ending
from keras_effnet.report.text import printable


def tell(line: str) -> None:
    """Prints a line on standard error, unless the command was asked to end."""
    ending.check()
    sys.stderr.write(f"{printable(line)}\n")
    sys.stderr.flush()


def silent(line: str) -> None:
    """Tells nobody."""


def bar(items=None, name=None, unit="step", total=None, shown=True, **options):
    """A bar on standard error, a `tqdm.tqdm`, which is gone when the work is done.

    It goes through `items`, or is a context whose `update` counts. `name` stands in
    front, `unit` is what is counted, in the singular, and `total` how many there are
    where `items` doesn't know it. `shown` is whether it is shown if standard error is a
    terminal; a function's `progress` will do, and `"always"` shows it anywhere.
    """
    import tqdm

    return tqdm.tqdm(
        items,
        desc=name,
        unit=unit,
        total=total,
        # None is for: where standard error is no terminal.
        disable=False if shown == "always" else None if shown else True,
        **{"leave": False} | options,
    )
