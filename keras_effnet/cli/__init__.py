"""The keras-effnet command: a thin layer, one file for each subcommand."""

import argparse
import contextlib
import errno
import importlib
import logging
import os
import signal
import sys
import traceback

from keras_effnet import __version__
from keras_effnet import ending
from keras_effnet import files
from keras_effnet import notes
from keras_effnet import progress
from keras_effnet.errors import InputError
from keras_effnet.errors import Preempted
from keras_effnet.errors import WorkerLost
from keras_effnet.errors import first_line
from keras_effnet.quiet import open_streams
from keras_effnet.report.text import printable

# EX_TEMPFAIL of sysexits.h: the same command, given again, goes on.
RESTART = 75

# How Python, NumPy, TensorFlow and the loader of libraries say it.
_NO_ROOM = (
    *map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM)),
    *("failed to map segment", "Unable to allocate", "bad_alloc", "requested and"),
)

# Arguments of library functions that a command's errors tell by its option.
_OPTIONS = {
    "address": "address",
    "all_images": "all_images",
    "calibration": "calibrate",
    "calibration_images": "calibration_images",
    "dispatcher": "dispatcher",
    "draws": "draws",
    "evaluation": "evaluate",
    "on_broken": "on_broken",
    "output": "output",
    "port": "port",
    "profile": "profile",
    "settings": "settings",
    "stage": "stage",
    "sustained": "sustained",
    "targets": "target",
    "train": "train",
    "write_split": "write_split",
    "train_images": "train_images",
    "work_dir": "work_dir",
    "worker_address": "worker_address",
}

# In the order of a user's road. Each module has a docstring, `add_arguments`
# and `run`.
COMMANDS = (
    "models",
    "show",
    "weights",
    "preview",
    "train",
    "data-service",
    "evaluate",
    "predict",
    "export",
    "quantize",
    "qat",
    "prune",
    "cluster",
    "benchmark",
    "report",
    "scale",
    "demo",
)


def build_parser():
    parser = argparse.ArgumentParser(
        prog="keras-effnet",
        description="EfficientNet for phones: networks, weights, training, export "
        "to .tflite, accuracy and latency of the same file.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = importlib.import_module(f"keras_effnet.cli.{name.replace('-', '_')}")
        summary = module.__doc__.split("\n")[0]
        subparser = subparsers.add_parser(
            name,
            help=summary,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,  # another option of tomorrow may begin alike
        )
        module.add_arguments(subparser)
        subparser.add_argument(
            "--strict",
            action="store_true",
            help="end with an error where a note would tell what was assumed",
        )
        subparser.set_defaults(run=module.run)
    return parser


def main(argv=None):
    """Runs one command.

    Args:
        argv: The arguments after the program's name; `sys.argv`'s when `None`.

    Returns:
        The exit code: 0; 1 after a line on standard error that says which input
        was wrong; 128 and its number after a signal, but `RESTART` after a training
        that SIGTERM or SIGHUP stopped.
    """
    open_streams()
    # TensorFlow's start-up notes would bury the one line that matters.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    whole_process, argv = argv is None, sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        # Names of files and classes have letters that a terminal may not know.
        with contextlib.suppress(AttributeError):  # closed, or replaced
            stream.reconfigure(errors="backslashreplace")
    try:
        with ending.by_signals():
            args = build_parser().parse_args(argv)
    except KeyboardInterrupt as ended:
        return _stopped(ended)
    args.argv = argv
    if not getattr(args, "cluster", None):
        code = _run(args)
        if whole_process:
            ending.ignore_signals()
        return code
    try:
        code = _run(args)
    except Exception:
        traceback.print_exc()
        code = 1
    if code:
        # Python's way out would wait for the other processes.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


class _Notes(logging.Handler):
    """Shows what the library tells in the form of the command's other lines, once."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.shown = set()

    def emit(self, record):
        text = record.getMessage()
        if text not in self.shown:
            self.shown.add(text)
            kind = "note" if getattr(record, "assumed", False) else "warning"
            _say(f"{kind}: {text}")


@contextlib.contextmanager
def _notes_shown():
    logger, handler = logging.getLogger("keras_effnet"), _Notes()
    logger.addHandler(handler)
    # A library that logs gives the root a handler, which would say each once more.
    before, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.propagate = before
        logger.removeHandler(handler)


def _say(line):
    # The terminal may be gone; that is why SIGHUP came.
    with contextlib.suppress(OSError):
        line = printable(line).replace("\n", " ")
        print(f"keras-effnet: {line}", file=sys.stderr, flush=True)


def _run(args):
    try:
        with (
            _notes_shown(),
            notes.strict(args.strict),
            ending.by_signals(),
            files.workplace(),
            progress.pulse(),
        ):
            return args.run(args) or 0
    except InputError as error:
        message = str(error)
        for argument, option in _OPTIONS.items():
            if hasattr(args, option):
                told = f"--{option.replace('_', '-')}"
                message = message.replace(f"`{argument}`", told)
        _say(f"error: {message}")
    except (Preempted, WorkerLost) as error:
        _say(str(error))
        return RESTART
    except BrokenPipeError:
        # The reader (head, less) left; nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt as ended:
        code = _stopped(ended)
        restarts = args.command == "train" and code != 128 + signal.SIGINT
        return RESTART if restarts else code
    except Exception as error:
        if not _of_no_room(error):
            raise
        reason = f"{type(error).__name__}, {first_line(error)}"
        _say(
            "error: A disk or the memory is full; TMPDIR names another folder for "
            f"temporary files. Received: {reason}"
        )
    return 1


def _stopped(ended):
    _say("stopped")
    return 128 + getattr(ended, "number", signal.SIGINT)


def _of_no_room(error):
    while error is not None:
        if isinstance(error, MemoryError) or any(s in str(error) for s in _NO_ROOM):
            return True
        error = error.__cause__ or error.__context__
    return False
