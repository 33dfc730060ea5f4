"""Boards, and any other machine with a shell, by `ssh`."""

import os
import pathlib
import re
import shlex
import shutil
import tempfile
from collections.abc import Sequence

from keras_effnet.benchmarks.targets.shell import Shell
from keras_effnet.benchmarks.targets.shell_target import ShellTarget
from keras_effnet.errors import InputError

_WAYS_OUT = {
    "Permission denied": "let your key in by `ssh-copy-id`, or load it by `ssh-add`",
    "Host key verification": "connect by `ssh` once, to see and confirm the host's key",
    "Could not resolve": "check the name",
    "Connection refused": "check the port, and that sshd runs there",
}


class Ssh(ShellTarget):
    """A machine that `ssh` reaches without asking for a password.

    Where it has Python with NumPy and ai-edge-litert, those measure; elsewhere the
    runtime and the runner in C are copied there, into a temporary folder that is
    removed in the end. The user's configuration of ssh holds.

    Args:
        destination: `"[user@]host[:port]"`; a host of `~/.ssh/config` too.
        options: Further arguments of `ssh`.
        python: The name or path of Python there; `None` for the runner in C.
        cores: The numbers of the processor's cores to run on, or `None` for any.
        folder: In which folder there the temporary one is made, relative to the
            home folder; `$TMPDIR` or `/tmp` by default.
        benchmark_model: The path here of TensorFlow Lite's `benchmark_model` for
            that machine, which then measures, or `None`.

    Raises:
        InputError: The machine can't be reached, or can't run what is needed.
    """

    def __init__(
        self,
        destination: str,
        *,
        options: Sequence[str] = (),
        python: str | None = "python3",
        cores: Sequence[int] | None = None,
        folder: str | None = None,
        benchmark_model: str | os.PathLike | None = None,
    ) -> None:
        shell = _SshShell(destination, options, folder)
        super().__init__(shell, python, cores, benchmark_model)


class _SshShell(Shell):
    def __init__(self, destination, options, parent):
        super().__init__(f"ssh:{destination}", parent)
        host = r"(?P<host>(?!-)([^\s:@]+@)?([^\s:@]+|\[\S+\]))"
        found = re.fullmatch(host + r"(:(?P<port>\d+))?", destination)
        if not found:
            raise InputError(
                "A target of ssh is written user@host or user@host:port. "
                f"Received: {destination!r}"
            )
        if shutil.which("ssh") is None:
            raise InputError(
                "`ssh` is not installed here; install OpenSSH's client. "
                f"Received: {destination!r}"
            )
        self._destination = destination
        self._options = [
            *options,
            *("-T", "-o", "BatchMode=yes", "-o", "RemoteCommand=none"),
            *("-o", "LogLevel=ERROR", "-o", "ConnectTimeout=15"),
            # So that a machine which is switched off is missed within 15 seconds.
            *("-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"),
            *(["-p", found["port"]] if found["port"] else []),
        ]
        self._host = re.sub(r"[\[\]]", "", found["host"])  # of an IPv6 address
        self._socket = None

    def open(self):
        # In the shortest folder: a socket's path has about a hundred characters.
        self._socket = pathlib.Path(tempfile.mkdtemp(prefix="keras_effnet-")) / "ssh"
        super().open()

    def close(self):
        super().close()
        if self._socket:
            shutil.rmtree(self._socket.parent, ignore_errors=True)
            self._socket = None

    def client(self, script):
        return self._ssh(["-o", "ControlMaster=no"], script)

    def holding_client(self, script):
        # One connection for all commands: opening one takes nearly a second.
        return self._ssh(["-o", "ControlMaster=yes", "-o", "ControlPersist=no"], script)

    def _ssh(self, sharing, script):
        # The login shell there may be no POSIX shell.
        command = f"exec sh -c {shlex.quote(script)}"
        shared = ["-o", f"ControlPath={self._socket}"]
        return ["ssh", *sharing, *shared, *self._options, "--", self._host, command]

    def push(self, local, remote, timeout):
        # Small systems have sshd without sftp, which `scp` speaks.
        with open(local, "rb") as file:
            write = f"cat >{shlex.quote(remote)}"
            answer = self.run(["sh", "-c", write], timeout, stdin=file)
        return answer.last_line if answer.code else None

    def unreachable(self, reason):
        ways = (way for text, way in _WAYS_OUT.items() if text in reason)
        way = next(ways, "`ssh` with the same destination tells more")
        return InputError(
            f"ssh can't reach the target: {reason.rstrip('. ')}; {way}. "
            f"Received: {self._destination!r}"
        )
