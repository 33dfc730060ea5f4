"""Work that a process of its own does: one way to begin it, one to hear what it found.

A child prints lines of JSON on its standard output. The last one is its answer, those
ahead of it tell how far it is, and `{"error": ...}` says what is wrong with what it was
given. Whatever else it prints there is passed over: native code writes to it, too.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading

from keras_effnet.errors import InputError

# Linux ends a process with the one that began it where it is asked to (prctl(2),
# PR_SET_PDEATHSIG), and the wish outlasts exec: the program itself needn't know.
_ENDS_WITH_PARENT = """
import os, sys
try:
    import ctypes
    ctypes.CDLL(None).prctl(1, 9)
except (ImportError, OSError, AttributeError):
    pass
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""


class ChildError(RuntimeError):
    """A child ended without an answer; the text has all that it wrote as errors.

    Attributes:
        last_line: The last line of its errors, or how it ended where there is none.
        signal: The name of the signal that ended it, or `None`.
    """

    def __init__(self, program: object, code: int, errors: str) -> None:
        self.signal = signal_name(-code) if code < 0 else None
        ended = self.signal or f"exit code {code}"
        self.last_line = (errors.strip() or ended).splitlines()[-1]
        super().__init__(f"{program} ended with {ended}:\n{errors.strip()}")


def ask(program, *arguments, tell=None, timeout=None, environment=None):
    """Runs a Python program in a process of its own, to its end; returns its answer.

    The child ends at the latest with this process, whatever ends that.

    Args:
        program: A script, or the name of a module. Neither its folder nor the one
            that this process is in is on its import path.
        *arguments: Strings and paths; a dict goes as JSON.
        tell: Called with each line as it comes.
        timeout: Seconds after which the child is ended.
        environment: Variables beside those of this process.

    Raises:
        InputError: The child's `error`.
        ChildError: It crashed, was killed, or gave no answer.
        subprocess.TimeoutExpired: It took longer.
    """
    script = isinstance(program, pathlib.Path)
    command = ["-P", str(program)] if script else ["-P", "-m", program]
    command += [json.dumps(a) if isinstance(a, dict) else str(a) for a in arguments]
    command = _ending_with_this([sys.executable, *command])
    answer, late = None, threading.Event()
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=os.environ | (environment or {}),
        ) as process,
    ):

        def end():
            late.set()
            process.kill()

        timer = threading.Timer(timeout or threading.TIMEOUT_MAX, end)
        timer.daemon = True
        timer.start()
        try:
            for line in process.stdout:
                if (found := _parsed(line)) is not None:
                    answer = found
                    if tell:
                        tell(found)
            process.wait()
        except BaseException:
            process.kill()
            raise
        finally:
            timer.cancel()
        if late.is_set():
            raise subprocess.TimeoutExpired(command, timeout)
        if answer is not None and "error" in answer:
            raise InputError(answer["error"])
        if process.returncode or answer is None:
            errors.seek(0)
            text = errors.read().decode(errors="replace")
            raise ChildError(program, process.returncode, text)
    return answer


def finished(command, **options):
    """Runs any program, by its path or name, to its end, at the latest this process'.

    Its output is text, whatever bytes it writes.
    """
    return subprocess.run(
        _ending_with_this(command),
        capture_output=True,
        text=True,
        errors="replace",
        **options,
    )


def _ending_with_this(command: list[str]) -> list[str]:
    return [sys.executable, "-ISc", _ENDS_WITH_PARENT, str(os.getpid()), *command]


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """Of a finished program's errors, or how it ended where there is none."""
    return (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]


def last_answer(text: str | bytes) -> dict | None:
    """The answer in what a child printed, wherever it ran, or `None`."""
    lines = text.splitlines()
    return _parsed(lines[-1]) if lines else None


def signal_name(number: int) -> str:
    """`"SIGKILL"` of 9; another number says so."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _parsed(line: str | bytes) -> dict | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
