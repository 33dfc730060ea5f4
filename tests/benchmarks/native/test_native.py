"""The runner in C, held against LiteRT's Python interpreter; how it is compiled."""

import base64
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys

import numpy as np
import pytest
import settled_files
from device_servers import require

from keras_effnet.benchmarks.native import building
from keras_effnet.benchmarks.native import model_io
from keras_effnet.benchmarks.native import sysroot
from keras_effnet.benchmarks.targets.host import Host
from keras_effnet.benchmarks.workers import latency
from keras_effnet.errors import InputError

MACHINE = platform.machine()
OTHER = next(name for name in building.MACHINES if name != MACHINE)
ONCE = ["--min-runs", "1", "--min-seconds", "0"]
ONCE += ["--warmup-runs", "0", "--warmup-seconds", "0"]
REQUEST = {
    "threads": 1,
    "xnnpack": True,
    "min_runs": 1,
    "min_seconds": 0,
    "warmup_runs": 0,
    "warmup_seconds": 0,
    "max_seconds": 60,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs the runner on a file; what it prints, and the bytes of its outputs."""
    require(shutil.which("cc") or shutil.which("gcc"), "a C compiler")
    program = building.runner(MACHINE)
    folder = tmp_path_factory.mktemp("native")

    def go(model, *options, data=None, library=None, output=None):
        source, target = folder / "input", output or folder / "output"
        source.write_bytes(model_io.random_input_bytes(model) if data is None else data)
        files = [library or sysroot.runtime(MACHINE), model]
        files += ["--input", source, "--output", target]
        done = subprocess.run(
            [program, *files, *options],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0
        (line,) = done.stdout.splitlines()
        found = json.loads(line)
        return found, None if "error" in found else target.read_bytes()

    return go


@pytest.fixture(scope="module")
def settled(tmp_path_factory):
    return settled_files.write(tmp_path_factory.mktemp("settled"))


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Small files of forms that `export` does not write."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("others")

    def convert(name, function, *specs, signature=True):
        module = tf.Module()
        module.call = tf.function(function, input_signature=specs)
        traced = module.call.get_concrete_function()
        if signature:
            saved = folder / name
            tf.saved_model.save(module, str(saved), signatures=traced)
            converter = tf.lite.TFLiteConverter.from_saved_model(str(saved))
        else:
            converter = tf.lite.TFLiteConverter.from_concrete_functions(
                [traced], module
            )
        path = folder / f"{name}.tflite"
        path.write_bytes(converter.convert())
        return path

    def two(zebra, ant):
        return {"sum": zebra[:, :3] + 2.0 * ant, "product": zebra[:, 3:] * 3.0}

    def double(x):
        return x * 2.0

    wide = tf.TensorSpec((1, 7), name="zebra")
    narrow = tf.TensorSpec((1, 3), name="ant")
    return {
        "several": convert("several", two, wide, narrow),
        "no_signature": convert(
            "no_signature", double, tf.TensorSpec((1, 5)), signature=False
        ),
        "open_batch": convert("open_batch", double, tf.TensorSpec((None, 5))),
        "open_size": convert("open_size", double, tf.TensorSpec((1, None))),
        "large": convert("large", double, tf.TensorSpec((1, 512, 512, 8))),
    }


def by_host(path, **request):
    return base64.b64decode(
        Host().measure(str(path), REQUEST | request)["output_base64"]
    )


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("xnnpack", [True, False])
def test_the_outputs_are_those_of_the_interpreter_to_the_bit(
    settled, run, precision, xnnpack
):
    path = settled[precision]
    options = [] if xnnpack else ["--no-xnnpack"]
    _, output = run(path, *ONCE, *options)
    assert output == by_host(path, xnnpack=xnnpack)
    assert len(set(output)) > 2


def test_without_xnnpack_other_kernels_run(settled, run):
    path = settled["float32"]
    with_delegate, without = run(path, *ONCE)[1], run(path, *ONCE, "--no-xnnpack")[1]
    assert with_delegate != without
    np.testing.assert_allclose(
        np.frombuffer(with_delegate, "float32"),
        np.frombuffer(without, "float32"),
        atol=1e-5,
    )


def test_two_threads_compute_the_same(settled, run):
    path = settled["int8"]
    assert run(path, *ONCE, "--threads", "2")[1] == run(path, *ONCE)[1]


@pytest.mark.parametrize("name", ["several", "no_signature", "open_batch"])
def test_tensors_go_in_the_order_of_the_interpreter(others, run, name):
    assert run(others[name], *ONCE)[1] == by_host(others[name])


@pytest.mark.parametrize("name", ["float32", "int8"])
def test_each_input_gets_its_output(settled, run, name):
    path = settled[name]
    dtype = np.dtype(name)
    rows = np.random.default_rng(1).integers(-128, 128, (3, 32, 32, 3)).astype(dtype)
    found, output = run(path, "--each", data=rows.tobytes())
    assert found == {"count": 3}
    expected = Host().answers(path, rows)
    assert output == expected.tobytes()
    assert not np.array_equal(expected[0], expected[1])


def test_runs_and_seconds_are_as_asked_for(settled, run):
    path = settled["int8"]
    counts = ["--min-runs", "4", "--warmup-runs", "2"]
    none = ["--min-seconds", "0", "--warmup-seconds", "0"]
    found, _ = run(path, *counts, *none)
    assert (len(found["warmup_ns"]), len(found["latency_ns"])) == (2, 4)
    assert min([found["init_ns"], found["first_ns"], *found["latency_ns"]]) > 0

    found, _ = run(path, *ONCE, "--min-seconds", "0.05", "--warmup-seconds", "0.05")
    for name in ("warmup_ns", "latency_ns"):
        assert len(found[name]) > 1
        assert sum(found[name]) < 0.05e9 + max(found[name])

    found, _ = run(path, *none, "--min-runs", "100000000", "--max-seconds", "0.05")
    assert 0 < len(found["latency_ns"]) < 100_000_000


def test_memory_is_what_the_file_added(others, settled, run):
    small, large = run(settled["int8"], *ONCE)[0], run(others["large"], *ONCE)[0]
    for found in (small["memory"], large["memory"]):
        assert 0 < found["init_footprint_kb"] <= found["overall_footprint_kb"]
        assert found["overall_footprint_kb"] <= found["peak_footprint_kb"]
        assert found["peak_footprint_kb"] < found["peak_mem_mb"] * 1024
    # An input and an output of 512 x 512 x 8 floats.
    assert large["memory"]["peak_footprint_kb"] > 2 * 8 * 1024
    assert small["memory"]["peak_footprint_kb"] < 8 * 1024


def test_it_runs_on_the_cores_that_are_named(settled, run):
    core = max(os.sched_getaffinity(0))
    assert run(settled["int8"], *ONCE)[0]["cores"] == sorted(os.sched_getaffinity(0))
    assert run(settled["int8"], *ONCE, "--cores", str(core))[0]["cores"] == [core]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--threads", "0"], "--threads must be a whole number from 1 up. Received: 0"),
        (["--min-runs", "2.5"], "--min-runs must be a whole number"),
        (["--max-seconds", "nan"], "--max-seconds must be a number"),
        (["--cores", "1023"], "may not run on these cores. Received: 1023"),
        (["--cores", "0-1"], "--cores takes numbers with commas"),
        (["--bogus"], "Unknown option. Received: --bogus"),
        (["--min-runs"], "Unknown option. Received: --min-runs"),
        (["more"], "Needed: LIBLITERT MODEL --input FILE --output FILE"),
    ],
)
def test_bad_options_are_named_in_json(settled, run, options, said):
    assert said in run(settled["int8"], *options)[0]["error"]


def test_bad_files_are_named_in_json(settled, others, run, tmp_path):
    path = settled["int8"]
    data = model_io.random_input_bytes(path)
    damaged = tmp_path / 'a "name".tflite'
    damaged.write_bytes(path.read_bytes()[:500])
    for broken in (damaged, tmp_path / "absent.tflite", tmp_path):
        found, _ = run(broken, *ONCE, data=data)
        assert "can't be read, or is no model (LiteRt" in found["error"]

    found, _ = run(path, *ONCE, data=data[:-1])
    assert f"must hold {len(data)} bytes. Received: {len(data) - 1}" in found["error"]
    found, _ = run(path, "--each", data=data[:-1])
    assert f"a multiple of {len(data)} bytes" in found["error"]
    found, _ = run(others["open_size"], *ONCE, data=data)
    assert "only the batch may be" in found["error"]
    found, _ = run(path, *ONCE, library=tmp_path / "libLiteRt.so")
    assert "library can't be opened" in found["error"]
    found, _ = run(path, *ONCE, output=tmp_path / "no" / 'such "folder"')
    assert found["error"].endswith('such "folder": No such file or directory')
    found, _ = run(path, *ONCE, output=pathlib.Path("/dev/full"))
    assert found["error"] == "The output can't be written: No space left on device"


def test_a_library_of_another_version_is_refused(settled, run):
    """Any library will do that is none of LiteRT's."""
    found, _ = run(settled["int8"], *ONCE, library="libm.so.6")
    assert "of another version: it has no LiteRtCreateEnvironment" in found["error"]


def test_the_tensors_are_described_as_the_host_describes_them(settled, others):
    for path in (*settled.values(), others["several"], others["open_batch"]):
        answer = Host().measure(str(path), REQUEST)
        expected = {key: answer[key] for key in ("inputs", "outputs")}
        assert model_io.described(path) == expected


def test_the_input_is_that_of_the_host(others):
    rng = np.random.default_rng(0)
    described = model_io.described(others["several"])["inputs"]
    assert sorted(tensor["shape"] for tensor in described) == [[1, 3], [1, 7]]
    expected = [latency.random_input(tensor, rng) for tensor in described]
    found = model_io.random_input_bytes(others["several"])
    assert found == b"".join(values.tobytes() for values in expected)


def test_files_that_cannot_be_described(others, tmp_path, capfd):
    with pytest.raises(InputError, match=r"no such \.tflite file"):
        model_io.described(tmp_path / "absent.tflite")
    with pytest.raises(InputError, match=r"dynamic shape .* Received: .*open_size"):
        model_io.random_input_bytes(others["open_size"])
    capfd.readouterr()


def test_it_compiles_without_a_warning(tmp_path):
    """For both processors; the plugin likewise."""
    sources = [building._FOLDER / name for name in building.RUNNER]
    for machine in building.MACHINES:
        try:
            command = building.compiler(machine)
        except InputError as error:
            require(False, f"a compiler for {machine} ({error})")
        strict = [command, *building._FLAGS, "-Werror", "-Wconversion"]
        strict.append("-Wno-sign-conversion")
        subprocess.run([*strict, "-o", tmp_path / "runner", *sources], check=True)
    plugin = [*strict[1:], "-DPLUGIN_API=1", "-shared", "-fPIC"]
    command = [building.compiler(MACHINE), *plugin, "-o", tmp_path / "plugin.so"]
    subprocess.run([*command, building._FOLDER / "icount.c"], check=True)


def test_it_is_compiled_once(run, monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    first = building.runner(MACHINE)
    assert first.is_relative_to(tmp_path)
    at = first.stat().st_mtime_ns
    assert building.runner(MACHINE) == first
    assert first.stat().st_mtime_ns == at
    monkeypatch.setattr(building, "_FLAGS", (*building._FLAGS, "-g0"))
    second = building.runner(MACHINE)
    assert second != first
    assert first.read_bytes()[:4] == second.read_bytes()[:4] == b"\x7fELF"


def test_two_processes_compile_at_once(run, tmp_path):
    script = (
        "import platform; from keras_effnet.benchmarks.native import building; "
        "print(building.runner(platform.machine()))"
    )
    environment = os.environ | {"KERAS_HOME": str(tmp_path)}
    children = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(2)
    ]
    first, second = (child.communicate()[0].strip() for child in children)
    assert [child.returncode for child in children] == [0, 0]
    assert first == second
    folder = pathlib.Path(first).parent
    assert [path.name for path in folder.iterdir()] == [pathlib.Path(first).name]
    told = subprocess.run([first], capture_output=True, text=True).stdout
    assert "Needed: LIBLITERT MODEL" in told


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        (MACHINE, "`gcc` is not installed; install Debian's packages gcc and libc6"),
        (OTHER, f"`{OTHER}-linux-gnu-gcc` is not installed; .* gcc-.*-linux-gnu and"),
        ("riscv64", "must be one of x86_64, aarch64. Received: machine='riscv64'"),
    ],
)
def test_without_a_compiler(monkeypatch, tmp_path, machine, said):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=said):
        building.runner(machine)


def test_a_compiler_that_fails(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    compiler = tmp_path / "cc"
    compiler.write_text(
        "#!/bin/sh\necho 'a.c:1:10: fatal error: dlfcn.h: No such file' >&2\nexit 1\n"
    )
    compiler.chmod(0o755)
    with pytest.raises(InputError, match=r"fatal error: dlfcn.h.*libc6-dev are needed"):
        building.runner(MACHINE)
    assert list(building.cache_folder().iterdir()) == []


def test_the_libraries_run_the_runner_in_one_folder(run, settled, tmp_path):
    """As on a device without a C library of that name."""
    files = {"lrbench": building.runner(MACHINE), **sysroot.libraries(MACHINE)}
    for name, path in files.items():
        shutil.copy(path, tmp_path / name)
    path = settled["int8"]
    (tmp_path / "input").write_bytes(model_io.random_input_bytes(path))
    loader = f"./{sysroot.LOADERS[MACHINE]}"
    command = [loader, "--library-path", ".", "./lrbench", "./libLiteRt.so", str(path)]
    options = ["--input", "input", "--output", "output", *ONCE]
    subprocess.run([*command, *options], cwd=tmp_path, env={}, check=True)
    assert (tmp_path / "output").read_bytes() == by_host(path)
    listed = subprocess.run(
        [loader, "--library-path", ".", "--list", "./libLiteRt.so"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    ).stdout
    assert "=> /" not in listed


def test_a_missing_library(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    compiler = tmp_path / f"{OTHER}-linux-gnu-gcc"
    compiler.write_text("#!/bin/sh\necho ${1#-print-file-name=}\n")
    compiler.chmod(0o755)
    with pytest.raises(InputError, match=r"install Debian's package libc6-.*-cross"):
        sysroot.libraries(OTHER)


def test_without_a_network(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(InputError) as refused:
        sysroot.runtime(OTHER)
    said = str(refused.value)
    assert "\n" not in said
    assert said.startswith(f"pip can't download LiteRT for {OTHER}: ERROR: ")
    assert "Received: 'ai-edge-litert==" in said
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
