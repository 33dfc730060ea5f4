"""How far a piece of work is, told in one way everywhere.

A function that takes a while has an argument `progress`: a function of one line of
text, which is called before each step. `print` will do, and so will `tell`. With it,
many like steps are counted by a `bar`; `silent` is for one who wants the bars alone.
With `None` there is neither.
"""

import sys


def tell(line):
    """Prints a line on standard error, at once."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def silent(line):
    """Tells nobody."""


def bar(items=None, name=None, unit="step", total=None, shown=True, **options):
    """A bar on standard error, which is gone when the work is done.

    Args:
        items: What to go through, if the bar shall wrap it.
        name: Of the work, in front of the bar.
        unit: What is counted, in the singular.
        total: How many there are, where `items` doesn't know it; `None` where nobody
            does.
        shown: Whether it is shown if standard error is a terminal; a function's
            `progress` will do. `"always"` shows it anywhere.
        **options: Further ones of `tqdm.tqdm`.

    Returns:
        A `tqdm.tqdm`: to iterate over, or a context whose `update` counts.
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
