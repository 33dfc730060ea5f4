"""A command line on another machine, and a folder of its own there."""

import abc
import dataclasses
import pathlib
import shlex
import subprocess
import tempfile

from keras_effnet import files
from keras_effnet.benchmarks.targets.remote_folder import CONNECT_SECONDS
from keras_effnet.benchmarks.targets.remote_folder import Holder
from keras_effnet.benchmarks.targets.remote_folder import Refused
from keras_effnet.benchmarks.targets.remote_folder import Unreachable
from keras_effnet.benchmarks.targets.target import TargetLost
from keras_effnet.errors import InputError

_CODE = "keras_effnet-code"
# In the background, as only `wait` tells of a signal everywhere: `ssh` reports one
# with the code of a lost connection.
_START = """cd %s || exit
%s & pid=$!
echo $pid >pid
wait $pid; code=$?
rm -f pid
exit $code"""
_SLOWEST_BYTES_PER_SECOND = 100_000


@dataclasses.dataclass(frozen=True)
class Answer:
    """How a command ended: 128 and the signal's number where a signal ended it."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def text(self):
        return self.stdout.decode(errors="replace").strip()

    @property
    def last_line(self):
        """Of standard error, or else of standard output."""
        return (self.stderr.strip() or self.text or "no message").splitlines()[-1]


class Shell(abc.ABC):
    """Runs commands on a target through a client program, such as `ssh`, in a folder in
    `parent`, or in `$TMPDIR`. `name` is the target's, as results give it."""

    def __init__(self, name, parent):
        self.name = name
        self._parent = parent
        self._holder = None
        self._pushed = {}
        self.folder = None

    @abc.abstractmethod
    def client(self, script):
        """The command on this machine that runs a script of `sh` on the target."""

    @abc.abstractmethod
    def holding_client(self, script):
        """The same for the one script that runs until `close`."""

    @abc.abstractmethod
    def unreachable(self, reason):
        """The `InputError` for a target that can't be reached."""

    @abc.abstractmethod
    def push(self, local, remote, timeout):
        """Copies a file to the target; the reason where it can't, else `None`."""

    def open(self):
        """Makes the folder on the target."""
        try:
            self._holder = Holder(self.holding_client, self._parent)
        except Unreachable as error:
            raise self.unreachable(str(error)) from error
        except Refused as error:
            raise InputError(
                f"No folder can be made on {self.name}: {error}; `folder` names "
                f"another place. Received: folder={self._parent!r}"
            ) from error
        self.folder = self._holder.folder

    def close(self):
        """Ends what runs on the target and removes the folder."""
        if self._holder:
            self._holder.close()
        self._holder = self.folder = None
        self._pushed = {}

    def run(self, argv, timeout=60, stdin=subprocess.DEVNULL):
        """Runs a program with its arguments on the target; `TargetLost` where its end
        was not heard of."""
        try:
            return self._run(argv, timeout, stdin)
        except subprocess.TimeoutExpired as error:
            raise self.lost("it doesn't answer any more") from error

    def _run(self, argv, timeout, stdin=subprocess.DEVNULL):
        if not (self._holder and self._holder.lasts):
            raise self.lost("the connection broke")
        # The clients' own exit codes don't do: `adb shell` ends with 0 when the
        # device is gone, and `ssh` with 255.
        script = f"({shlex.join(argv)}); code=$?; echo; echo {_CODE} $code"
        client = subprocess.run(
            self.client(script),
            stdin=stdin,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        stderr = client.stderr.decode(errors="replace")
        stdout, mark, code = client.stdout.rpartition(f"\n{_CODE} ".encode())
        if not mark or not code.endswith(b"\n"):
            lines = stderr.strip().splitlines()
            raise self.lost(lines[-1] if lines else "the connection broke")
        return Answer(int(code), stdout, stderr)

    def start(self, argv, timeout):
        """Runs a program in the folder, which `close` ends, should it run on. When the
        seconds of `timeout` are over, it is ended, and `subprocess.TimeoutExpired` is
        raised."""
        script = _START % (shlex.quote(self.folder), shlex.join(argv))
        try:
            return self._run(["sh", "-c", script], timeout)
        except subprocess.TimeoutExpired:
            kill = f"kill -9 $(cat {shlex.quote(self.folder)}/pid)"
            self.run(["sh", "-c", kill], CONNECT_SECONDS)
            raise

    def put(self, local, name=None):
        """Copies a file into the folder, unless its content is there already; its name
        there, by default made from its content."""
        local = pathlib.Path(local)
        digest = files.checksum(local)
        name = name or digest[:16] + local.suffix
        if self._pushed.get(name) == digest:
            return name
        remote, size = f"{self.folder}/{name}", local.stat().st_size
        try:
            refusal = self.push(
                local, remote, CONNECT_SECONDS + size / _SLOWEST_BYTES_PER_SECOND
            )
        except subprocess.TimeoutExpired as error:
            raise self.lost("it takes no more data") from error
        if refusal:
            self.remove(remote)  # the part of it that had room
            raise InputError(
                f"{local.name} can't be written on {self.name}: {refusal}; free "
                f"{size / 2**20:.1f} MiB there, or name another place by `folder`. "
                f"Received: {str(local)!r}"
            )
        self._pushed[name] = digest
        return name

    def put_bytes(self, data, name=None):
        """Copies bytes into a file in the folder, as `put` does; its name there."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            return self.put(file.name, name)

    def pull(self, remote, timeout=600):
        """The bytes of a file; its path is relative to the folder."""
        answer = self.run(["cat", f"{self.folder}/{remote}"], timeout)
        if answer.code:
            raise InputError(
                f"{self.name} gives no {remote}: {answer.last_line}. "
                f"Received: {self.name!r}"
            )
        return answer.stdout

    def remove(self, remote):
        """Removes a file or folder; its path is absolute."""
        self.run(["rm", "-rf", remote])

    def lost(self, reason):
        """The `TargetLost` for a target that went away."""
        return TargetLost(
            f"The target went away: {reason}; connect it again, and repeat the "
            f"command. Received: {self.name!r}"
        )
