"""Files measured through OpenSSH, on a server of this machine's loopback."""

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time

import numpy as np
import pytest
from device_servers import ENDLESS
from device_servers import REQUEST
from device_servers import Sshd
from device_servers import once_running
from device_servers import require_runner

from keras_effnet import benchmarks
from keras_effnet.benchmarks.targets import TargetLost
from keras_effnet.benchmarks.targets import runners
from keras_effnet.benchmarks.targets.host import Host
from keras_effnet.benchmarks.targets.ssh import Ssh
from keras_effnet.errors import InputError


@pytest.fixture(scope="module")
def sshd():
    require_runner("x86_64")
    with tempfile.TemporaryDirectory() as folder:
        server = Sshd(folder)
        yield server
        server.close()


@pytest.fixture(scope="module")
def here(tiny_files):
    """What this machine measures, by path."""
    return {path: Host().measure(str(path), REQUEST) for path in tiny_files.values()}


@pytest.fixture
def board(sshd, tmp_path):
    """Opens a target whose temporary folder stands in `tmp_path`."""
    opened = []

    def open_target(**options):
        defaults = {
            "options": sshd.options(),
            "python": sys.executable,
            "folder": str(tmp_path),
        }
        opened.append(Ssh(sshd.destination, **defaults | options))
        return opened[-1]

    yield open_target
    for target in opened:
        target.close()


def left(folder):
    return list(folder.glob("keras_effnet-*"))


def looking_in(folder):
    """A function that reads the file `pid` of the target in a folder."""

    def look():
        try:
            return next(folder.glob("keras_effnet-*/pid")).read_text()
        except (StopIteration, OSError):
            return ""

    return look


def runs(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition):
    for _ in range(400):
        if condition():
            return
        time.sleep(0.025)
    raise AssertionError("ten seconds are over")


def refusal(raises, function, *arguments, **options):
    with pytest.raises(raises) as caught:
        function(*arguments, **options)
    (line,) = str(caught.value).splitlines()
    assert "Received: " in line
    return line


# What is measured


@pytest.mark.parametrize("python", [sys.executable, None], ids=["python", "native"])
def test_outputs_are_those_of_this_machine(board, here, tmp_path, python):
    with board(python=python) as target:
        for path, expected in here.items():
            found = target.measure(path, REQUEST)
            for key in ("inputs", "outputs", "output_sha256", "output_base64"):
                assert found[key] == expected[key]
            assert len(found["latency_ns"]) >= 3
            assert min(found["latency_ns"]) > 0
            assert len(found["warmup_ns"]) == 2
            for key in ("cpu", "machine", "cores", "governor"):
                assert found["device"][key] == expected["device"][key]
            assert found["runtime"]["version"] == expected["runtime"]["version"]
    assert not left(tmp_path)


@pytest.mark.parametrize("python", [sys.executable, None], ids=["python", "native"])
def test_answers_are_those_of_this_machine(board, tiny_files, python):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (3, 32, 32, 3))
    with board(python=python) as target:
        for name, inputs in {
            "float32": pixels.astype("float32"),
            "int8": (pixels - 128).astype("int8"),
        }.items():
            found = target.answers(tiny_files[name], inputs)
            expected = Host().answers(tiny_files[name], inputs)
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)


def test_results_tell_the_target(board, sshd, tiny_files):
    with board() as target:
        (result,) = benchmarks.benchmark_many(
            [tiny_files["int8"]],
            target=target,
            rounds=2,
            min_runs=4,
            min_seconds=0,
            warmup_seconds=0,
        )
    assert result.target == f"ssh:{sshd.destination}"
    assert result.agreement["largest_steps"] == 0
    assert result.misc_metrics.num_runs >= 4


def test_files_are_put_there_once(board, tiny_files, tmp_path):
    with board() as target:
        target.measure(tiny_files["int8"], REQUEST)
        (folder,) = left(tmp_path)
        first = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
        copy = tmp_path / "another_name.tflite"
        copy.write_bytes(tiny_files["int8"].read_bytes())
        target.measure(copy, REQUEST)
        assert first == {f.name: f.stat().st_mtime_ns for f in folder.iterdir()}
        copy.write_bytes(tiny_files["float32"].read_bytes())
        target.measure(copy, REQUEST)
        assert len(list(folder.iterdir())) == len(first) + 1


def test_cores_are_pinned(board, tiny_files):
    with board(cores=[0]) as target:
        device = target.measure(tiny_files["int8"], REQUEST)["device"]
    assert device["cores"] == 1
    assert device["pinned"] == [0]


@pytest.mark.parametrize("cores", [[4096], []])
def test_cores_that_are_not_there(board, tmp_path, cores):
    assert "`cores` must be of those" in refusal(InputError, board, cores=cores)
    assert not left(tmp_path)


# What remains


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_when_the_command_is_ended(sshd, tiny_files, tmp_path, number):
    code = f"""
        import signal, sys
        from keras_effnet.benchmarks.targets.ssh import Ssh
        # A shell's background jobs inherit that it is ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with Ssh({sshd.destination!r}, options={sshd.options()!r},
                 python=sys.executable, folder={str(tmp_path)!r}) as target:
            target.measure({str(tiny_files["int8"])!r}, {ENDLESS!r})
    """
    command = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        start_new_session=True,  # to send it the signal that a terminal would send
        env=os.environ | {"TMPDIR": str(sshd.folder)},
        stderr=subprocess.PIPE,
    )
    look = looking_in(tmp_path)
    wait_until(look)
    pid = int(look())
    os.killpg(command.pid, number)
    assert command.wait(30) == -number
    command.stderr.close()
    wait_until(lambda: not runs(pid) and not left(tmp_path))


# What goes wrong


def test_connection_torn_in_mid_run(board, sshd, tiny_files, tmp_path):
    target = board()
    look, pids = looking_in(tmp_path), []

    def tear(pid):
        pids.append(pid)
        sshd.hang_up()

    with once_running(look, tear):
        line = refusal(TargetLost, target.measure, tiny_files["int8"], ENDLESS)
    assert "went away" in line
    assert sshd.destination in line
    wait_until(lambda: not runs(*pids) and not left(tmp_path))
    refusal(TargetLost, target.measure, tiny_files["int8"], REQUEST)


def test_runner_that_crashes(board, tiny_files, tmp_path):
    target = board()
    with once_running(looking_in(tmp_path), lambda pid: os.kill(pid, signal.SIGSEGV)):
        line = refusal(InputError, target.measure, tiny_files["int8"], ENDLESS)
    assert "crashed" in line
    assert "SIGSEGV" in line
    target.measure(tiny_files["int8"], REQUEST)


def test_runner_that_hangs(board, tiny_files, tmp_path, monkeypatch):
    monkeypatch.setattr(runners, "_GRACE_SECONDS", 1)
    target, pids = board(), []

    def stop(pid):
        pids.append(pid)
        os.kill(pid, signal.SIGSTOP)

    request = ENDLESS | {"max_seconds": 0.5}
    with once_running(looking_in(tmp_path), stop):
        line = refusal(InputError, target.measure, tiny_files["int8"], request)
    assert "did not finish within 3 seconds" in line
    wait_until(lambda: not runs(*pids))


def test_file_that_is_no_model(board, tmp_path):
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"\0\0\0\0TFL3" + bytes(100))
    for python in (sys.executable, None):
        with board(python=python) as target:
            line = refusal(InputError, target.measure, broken, REQUEST)
            assert str(broken) in line


def test_no_space(board, sshd, tiny_files):
    target = board(folder=str(sshd.small))
    big = sshd.folder / "big.tflite"
    big.write_bytes(tiny_files["float32"].read_bytes() * 2)
    line = refusal(InputError, target.measure, big, REQUEST)
    assert "No space left on device" in line
    assert "free 1.5 MiB" in line
    target.measure(tiny_files["int8"], REQUEST)  # the half of it is not in the way


@pytest.mark.parametrize(
    ("folder", "reason"),
    [("/proc", "Permission denied"), ("/nowhere", "No such file or directory")],
)
def test_folder_that_takes_no_files(board, folder, reason):
    line = refusal(InputError, board, folder=folder)
    assert "No folder can be made" in line
    assert folder in line


def test_key_refused(board, sshd):
    line = refusal(InputError, board, options=sshd.options(key="stranger"))
    assert "Permission denied" in line
    assert "ssh-copy-id" in line


def test_unknown_host(board, sshd):
    line = refusal(InputError, board, options=sshd.options(known="empty"))
    assert "Host key verification failed" in line
    assert "confirm the host's key" in line


def test_port_closed(sshd):
    line = refusal(InputError, Ssh, "127.0.0.1:9", options=sshd.options())
    assert "Connection refused" in line
    assert "127.0.0.1:9" in line


def test_name_that_nobody_has(sshd):
    line = refusal(InputError, Ssh, "board.invalid", options=sshd.options())
    assert "Could not resolve hostname" in line


@pytest.mark.parametrize("destination", ["", "-oProxyCommand=x", "a b", "user@:22"])
def test_destination_that_is_none(destination):
    assert "user@host" in refusal(InputError, Ssh, destination)


def test_no_ssh(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "not installed" in refusal(InputError, Ssh, "board")


def test_processor_that_is_not_supported(tmp_path):
    with tempfile.TemporaryDirectory() as folder:
        server = Sshd(folder, personality="i686")
        try:
            line = refusal(
                InputError,
                Ssh,
                server.destination,
                options=server.options(),
                python="python-that-is-not-there",
                folder=str(tmp_path),
            )
        finally:
            server.close()
    assert "i686" in line
    assert "aarch64" in line
    assert not left(tmp_path)
