"""Work that a signal ends: by unwinding: its children and folders end with it."""

import contextlib
import signal
import threading
from collections.abc import Callable
from collections.abc import Iterator

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_received: int | None = None


class Ended(KeyboardInterrupt):
    """A signal asked for the end.

    Attributes:
        number: The signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def by_signals() -> Iterator[None]:
    """Raises `Ended` in the block where Ctrl-C, SIGTERM or SIGHUP comes.

    Libraries swallow it at times: `check` raises it again, and the end of the block.
    """
    global _received
    _received = None
    try:
        with answered(_end):
            try:
                yield
            except Exception:
                check()  # what a library made of it
                raise
            check()
    finally:
        _received = None


def check() -> None:
    """Raises `Ended` where a signal has come before."""
    if _received is not None:
        raise Ended(_received)


@contextlib.contextmanager
def answered(
    answer: Callable[[int, object], object], numbers: tuple[int, ...] = _SIGNALS
) -> Iterator[None]:
    """Lets a function answer signals in the block, but those that nohup shuts out.

    Only in the main thread: elsewhere Python handles no signals.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in numbers:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, answer)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore_signals() -> None:
    """For a process that has finished: its exit code stands."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _end(number: int, frame: object) -> None:
    global _received
    again, _received = _received is not None, number
    # A service manager sends SIGTERM and SIGHUP; one who presses Ctrl-C twice means it.
    if not again or number == signal.SIGINT:
        raise Ended(number)
