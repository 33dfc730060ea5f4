"""Headless Chromium, which opens a page that then works by itself."""

import contextlib
import os
import shutil
import signal
import subprocess

from device_servers import require

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Computes WebGPU on the processor.
SWIFTSHADER = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader")


class Chromium:
    """One browser process with its children.

    Args:
        url: The page that it opens.
        profile: A folder of its own.
        flags: Further arguments.
    """

    def __init__(self, url, profile, flags=()):
        program = shutil.which("chromium")
        require(program, "chromium")
        self._process = subprocess.Popen(
            [program, *_FLAGS, *flags, f"--user-data-dir={profile}", url],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def close(self, kind=signal.SIGTERM):
        """Asks it to end or, by SIGKILL, ends all of it at once."""
        if self._process.poll() is None:
            if kind == signal.SIGKILL:
                os.killpg(self._process.pid, kind)
            else:
                self._process.send_signal(kind)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@contextlib.contextmanager
def opened(url, profile, flags=()):
    """A page that is open for the time of a block."""
    browser = Chromium(url, profile, flags)
    try:
        yield browser
    finally:
        browser.close()
