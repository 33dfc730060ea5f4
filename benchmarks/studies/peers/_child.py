"""A worker script in a process of its own."""

import json
import subprocess
import sys


class ChildError(Exception):
    """The worker failed; the text is the last line that it said."""


def run(worker, options):
    """Runs a worker to its end.

    Args:
        worker: Path of the script, which takes JSON and prints JSON last.
        options: What it is given.

    Returns:
        What it printed.

    Raises:
        ChildError: It failed.
    """
    child = subprocess.run(
        [sys.executable, str(worker), json.dumps(options)],
        capture_output=True,
        text=True,
        errors="replace",  # native code writes to it, too
    )
    if child.returncode:
        last = (child.stderr.strip() or f"exit code {child.returncode}").splitlines()
        raise ChildError(last[-1])
    return json.loads(child.stdout.splitlines()[-1])
