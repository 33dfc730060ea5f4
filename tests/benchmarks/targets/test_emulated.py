"""Files on emulated ARM cores: this machine's answers, and counted instructions."""

import base64
import importlib
import shutil
import subprocess

import numpy as np
import peer
import pytest
import settled_files
from device_servers import require

import keras_effnet
from keras_effnet import benchmarks
from keras_effnet.benchmarks.native import building
from keras_effnet.benchmarks.native import counting
from keras_effnet.benchmarks.native import sysroot
from keras_effnet.benchmarks.outputs import difference_from_host
from keras_effnet.benchmarks.targets import TargetLost
from keras_effnet.benchmarks.targets import emulated
from keras_effnet.benchmarks.targets.emulated import Emulated
from keras_effnet.benchmarks.targets.host import Host
from keras_effnet.errors import InputError
from keras_effnet.preprocessing import NORMALIZATIONS

PEERS = "keras_effnet.benchmarks.studies.peers"

REQUEST = {
    "threads": 1,
    "xnnpack": True,
    "min_runs": 50,
    "min_seconds": 1,
    "warmup_runs": 5,
    "warmup_seconds": 0.5,
    "max_seconds": 150,
}
# Two system calls that mark a loop of a known length, and nothing else.
LOOP = """
.global _start
_start:
    mov x8, #141
    mov x0, #77
    mov x1, #1
    svc #0
    mov x2, #1000
1:  subs x2, x2, #1
    b.ne 1b
    mov x8, #141
    mov x0, #77
    mov x1, #2
    svc #0
    mov x8, #93
    mov x0, #0
    svc #0
"""


@pytest.fixture(scope="module")
def settled(tmp_path_factory):
    return settled_files.write(tmp_path_factory.mktemp("settled"))


@pytest.fixture(scope="module")
def cores():
    """The emulated cores by name."""
    require(shutil.which("qemu-aarch64"), "qemu-aarch64")
    try:
        found = {name: Emulated(name) for name in emulated.CORES}
    except InputError as error:
        require(False, f"what emulation needs ({error})")
    yield found
    for core in found.values():
        core.close()


@pytest.fixture(scope="module")
def measured(cores, settled):
    """What each core answers of each file."""
    return {
        (name, precision): core.measure(str(path), REQUEST)
        for name, core in cores.items()
        for precision, path in settled.items()
    }


@pytest.mark.parametrize("name", emulated.CORES)
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_the_outputs_are_those_of_this_machine(measured, settled, name, precision):
    found = difference_from_host(str(settled[precision]), measured[name, precision])
    if precision == "int8":
        assert found["largest_steps"] <= 1
    else:
        assert found["largest_relative_error"] <= 1e-5


def test_the_count_is_the_same_in_another_process(cores, measured, settled):
    for precision, path in settled.items():
        once = measured["cortex-a76", precision]["instructions"]
        with Emulated("cortex-a76") as core:
            again = core.measure(str(path), REQUEST)["instructions"]
        assert abs(again / once - 1) <= 1e-4


def test_the_count_ranks_files_cores_and_kernels(cores, measured, settled):
    counts = {key: answer["instructions"] for key, answer in measured.items()}
    # Eight-bit products four at a time, which the older cores do not have.
    assert counts["cortex-a76", "int8"] < counts["cortex-a76", "float32"]
    assert counts["cortex-a76", "int8"] < counts["cortex-a72", "int8"]
    assert counts["cortex-a76", "int8"] < counts["cortex-a53", "int8"]
    without = REQUEST | {"xnnpack": False}
    slower = cores["cortex-a76"].measure(str(settled["int8"]), without)
    assert counts["cortex-a76", "int8"] < slower["instructions"]


def test_the_count_is_of_every_instruction(cores, tmp_path):
    source, program = tmp_path / "loop.S", tmp_path / "loop"
    source.write_text(LOOP)
    compiler = building.compiler("aarch64")
    options = ["-nostdlib", "-static", "-o", program, source]
    subprocess.run([compiler, *options], check=True)
    qemu = [shutil.which("qemu-aarch64"), "-cpu", "cortex-a76"]
    plugin = counting.plugin([*qemu, program])
    counts = tmp_path / "counts"
    subprocess.run([*qemu, *counting.option(plugin, counts), program], check=True)
    # From after the first svc to the second: x2, the loop, and four more.
    assert counts.read_text() == f"{1 + 2 * 1000 + 4}\n"


def test_the_answer_says_that_it_is_emulated(measured):
    answer = measured["cortex-a72", "int8"]
    host_keys = {"init_ns", "first_ns", "warmup_ns", "latency_ns", "memory"}
    host_keys |= {"operators", "inputs", "outputs", "output_sha256", "output_base64"}
    assert set(answer) == host_keys | {"runtime", "device", "instructions"}
    device = answer["device"]
    assert device["emulated"] is True
    assert (device["cpu"], device["machine"]) == ("Cortex-A72", "aarch64")
    assert device["os"].startswith("Linux, emulated by QEMU ")
    assert set(answer["memory"].values()) == {None}
    assert (len(answer["warmup_ns"]), len(answer["latency_ns"])) == (1, 3)
    assert len(base64.b64decode(answer["output_base64"])) == 5


def test_a_result_has_the_count(cores, settled):
    (result,) = benchmarks.benchmark_many(
        [settled["int8"]], target=cores["cortex-a53"], rounds=1
    )
    assert result.target == "arm:cortex-a53"
    assert result.instructions > 100_000
    assert result.agreement["largest_steps"] <= 1
    assert result.to_dict()["device"]["emulated"] is True


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_answers_are_those_of_this_machine(cores, settled, precision):
    images = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3))
    stored = (images - 128 * (precision == "int8")).astype(precision)
    found = cores["cortex-a53"].answers(str(settled[precision]), stored)
    expected = Host().answers(settled[precision], stored)
    assert (found.shape, found.dtype) == ((3, 5), np.dtype(precision))
    tolerance = 1 if precision == "int8" else 1e-5
    np.testing.assert_allclose(found.astype(float), expected, rtol=0, atol=tolerance)
    assert np.ptp(expected.astype(float), axis=0).max() > 10 * tolerance


@pytest.fixture
def script():
    """benchmarks/studies/peers/arm_instructions.py"""
    return importlib.import_module(f"{PEERS}.arm_instructions")


def test_the_script_counts_both_sides(cores, measured, settled, script, capsys):
    files = {script.OURS: settled["int8"], script.STOCK: settled["float32"]}
    row = script.count(cores["cortex-a76"], files, 0.2)
    ours, theirs = (
        measured["cortex-a76", name]["instructions"] for name in ("int8", "float32")
    )
    assert row["ratio"] == pytest.approx(ours / theirs, rel=1e-4)
    assert row["largest_spread_of_processes"] <= script.LARGEST_SPREAD
    assert [len(counts) for counts in row["instructions"].values()] == [2, 2]
    script.show(row | {"network": "Settled", "normalisation": "none"})
    said = capsys.readouterr().out
    assert ("MISSES 0.2" in said) == (row["ratio"] > 0.2)
    assert "; repeats within" in said


@pytest.mark.slow
@pytest.mark.parametrize("network", ["EfficientNetB0", "EfficientNetV2B0"])
def test_the_script_compares_one_function(script, network):
    """With a normalisation and without one."""
    stock = importlib.import_module(f"{PEERS}._stock")
    model = keras_effnet.build_model(network, input_shape=(32, 32, 3))
    images = peer.images(32, 32)
    peer.randomize(model, images)
    other = stock.counterpart(model, network)
    script.check(model, other, images)
    mean, std = NORMALIZATIONS["imagenet"]
    normalised = ((images - mean) / std).astype("float32")
    bare = script.bare(model, network)
    script.check(bare, script.without_normalisation(other), normalised)
    with pytest.raises(InputError, match="may differ by"):
        script.check(bare, other, normalised)


def test_a_core_that_is_not_known():
    with pytest.raises(InputError) as refused:
        Emulated("cortex-a67")
    assert str(refused.value) == (
        "The emulated cores are cortex-a53, cortex-a72, cortex-a76. Did you mean "
        "'cortex-a76' or 'cortex-a72' or 'cortex-a53'? Received: cpu='cortex-a67'"
    )


def test_threads_are_refused(cores, settled):
    with pytest.raises(InputError, match=r"with one thread.*Received: threads=2"):
        cores["cortex-a76"].measure(str(settled["int8"]), REQUEST | {"threads": 2})


def test_without_qemu(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError) as refused:
        Emulated("cortex-a76")
    assert str(refused.value) == (
        "`qemu-aarch64` is not installed; install Debian's package qemu-user. "
        "Received: cpu='cortex-a76'"
    )


def test_without_a_cross_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    _program(tmp_path / "qemu-aarch64", "exit 0")
    with pytest.raises(InputError, match=r"install Debian's packages gcc.* and libc6"):
        Emulated("cortex-a76")


def test_a_qemu_without_plugins(cores, monkeypatch, tmp_path):
    """As qemu-user-static says it."""
    qemu = _program(
        tmp_path / "qemu-aarch64",
        "echo \"qemu: unknown option 'plugin'\" >&2; exit 1",
    )
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(InputError) as refused:
        Emulated("cortex-a76")
    assert str(refused.value) == (
        "QEMU can't count instructions: qemu: unknown option 'plugin'; Debian's "
        f"package qemu-user can, qemu-user-static can't. Received: '{qemu}'"
    )


def test_a_qemu_of_a_newer_interface(cores, tmp_path):
    """It names what it wants, and gets that."""
    qemu = _program(
        tmp_path / "qemu-aarch64",
        'case "$*" in *icount-1.so*) echo "plugin requires API version 1, but this '
        'QEMU supports only a minimum version of 3" >&2; exit 1;; esac',
    )
    assert counting.plugin([qemu]).name.endswith("icount-3.so")


def test_files_that_cannot_be_run(cores, settled, tmp_path, capfd):
    core = cores["cortex-a76"]
    with pytest.raises(InputError, match="There is no such"):
        core.measure(str(tmp_path / "absent.tflite"), REQUEST)
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(settled["int8"].read_bytes()[:2000])
    with pytest.raises(InputError, match="can't be run"):
        core.measure(str(damaged), REQUEST)
    with pytest.raises(InputError, match=r"on arm:cortex-a76: --input must hold a mul"):
        core.answers(str(settled["int8"]), np.zeros((1, 5, 5, 3), "int8"))
    capfd.readouterr()


def test_a_qemu_that_is_ended(cores, settled, monkeypatch, tmp_path):
    killed = _program(tmp_path / "qemu", "kill -KILL $$")
    core = cores["cortex-a76"]
    monkeypatch.setattr(core, "_qemu", [killed])
    with pytest.raises(TargetLost, match=r"by SIGKILL.*Received: 'arm:cortex-a76'"):
        core.measure(str(settled["int8"]), REQUEST)


def test_a_core_that_has_not_the_instructions(cores, settled, monkeypatch):
    """A Cortex-A53 that is taken for a Cortex-A76: QEMU dies of it."""
    with Emulated("cortex-a53") as core:
        shutil.copy(
            cores["cortex-a76"]._folder / "proc" / "cpuinfo",
            core._folder / "proc" / "cpuinfo",
        )
        with pytest.raises(InputError, match=r"on arm:cortex-a53: qemu: .*signal"):
            core.measure(str(settled["int8"]), REQUEST)


def test_nothing_is_left_behind(cores):
    core = Emulated("cortex-a53")
    folder = core._folder
    assert (folder / sysroot.RUNTIME).is_symlink()
    core.close()
    core.close()
    assert not folder.exists()


def _program(path, script):
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)
