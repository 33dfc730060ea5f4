"""Files measured through adb, on Android's own adbd in a namespace of this machine."""

import os
import subprocess
import sys
import tempfile
import textwrap
import time

import numpy as np
import pytest
from android_devices import Devices
from device_servers import ENDLESS
from device_servers import REQUEST
from device_servers import once_running
from device_servers import require_runner

from keras_effnet import benchmarks
from keras_effnet.benchmarks.targets import TargetLost
from keras_effnet.benchmarks.targets import runners
from keras_effnet.benchmarks.targets.adb import Adb
from keras_effnet.benchmarks.targets.host import Host
from keras_effnet.errors import InputError


@pytest.fixture(scope="module")
def all_devices():
    """Three: a phone of this machine's processor, an old phone, a bare board."""
    require_runner("x86_64")
    with tempfile.TemporaryDirectory() as folder:
        found = Devices(
            folder, [("x86_64", True), ("armeabi-v7a", False), ("x86_64", False)]
        )
        yield found
        found.close()


@pytest.fixture
def connect(all_devices, monkeypatch):
    """Connects devices by their numbers, and leaves nothing connected."""
    monkeypatch.setenv("ADB_SERVER_SOCKET", all_devices.server)
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)

    def connect_devices(*numbers):
        for number in numbers:
            all_devices.adb("connect", all_devices.serials[number])
        return [all_devices.serials[number] for number in numbers]

    yield connect_devices
    all_devices.adb("disconnect")


@pytest.fixture
def phone(all_devices, connect):
    connect(0)
    return all_devices


@pytest.fixture
def stub(monkeypatch, tmp_path):
    """Puts an `adb` that lists one device in a state that can't be brought about."""

    def put(state):
        script = tmp_path / "adb"
        script.write_text(f"#!/bin/sh\nprintf 'List of devices attached\\n{state}\\n'")
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    return put


def refusal(raises, function, *arguments, **options):
    with pytest.raises(raises) as caught:
        function(*arguments, **options)
    (line,) = str(caught.value).splitlines()
    assert "Received: " in line
    return line


def wait_until(condition):
    for _ in range(100):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("ten seconds are over")


# What is measured


def test_round_trip(phone, tiny_files):
    """The outputs are those of this machine, to the bit: it is the same processor."""
    with Adb(cores=[0]) as target:
        assert target.name == f"adb:{phone.serials[0]}"
        for path in tiny_files.values():
            found = target.measure(path, REQUEST)
            expected = Host().measure(str(path), REQUEST)
            for key in ("inputs", "outputs", "output_sha256", "output_base64"):
                assert found[key] == expected[key]
            assert len(found["latency_ns"]) >= 3
            assert min(found["latency_ns"]) > 0
        before = phone.adb("-s", phone.serials[0], "shell", "ls -l /data/local/tmp/*")
        target.measure(path, REQUEST)
        after = phone.adb("-s", phone.serials[0], "shell", "ls -l /data/local/tmp/*")
        assert _without_outputs(before) == _without_outputs(after)
    assert not phone.left()
    device = found["device"]
    assert device["machine"] == "x86_64"
    assert device["os"].startswith("Android 15, Linux ")
    assert device["product"] == "Example Phone 1"
    assert device["cores"] == 1
    assert device["pinned"] == [0]
    assert set(found["memory"]) == set(expected["memory"])
    assert all(value > 0 for value in found["memory"].values())
    for moment in ("before", "after"):
        assert device["battery"][moment] == {
            "level_percent": 85,
            "temperature_c": 29.3,
            "plugged": True,
        }
        assert device["thermal"][moment] == {
            "status": 1,
            "temperatures_c": {"skin": 36.4, "CPU0": 41.2},
        }


def _without_outputs(listing):
    return [line for line in listing.splitlines() if not line.endswith("outputs")]


def test_answers_are_those_of_this_machine(phone, tiny_files):
    rng = np.random.default_rng(0)
    inputs = rng.integers(-128, 127, (3, 32, 32, 3)).astype("int8")
    with Adb() as target:
        found = target.answers(tiny_files["int8"], inputs)
    expected = Host().answers(tiny_files["int8"], inputs)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_device_without_a_battery(all_devices, connect, tiny_files):
    (serial,) = connect(2)
    with Adb(serial) as target:
        (result,) = benchmarks.benchmark_many(
            [tiny_files["int8"]], target=target, rounds=2, min_runs=4, min_seconds=0
        )
    assert result.target == f"adb:{serial}"
    assert result.device["battery"] is None
    assert result.agreement["largest_steps"] == 0


@pytest.mark.slow
def test_phone_of_another_processor(tiny_files, monkeypatch):
    """An emulated Cortex-A76 runs the runner and the libraries of its own."""
    require_runner("aarch64")
    with tempfile.TemporaryDirectory() as folder:
        devices = Devices(folder, [("arm64-v8a", True)], emulated=True)
        try:
            monkeypatch.setenv("ADB_SERVER_SOCKET", devices.server)
            devices.adb("connect", devices.serials[0])
            with Adb() as target:
                results = benchmarks.benchmark_many(
                    tiny_files.values(), target=target, rounds=1, min_runs=2
                )
                inputs = np.zeros((2, 32, 32, 3), "int8")
                found = target.answers(tiny_files["int8"], inputs)
            assert not devices.left()
        finally:
            devices.close()
    agreement = dict(zip(tiny_files, (r.agreement for r in results), strict=True))
    assert agreement["int8"]["largest_steps"] <= 1
    assert agreement["float32"]["largest_relative_error"] <= 1e-5
    expected = Host().answers(tiny_files["int8"], inputs)
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_nothing_is_left_when_the_command_is_killed(phone, tiny_files):
    code = f"""
        from keras_effnet.benchmarks.targets.adb import Adb
        with Adb() as target:
            target.measure({str(tiny_files["int8"])!r}, {ENDLESS!r})
    """
    command = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
    wait_until(phone.look)
    pid = phone.look().strip()
    command.kill()
    command.wait()
    wait_until(lambda: not phone.left())
    alive = f"kill -0 {pid} && echo yes || echo no"
    shell = ("-s", phone.serials[0], "shell")
    wait_until(lambda: phone.adb(*shell, alive).strip() == "no")


# Which device


def test_no_device(connect):
    assert "has no device" in refusal(InputError, Adb)
    assert "it has none" in refusal(InputError, Adb, "R58M")


def test_several_devices(connect, monkeypatch):
    first, second = connect(0, 2)
    line = refusal(InputError, Adb)
    assert f"several devices: {first}, {second}" in line
    assert f"adb:{first}" in line
    assert f"it has {first}, {second}" in refusal(InputError, Adb, "R58M")
    monkeypatch.setenv("ANDROID_SERIAL", second)
    with Adb() as target:
        assert target.name == f"adb:{second}"


def test_abi_that_is_not_supported(all_devices, connect):
    connect(1)
    line = refusal(InputError, Adb)
    assert "'armeabi-v7a'" in line
    assert "arm64-v8a and x86_64" in line
    assert not all_devices.left(1)


@pytest.mark.parametrize(
    ("state", "told", "way"),
    [
        ("R58M\\tunauthorized", "R58M is unauthorized", "device's screen"),
        ("R58M\\toffline", "R58M is offline", "reconnect"),
        ("R58M\\tno permissions; see [link]", "R58M is no permissions", "udev"),
        ("R58M\\tsideload", "R58M is sideload", "wait"),
    ],
)
def test_device_that_is_not_ready(stub, state, told, way):
    stub(state)
    for serial in (None, "R58M"):
        line = refusal(InputError, Adb, serial)
        assert told in line
        assert way in line


def test_no_adb(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "not installed" in refusal(InputError, Adb)


# What goes wrong


def test_device_killed_in_mid_run(tiny_files, monkeypatch):
    with tempfile.TemporaryDirectory() as folder:
        devices = Devices(folder, [("x86_64", True)])
        try:
            monkeypatch.setenv("ADB_SERVER_SOCKET", devices.server)
            devices.adb("connect", devices.serials[0])
            target = Adb()
            with once_running(devices.look, lambda pid: devices.signal("KILL")):
                line = refusal(TargetLost, target.measure, tiny_files["int8"], ENDLESS)
            assert "went away" in line
            assert devices.serials[0] in line
            refusal(TargetLost, target.measure, tiny_files["int8"], REQUEST)
            target.close()
            # The device itself ends the program and removes the folder.
            wait_until(lambda: not devices.remains())
            line = refusal(InputError, Adb, devices.serials[0])
            assert "is offline" in line
        finally:
            devices.close()


def test_runner_that_crashes(phone, tiny_files):
    with Adb() as target:

        def crash(pid):
            phone.adb("-s", phone.serials[0], "shell", f"kill -SEGV {pid}")

        with once_running(phone.look, crash):
            line = refusal(InputError, target.measure, tiny_files["int8"], ENDLESS)
        assert "crashed" in line
        assert "SIGSEGV" in line
        target.measure(tiny_files["int8"], REQUEST)
    assert not phone.left()


def test_runner_that_hangs(phone, tiny_files, monkeypatch):
    monkeypatch.setattr(runners, "_GRACE_SECONDS", 1)
    with Adb() as target:

        def stop(pid):
            phone.adb("-s", phone.serials[0], "shell", f"kill -STOP {pid}")

        request = ENDLESS | {"max_seconds": 0.5}
        with once_running(phone.look, stop):
            line = refusal(InputError, target.measure, tiny_files["int8"], request)
        assert "did not finish within 3 seconds" in line
    assert not phone.left()


def test_no_space(phone):
    line = refusal(InputError, Adb, folder="/data/local/small")
    assert "No space left on device" in line
    assert "another place" in line
    assert not phone.left(folder="/data/local/small")


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("/data/local/readonly", "Read-only file system"),
        ("/nowhere", "No such file or directory"),
    ],
)
def test_folder_that_takes_no_files(phone, folder, reason):
    line = refusal(InputError, Adb, folder=folder)
    assert "No folder can be made" in line
    assert reason in line


def test_file_that_is_no_model(phone, tmp_path):
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"\0\0\0\0TFL3" + bytes(100))
    with Adb() as target:
        assert str(broken) in refusal(InputError, target.measure, broken, REQUEST)


def test_cores_that_are_not_there(phone):
    line = refusal(InputError, Adb, cores=[4096])
    assert "`cores` must be of those" in line
    assert not phone.left()
