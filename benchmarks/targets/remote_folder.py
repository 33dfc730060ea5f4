"""A folder on a target that lasts as long as this process, and no longer."""

import contextlib
import shlex
import subprocess
import tempfile
import threading

CONNECT_SECONDS = 30
_SHELL, _FOLDER = "keras_effnet-shell", "keras_effnet-folder"
# Waits on the target for as long as this process lives. When its input ends, for
# whatever reason, it ends what was started and removes the folder: after an error,
# after Ctrl-C, and also after a kill or a torn connection, when nobody could ask it to.
_HOLD = f"""exec 2>&1
trap '' HUP INT TERM PIPE
echo {_SHELL}
folder=$(mktemp -d %s/keras_effnet-XXXXXX) || exit 1
echo "{_FOLDER} $folder"
cat >/dev/null
test -f "$folder/pid" && kill -9 "$(cat "$folder/pid")"
rm -rf "$folder"
"""


class Refused(Exception):
    """The folder can't be made; the message says why."""


class Unreachable(Exception):
    """No shell answers; the message says why."""


class Holder:
    """Makes `folder` on the target, and removes it on `close` or when this process
    ends.

    `client` makes of a script for `sh` the command on this machine that runs it on the
    target; the folder is made in `parent`, or for `None` in `$TMPDIR` or `/tmp`."""

    def __init__(self, client, parent):
        parent = '"${TMPDIR:-/tmp}"' if parent is None else shlex.quote(parent)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._client = subprocess.Popen(
            client(_HOLD % parent),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,  # Ctrl-C ends it by `close` and not at once
        )
        self.folder = None
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def _wait(self):
        timer = threading.Timer(CONNECT_SECONDS, self._client.kill)
        timer.start()
        lines = []
        try:
            for line in self._client.stdout:
                lines.append(line.decode(errors="replace").strip())
                if lines[-1].startswith(_FOLDER):
                    self.folder = lines[-1].removeprefix(_FOLDER).strip()
                    return
        finally:
            timer.cancel()
        self._client.wait()
        if _SHELL in lines:
            raise Refused(lines[-1])
        self._errors.seek(0)
        errors = self._errors.read().decode(errors="replace").splitlines()
        told = [line.strip() for line in (*lines, *errors) if line.strip()]
        silence = f"no answer in {CONNECT_SECONDS} seconds"
        raise Unreachable(told[-1] if told else silence)

    @property
    def lasts(self):
        """Whether the connection on which it waits is there still."""
        return self._client.poll() is None

    def close(self):
        """Ends what runs on the target and removes the folder."""
        with contextlib.suppress(OSError):
            self._client.stdin.close()
        try:
            self._client.wait(CONNECT_SECONDS)
        except subprocess.TimeoutExpired:
            self._client.kill()
            self._client.wait()
        self._client.stdout.close()
        self._errors.close()
