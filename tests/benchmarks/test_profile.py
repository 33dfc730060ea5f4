"""Where the time of a run goes, and the cache of packed weights."""

import collections
import json
import shutil
import types

import pytest
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.interpreter import OpResolverType
from device_servers import require

from keras_effnet.benchmarks import benchmark_many
from keras_effnet.benchmarks import schema
from keras_effnet.benchmarks.native import model_io
from keras_effnet.benchmarks.outputs import difference_from_host
from keras_effnet.benchmarks.targets import runners
from keras_effnet.benchmarks.targets.host import Host
from keras_effnet.errors import InputError
from keras_effnet.tflite import layer_name

FEW = {"rounds": 1, "min_runs": 5, "min_seconds": 0, "warmup_seconds": 0}
REQUEST = {
    "threads": 1,
    "min_runs": 5,
    "min_seconds": 0,
    "warmup_runs": 1,
    "warmup_seconds": 0,
    "max_seconds": 60,
}


@pytest.fixture(autouse=True)
def _compiler():
    require(shutil.which("cc") or shutil.which("gcc"), "a C compiler")


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_operators_are_those_of_the_file(tiny_files, precision):
    path = tiny_files[precision]
    rows = Host().profile(path, REQUEST | {"xnnpack": False})
    interpreter = Interpreter(
        str(path),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    operators = [op["op_name"] for op in interpreter._get_ops_details()]
    assert {row["operator"]: row["count"] for row in rows} == dict(
        collections.Counter(operators)
    )


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_delegated_operators_are_told_one_by_one(tiny_files, precision):
    rows = Host().profile(tiny_files[precision], REQUEST | {"xnnpack": True})
    names = " ".join(row["operator"] for row in rows)
    assert "DWConv" in names
    assert "elegate" not in names
    assert rows == sorted(rows, key=lambda row: -row["ms"])
    assert rows[0]["ms"] > 0
    assert all(row["count"] >= 1 for row in rows)


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("xnnpack", [False, True])
def test_layers_are_those_of_the_sheet(tiny_files, precision, xnnpack):
    rows = Host().profile(tiny_files[precision], REQUEST | {"xnnpack": xnnpack})
    found = schema.layer_times(rows)
    times = list(found.values())
    assert times == sorted(times, reverse=True)
    assert sum(row["ms"] for row in rows) >= sum(times) > 0
    sheet = json.loads(tiny_files["int8"].with_suffix(".json").read_text())
    kernels = {
        layer_name(row["name"])
        for row in sheet["layer_errors"]
        if row["operator"].endswith(("CONV_2D", "FULLY_CONNECTED"))
    }
    assert set(found) == kernels


def test_layers_of_other_operators_are_not_told(tiny_files):
    names = ["Convolution (NHWC, F32) IGEMM", "Softmax (NC, F32)"]
    assert model_io.layers(tiny_files["float32"], names) == [None, None]


def test_the_command(command, tiny_files, tmp_path):
    output = tmp_path / "result.json"
    code, out, _ = command(
        "benchmark", tiny_files["int8"], "--profile", "--runs", 5, "--output", output
    )
    assert code == 0
    (result,) = json.loads(output.read_text())
    longest = result["profile"][0]["operator"]
    assert f"{longest} " in out
    layer = next(iter(schema.layer_times(result["profile"])))
    assert f"Of its layers the longest: {layer} " in out
    page = tmp_path / "page.html"
    code, _, errors = command("report", output, "--output", page)
    assert code == 0, errors
    text = page.read_text()
    assert "Where the time goes" in text
    assert longest.partition(" (")[0] in text
    assert f"<td>{layer.replace('_', '_<wbr>')}</td>" in text
    code, _, errors = command(
        "benchmark", tiny_files["int8"], "--profile", "--target", "arm:cortex-a53"
    )
    assert (code, len(errors)) == (1, 1)
    assert "--profile is of host, adb and ssh. Received: --target arm" in errors[0]


def test_weight_cache(tiny_files, monkeypatch):
    path = str(tiny_files["float32"])
    kept, run = [], runners.NativeRunner._run

    def spied(self, path, request, more):
        found = run(self, path, request, more)
        (cache,) = [option for option in more if option.endswith(".cache")]
        kept.append(self._shell.pull(cache))
        return found

    monkeypatch.setattr(runners.NativeRunner, "_run", spied)
    (result,) = benchmark_many([path], weight_cache=True, **FEW)
    assert result.options["weight_cache"]
    first, second = kept  # nothing is packed once more
    assert first == second
    assert len(first) > 1000
    cached = Host().measure(path, REQUEST | {"xnnpack": True, "weight_cache": True})
    assert difference_from_host(path, cached)["largest_relative_error"] < 1e-5


def test_weight_cache_elsewhere(tiny_files):
    options = FEW | {"weight_cache": True}
    with pytest.raises(InputError, match=r"XNNPACK's, on this machine. Received"):
        benchmark_many([tiny_files["int8"]], xnnpack=False, **options)
    target = types.SimpleNamespace(name="arm:cortex-a53", most_rounds=1)
    with pytest.raises(InputError, match=r"Received: target='arm:cortex-a53'"):
        benchmark_many([tiny_files["int8"]], target=target, **options)


def test_weight_cache_is_refused_before_a_target_is_looked_for(
    command, tiny_files, monkeypatch, tmp_path
):
    monkeypatch.setenv("PATH", str(tmp_path))  # without QEMU
    code, _, errors = command(
        "benchmark", tiny_files["int8"], "--weight-cache", "--target", "arm:cortex-a53"
    )
    assert (code, len(errors)) == (1, 1)
    assert "XNNPACK's, on this machine. Received: target='arm:cor" in errors[0]


def test_processor_that_is_not_supported(tiny_files, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(InputError, match=r"x86_64 and aarch64. Received: 'riscv64'"):
        Host().profile(tiny_files["int8"], REQUEST | {"xnnpack": True})
