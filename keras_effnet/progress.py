"""How far a piece of work is, told in one way everywhere.

A function that takes a while has an argument `progress`: a function of one line of
text, which is called before each step. `print` will do, and so will `tell`. With it,
many like steps are counted by a `bar`; `silent` is for one who wants the bars alone.
With `None` there is neither.

Where nobody watches, a log instead of a terminal, a command says every half minute
where it is: `pulse`, of what `step` said last and of the bars.
"""

import contextlib
import sys
import threading
from collections.abc import Iterator

from keras_effnet import ending
from keras_effnet import quiet
from keras_effnet.report.text import printable

_SECONDS = 30
_doing = ""
_pulsing = False


def tell(line: str) -> None:
    """Prints a line on standard error, unless the command was asked to end."""
    ending.check()
    sys.stderr.write(f"{printable(line)}\n")
    sys.stderr.flush()


def silent(line: str) -> None:
    """Tells nobody."""


def step(line: str) -> None:
    """Tells a command's next step on a terminal; elsewhere `pulse` does, if it takes
    long. Notes are told at once."""
    global _doing
    ending.check()
    _doing = line
    if line.startswith("note: ") or _is_watched():
        tell(f"keras-effnet: {line}")


@contextlib.contextmanager
def pulse() -> Iterator[None]:
    """While the block runs, a line every half minute where standard error is no
    terminal: the last `step`, and how far the bars are."""
    global _doing, _pulsing
    if _is_watched():
        yield
        return
    ended = threading.Event()

    def beat() -> None:
        import tqdm

        while not ended.wait(_SECONDS):
            bars = [str(each) for each in list(tqdm.tqdm._instances)]
            if parts := [part for part in (_doing, *bars) if part]:
                quiet.write_through(f"keras-effnet: {printable(', '.join(parts))}\n")

    thread = threading.Thread(target=beat, daemon=True)
    _doing, _pulsing = "", True
    thread.start()
    try:
        yield
    finally:
        _pulsing = False
        ended.set()


def _is_watched() -> bool:
    return bool(sys.stderr) and sys.stderr.isatty()


def bar(items=None, name=None, unit="step", total=None, shown=True, **options):
    """A bar on standard error, a `tqdm.tqdm`, which is gone when the work is done.

    It goes through `items`, or is a context whose `update` counts. `name` stands in
    front, `unit` is what is counted, in the singular, and `total` how many there are
    where `items` doesn't know it. `shown` is whether it is shown if standard error is a
    terminal, or a command's `pulse` tells of it; a function's `progress` will do, and
    `"always"` shows it anywhere.
    """
    import tqdm

    # None is for: where standard error is no terminal.
    disabled = False if shown == "always" else None if shown else True
    if disabled is None and _pulsing:
        counted = "{desc}: {n_fmt} of {total_fmt} {unit}s, {elapsed}"
        options = options | {"file": _Nowhere(), "bar_format": counted}
    return tqdm.tqdm(
        items,
        desc=name,
        unit=unit,
        total=total,
        disable=disabled,
        **{"leave": False} | options,
    )


class _Nowhere:
    """A stream of a bar that counts, and that nobody sees."""

    def write(self, text: str) -> None:
        pass

    def flush(self) -> None:
        pass
