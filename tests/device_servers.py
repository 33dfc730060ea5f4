"""What the tests of targets with a shell share, and a real sshd on the loopback."""

import contextlib
import getpass
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from keras_effnet.benchmarks.native import building
from keras_effnet.benchmarks.native import sysroot
from keras_effnet.errors import InputError


def require(available, what):
    """Skips a test that lacks something; on a build machine the lack is a failure."""
    if not available:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{what} is absent")


def require_runner(machine):
    """Skips a test that needs the runner in C where it can't be compiled."""
    try:
        building.runner(machine)
        sysroot.libraries(machine)
    except InputError as error:
        require(False, f"what the runner for {machine} needs ({error})")


def children(pid):
    """The process ids of a process' children."""
    return [
        int(n)
        for n in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    ]


class Sshd:
    """OpenSSH's server on a port of this machine's loopback, with keys of its own.

    Args:
        folder: An empty folder.
        personality: The machine that `uname -m` names there, for `setarch`.
    """

    def __init__(self, folder, personality="x86_64"):
        server = shutil.which("sshd") or shutil.which("/usr/sbin/sshd")
        require(server, "sshd")
        require(shutil.which("ssh"), "ssh")
        require(os.geteuid() == 0, "root, for sshd in a namespace of its own,")
        pathlib.Path("/run/sshd").mkdir(exist_ok=True)
        self.folder = pathlib.Path(folder)
        for name in ("host", "user", "stranger"):
            subprocess.run(
                ["ssh-keygen", *("-q", "-t", "ed25519", "-N", "", "-f"), name],
                cwd=folder,
                check=True,
            )
        self.small = self.folder / "small"
        self.small.mkdir()
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        config = self.folder / "sshd_config"
        # The first bash of a connection reads .bashrc, which can take its time.
        config.write_text(f"""
Port {self.port}
ListenAddress 127.0.0.1
HostKey {self.folder}/host
AuthorizedKeysFile {self.folder}/user.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
SetEnv SHLVL=1
""")
        key = (self.folder / "host.pub").read_text()
        (self.folder / "known").write_text(f"[127.0.0.1]:{self.port} {key}")
        (self.folder / "empty").touch()
        # A small file system that no other process sees.
        script = 'mount -t tmpfs -o size=1m none "$1"; shift; exec "$@"'
        command = [
            *("setarch", personality, "unshare", "--mount", "sh", "-c", script),
            *("sh", str(self.small), server, "-D", "-f", str(config)),
            *("-E", str(self.folder / "log")),
        ]
        self._server = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        for _ in range(200):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            time.sleep(0.05)
        self.close()
        require(False, "an sshd that starts")

    @property
    def destination(self):
        return f"{getpass.getuser()}@127.0.0.1:{self.port}"

    def options(self, key="user", known="known"):
        """Arguments of `ssh` that let no configuration of the machine in."""
        return [
            *("-F", "none", "-i", str(self.folder / key), "-o", "IdentitiesOnly=yes"),
            *("-o", f"UserKnownHostsFile={self.folder / known}"),
            *("-o", "GlobalKnownHostsFile=none", "-o", "StrictHostKeyChecking=yes"),
        ]

    def hang_up(self):
        """Ends every connection, and goes on listening."""
        for child in children(self._server.pid):
            os.kill(child, signal.SIGKILL)

    def close(self):
        self._server.terminate()
        self._server.wait()


REQUEST = {
    "threads": 1,
    "xnnpack": True,
    "min_runs": 3,
    "min_seconds": 0,
    "warmup_runs": 2,
    "warmup_seconds": 0,
    "max_seconds": 10,
}
ENDLESS = REQUEST | {"min_seconds": 1000, "max_seconds": 1000}


@contextlib.contextmanager
def once_running(look, act):
    """Calls `act` with the process id of the program that a target runs, once it does.

    Args:
        look: A function that returns the text of the file `pid` on the target, empty
            as long as there is none.
        act: A function of an integer.
    """
    ended, acted = threading.Event(), []

    def wait():
        while not ended.wait(0.02):
            if text := look().strip():
                act(int(text))
                acted.append(text)
                return

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    assert acted
