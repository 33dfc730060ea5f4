"""What `keras_effnet.benchmarks` reports, held against the raw times and LiteRT."""

import base64
import collections
import dataclasses
import datetime
import gc
import hashlib
import importlib.util
import json
import pathlib
import runpy
import statistics
import subprocess
import sys
import types

import numpy as np
import pytest

from keras_effnet import benchmarks
from keras_effnet import children
from keras_effnet import cli
from keras_effnet.benchmarks import measuring as measuring_room
from keras_effnet.benchmarks import significance
from keras_effnet.benchmarks.journal import Journal
from keras_effnet.benchmarks.schema import summarize
from keras_effnet.benchmarks.targets import host
from keras_effnet.errors import InputError

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs" / "benchmarking.md"
QUICK = {"min_runs": 4, "min_seconds": 0, "warmup_runs": 2, "warmup_seconds": 0}
# tensorflow/lite/tools/benchmark/proto/benchmark_result.proto of tensorflow/tensorflow,
# all fields but `model_throughput_in_mb_per_sec`, which is no property of a network.
PROTO = {
    "latency_metrics": """avg_ms min_ms max_ms stddev_ms median_ms p5_ms p95_ms init_ms
        first_inference_ms average_warm_up_ms""",
    "memory_metrics": "init_footprint_kb overall_footprint_kb peak_mem_mb",
    "misc_metrics": "model_size_mb num_runs num_warmup_runs",
}


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Paths of small .tflite files by name."""
    import keras
    import tensorflow as tf

    from keras_effnet.export import export

    folder = tmp_path_factory.mktemp("models")
    keras.utils.set_random_seed(0)
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(4, 3, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(5, activation="softmax")(x)
    model = keras.Model(inputs, x, name="tiny")
    photos = np.random.default_rng(1).uniform(0, 255, (2, 1, 16, 16, 3))
    files = export(model, folder, ("float32", "int8"), lambda: photos)
    paths = {file.precision: file.path for file in files}

    def convert(name, function, shape):
        module = tf.Module()
        module.call = tf.function(function, input_signature=[tf.TensorSpec(shape)])
        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [module.call.get_concrete_function()], module
        )
        paths[name] = folder / f"{name}.tflite"
        paths[name].write_bytes(converter.convert())

    def cumsum(x):  # which XNNPACK does not have, between two that it has
        return tf.cumsum(tf.nn.relu(x * 2.0), axis=1) + 1.0

    def double(x):
        return x * 2.0

    convert("mixed", cumsum, (1, 8, 8, 3))
    convert("open_batch", double, (None, 8, 8, 3))
    convert("open_size", double, (1, None, None, 3))
    convert("large", double, (1, 512, 512, 8))
    return paths


@pytest.fixture(scope="module")
def results(models):
    """The float and the int8 file, three rounds."""
    paths = [models["float32"], models["int8"]]
    return benchmarks.benchmark_many(paths, **QUICK | {"min_runs": 7, "rounds": 3})


@pytest.fixture
def worker():
    """The measuring script as a module of this process."""
    spec = importlib.util.spec_from_file_location("host_worker", host._WORKER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    gc.enable()


@pytest.fixture
def with_worker(monkeypatch, tmp_path):
    """Puts other code in the place of the measuring script."""

    def put(code):
        path = tmp_path / "other_worker.py"
        path.write_text(f"import os, sys\nWORKER = {str(host._WORKER)!r}\n{code}")
        monkeypatch.setattr(host, "_WORKER", path)

    return put


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs `keras-effnet benchmark`; its exit code, output and error lines."""
    monkeypatch.setattr(cli, "COMMANDS", ("benchmark",))

    def run(*arguments):
        code = cli.main(["benchmark", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err.splitlines()

    return run


def answer(latency_ns=(1_000_000,), **changes):
    """What the measuring script would print, with made-up times."""
    tensor = {"name": "x", "shape": [1, 2], "shape_signature": [1, 2]}
    memory = ("init_footprint_kb", "overall_footprint_kb", "peak_footprint_kb")
    return {
        "init_ns": 5_000_000,
        "first_ns": 3_000_000,
        "warmup_ns": [2_000_000],
        "latency_ns": list(latency_ns),
        "memory": dict.fromkeys(memory, 1) | {"peak_mem_mb": 1.0},
        "operators": {"partitions": 0, "undelegated": {}},
        "inputs": [tensor],
        "outputs": [tensor],
        "output_sha256": "0",
        "runtime": {"name": "ai-edge-litert", "version": "0"},
        "device": {"cpu": None, "machine": "riscv64", "cores": 2},
    } | changes


def with_answers(monkeypatch, *answers):
    waiting = list(answers)
    monkeypatch.setattr(host, "_measure", lambda path, request: waiting.pop(0))


# The statistics and the schema


def test_statistics_are_those_of_the_raw_times(results):
    for result in results:
        times = [ns / 1e6 for part in result.rounds for ns in part.latency_ns]
        warmup = [ns / 1e6 for part in result.rounds for ns in part.warmup_ns]
        percentile = statistics.quantiles(times, n=100, method="inclusive")
        expected = {
            "avg_ms": statistics.fmean(times),
            "min_ms": min(times),
            "max_ms": max(times),
            "stddev_ms": statistics.pstdev(times),
            "median_ms": statistics.median(times),
            "p5_ms": percentile[4],
            "p90_ms": percentile[89],
            "p95_ms": percentile[94],
            "p99_ms": percentile[98],
            "init_ms": statistics.median(part.init_ns for part in result.rounds) / 1e6,
            "first_inference_ms": (
                statistics.median(part.first_ns for part in result.rounds) / 1e6
            ),
            "average_warm_up_ms": statistics.fmean(warmup),
        }
        assert vars(result.latency_metrics) == pytest.approx(expected, rel=1e-9)


def test_summary_by_hand():
    """101 runs of 0 to 100 ms: the p-th percentile is p ms."""
    summary = summarize([ms * 1_000_000 for ms in (*range(50, 101), *range(50))])
    for percentile in (5, 90, 95, 99):
        assert summary[f"p{percentile}_ms"] == pytest.approx(percentile)
    assert summary["median_ms"] == summary["avg_ms"] == 50
    # A uniform distribution over n integers has the variance (n² − 1) / 12.
    assert summary["stddev_ms"] == pytest.approx(((101**2 - 1) / 12) ** 0.5)
    assert (summary["min_ms"], summary["max_ms"]) == (0, 100)


def test_numbers_stand_in_order(results):
    order = ("min_ms", "p5_ms", "median_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms")
    for result in results:
        values = [getattr(result.latency_metrics, name) for name in order]
        assert values[0] > 0
        assert values == sorted(values)
        assert values[0] <= result.latency_metrics.avg_ms <= values[-1]


def test_runs_are_counted(results):
    """Seven runs in three rounds are three each."""
    for result in results:
        assert [len(part.latency_ns) for part in result.rounds] == [3, 3, 3]
        assert [len(part.warmup_ns) for part in result.rounds] == [2, 2, 2]
        assert result.misc_metrics.num_runs == 9
        assert result.misc_metrics.num_warmup_runs == 6


def test_fields_are_those_of_the_proto(results):
    for metrics, fields in PROTO.items():
        assert set(fields.split()) <= set(vars(getattr(results[0], metrics)))


def test_result_is_json(results):
    for result in results:
        plain = result.to_dict()
        again = json.loads(json.dumps(plain, allow_nan=False))
        assert set(again) == {f.name for f in dataclasses.fields(result)}
        assert again["latency_metrics"] == vars(result.latency_metrics)
        assert again["rounds"][2]["latency_ns"] == list(result.rounds[2].latency_ns)
        assert again["options"] == {
            "threads": 1,
            "delegate": "xnnpack",
            "rounds": 3,
            "max_seconds": 150.0,
            "cool_down_seconds": 0.0,
            "weight_cache": False,
            **QUICK,
            "min_runs": 7,
        }


def test_every_field_is_documented(results):
    text = DOCUMENT.read_text(encoding="utf-8")

    def names(value):
        if isinstance(value, dict):
            for name, inner in value.items():
                yield name
                if name != "undelegated":  # its keys are operators
                    yield from names(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from names(inner)

    found = set(names(json.loads(json.dumps(results[0].to_dict()))))
    assert len(found) > 50
    assert not [name for name in sorted(found) if f"`{name}`" not in text]


def test_files_of_one_name_are_told_apart_by_their_folders():
    paths = ["x/a/model.tflite", "x/b/model.tflite", "x/b/other.tflite"]
    models = [{"path": path} for path in paths]
    assert measuring_room._names(models) == ["a/model", "b/model", "b/other"]
    assert measuring_room._names(models[1:]) == ["model", "other"]
    assert measuring_room._names([models[0], models[0]]) == ["model", "model"]


def test_file_and_tensors_are_described(results, models):
    for result, precision in zip(results, ("float32", "int8"), strict=True):
        data = models[precision].read_bytes()
        assert result.model == {
            "path": str(models[precision]),
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
        }
        assert result.misc_metrics.model_size_mb == len(data) / 1e6
        assert result.name == models[precision].stem
        assert result.target == "host"
        assert result.inputs[0]["shape"] == [1, 16, 16, 3]
        assert result.outputs[0]["shape"] == [1, 5]
        assert result.inputs[0]["dtype"] == result.outputs[0]["dtype"] == precision
        date = datetime.datetime.fromisoformat(result.date)
        assert date.utcoffset() == datetime.timedelta(0)
    # A softmax has the fixed scale of 1/256 (TFLite's quantization specification).
    assert results[1].outputs[0]["scale"] == 1 / 256
    assert results[1].outputs[0]["zero_point"] == -128


# What the measuring process does


def test_outputs_are_those_of_litert(results):
    from ai_edge_litert.interpreter import Interpreter

    for result in results:
        interpreter = Interpreter(result.model["path"], num_threads=1)
        interpreter.allocate_tensors()
        (detail,) = interpreter.get_input_details()
        rng = np.random.default_rng(0)
        if detail["dtype"] == np.int8:
            pixels = rng.integers(-128, 127, detail["shape"], np.int8, endpoint=True)
        else:
            pixels = rng.uniform(0, 255, detail["shape"]).astype(np.float32)
        interpreter.set_tensor(detail["index"], pixels)
        interpreter.invoke()
        (output,) = interpreter.get_output_details()
        values = interpreter.get_tensor(output["index"])
        assert len(np.unique(values)) > 2  # no saturated softmax
        assert result.output_sha256 == hashlib.sha256(values.tobytes()).hexdigest()
    assert not any("outputs differ" in text for r in results for text in r.warnings)


def test_operators_outside_the_delegate_are_named(models):
    on = benchmarks.benchmark(models["mixed"], **QUICK)
    assert on.options["delegate"] == "xnnpack"
    assert on.operators == {"partitions": 2, "undelegated": {"CUMSUM": 1}}

    off = benchmarks.benchmark(models["mixed"], xnnpack=False, **QUICK)
    assert off.options["delegate"] is None
    assert off.operators == {
        "partitions": 0,
        "undelegated": operators_of_the_file(models["mixed"]),
    }


def operators_of_the_file(path):
    """Names and counts, read from the FlatBuffer."""
    from ai_edge_litert import schema_py_generated as schema

    names = {
        value: name
        for name, value in vars(schema.BuiltinOperator).items()
        if isinstance(value, int)
    }
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
    codes = [
        max(code.builtinCode, code.deprecatedBuiltinCode)
        for code in model.operatorCodes
    ]
    operators = model.subgraphs[0].operators
    return dict(collections.Counter(names[codes[op.opcodeIndex]] for op in operators))


@pytest.mark.skipif(
    not pathlib.Path("/proc/self/task").exists(), reason="threads are counted in /proc"
)
def test_threads_are_those_asked_for(models, with_worker):
    with_worker("""
import importlib.util, json
spec = importlib.util.spec_from_file_location("host_worker", WORKER)
worker = importlib.util.module_from_spec(spec)
spec.loader.exec_module(worker)
inner = worker.delegate_partitions
def outer(interpreter):
    global tasks
    tasks = len(os.listdir("/proc/self/task"))
    return inner(interpreter)
worker.delegate_partitions = outer
before = len(os.listdir("/proc/self/task"))
line = worker.main(json.loads(sys.argv[1]))
line["operators"]["more_threads"] = tasks - before
print(json.dumps(line))
""")
    more = {
        threads: benchmarks.benchmark(
            models["large"], threads=threads, **QUICK
        ).operators["more_threads"]
        for threads in (1, 2, 4)
    }
    assert more == {1: 0, 2: 1, 4: 3}


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_memory_is_in_the_units_of_its_names(models, results):
    """`large` has an input and an output of 8 MiB each."""
    large = benchmarks.benchmark(models["large"], xnnpack=False, **QUICK)
    memory = large.memory_metrics
    small = results[0].memory_metrics
    if memory.peak_footprint_kb is None:
        pytest.skip("this system does not let a process reset its peak")
    for metrics in (memory, small):
        assert metrics.init_footprint_kb > 0
        assert metrics.overall_footprint_kb <= metrics.peak_footprint_kb
        assert metrics.init_footprint_kb <= metrics.peak_footprint_kb
        assert metrics.peak_footprint_kb / 1024 < metrics.peak_mem_mb
    assert 16 * 1024 <= memory.overall_footprint_kb < 24 * 1024
    # The 24 MiB that random numbers of that shape pass through are not counted.
    assert 16 * 1024 <= memory.peak_footprint_kb < 24 * 1024
    assert small.peak_footprint_kb < 8 * 1024


def test_the_measured_process_holds_neither_keras_nor_tensorflow(models):
    request = {"path": str(models["int8"]), "threads": 1, "xnnpack": True}
    child = subprocess.run(
        [
            *(sys.executable, "-P", "-X", "importtime", str(host._WORKER)),
            json.dumps(request | QUICK | {"max_seconds": 1}),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "error" not in json.loads(child.stdout)
    names = {
        line.rpartition("|")[2].strip().partition(".")[0]
        for line in child.stderr.splitlines()
        if line.startswith("import time:")
    }
    assert "ai_edge_litert" in names
    assert not names & {"keras", "tensorflow", "keras_effnet"}


@pytest.mark.parametrize(
    ("min_runs", "min_seconds", "max_seconds", "runs"),
    [
        (3, 0.095, 1, 10),  # the seconds come last
        (20, 0.095, 1, 20),  # the runs come last
        (20, 0, 0.055, 6),  # cut short in the sixth
        (1, 0, 0, 1),
        (0, 0, 1, 0),
    ],
)
def test_both_minimums_are_met(
    worker, monkeypatch, min_runs, min_seconds, max_seconds, runs
):
    clock = types.SimpleNamespace(now=0)
    monkeypatch.setattr(
        worker, "time", types.SimpleNamespace(perf_counter_ns=lambda: clock.now)
    )

    def invoke():
        clock.now += 10_000_000

    times = worker.timed_runs(invoke, min_runs, min_seconds, max_seconds)
    assert times.tolist() == [10_000_000] * runs


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("float32", 0, 255),
        ("float16", 0, 255),
        ("uint8", 0, 255),
        ("int8", -128, 127),
        ("int16", 0, 255),
        ("bool", 0, 1),
    ],
)
def test_random_pixels_fill_the_range(worker, dtype, low, high):
    detail = {"name": "x", "dtype": np.dtype(dtype).type, "shape": np.array([1, 9999])}
    values = worker.random_input(detail, np.random.default_rng(0))
    assert values.dtype == dtype
    assert values.shape == (1, 9999)
    assert abs(float(values.min()) - low) < 0.5
    assert abs(float(values.max()) - high) < 0.5


def test_an_open_batch_is_measured_at_one_and_said(models):
    result = benchmarks.benchmark(models["open_batch"], **QUICK)
    assert result.inputs[0]["shape"] == [1, 8, 8, 3]
    assert result.inputs[0]["shape_signature"] == [-1, 8, 8, 3]
    assert any("batch is open" in text for text in result.warnings)


# Rounds and warnings


def test_rounds_are_interleaved_and_rotated(models, monkeypatch):
    paths = [models[name] for name in ("float32", "int8", "mixed")]
    measured, requests = [], []

    def measure(path, request):
        measured.append(pathlib.Path(path))
        requests.append(request)
        return answer([1_000_000 * len(measured)])

    monkeypatch.setattr(host, "_measure", measure)
    lines = []
    options = {"min_runs": 7, "min_seconds": 1.5, "max_seconds": 6, "threads": 2}
    options["rounds"] = 3
    found = benchmarks.benchmark_many(paths, progress=lines.append, **options)
    a, b, c = paths
    assert measured == [a, b, c, b, c, a, c, a, b]
    assert lines == [
        f"{path}: round {number // 3 + 1} of 3" for number, path in enumerate(measured)
    ]
    # The rounds share the runs and the seconds; each warms up in full.
    assert requests[0] == {
        "threads": 2,
        "xnnpack": True,
        "min_runs": 3,
        "min_seconds": 0.5,
        "max_seconds": 2,
        "warmup_runs": 5,
        "warmup_seconds": 0.5,
        "weight_cache": False,
    }
    assert all(request == requests[0] for request in requests)
    # Every file keeps its own times, in the order in which they were measured.
    times = [[r.latency_ns[0] // 1_000_000 for r in file.rounds] for file in found]
    assert times == [[1, 6, 8], [2, 4, 9], [3, 5, 7]]
    assert [file.model["path"] for file in found] == [str(path) for path in paths]


def test_memory_is_the_largest_round(models, monkeypatch):
    first, second = answer(), answer()
    first["memory"] = {**first["memory"], "init_footprint_kb": 9, "peak_mem_mb": None}
    with_answers(monkeypatch, first, second)
    (result,) = benchmarks.benchmark_many([models["int8"]], rounds=2, min_runs=2)
    assert result.memory_metrics.init_footprint_kb == 9
    assert result.memory_metrics.overall_footprint_kb == 1
    assert result.memory_metrics.peak_mem_mb is None


def test_warnings_name_what_spoils_a_comparison(models, monkeypatch):
    def warnings(*answers, **options):
        with_answers(monkeypatch, *answers)
        options = {"min_runs": 1, "rounds": len(answers)} | options
        return benchmarks.benchmark_many([models["int8"]], **options)[0].warnings

    steady, noisy = [1_000_000] * 10, [1_000_000] * 8 + [1_500_000] * 2
    assert warnings(answer(steady)) == ()
    (text,) = warnings(answer(noisy))
    assert text.startswith("Noisy: the 90th percentile is 1.50 times the median")
    assert warnings(answer(steady), threads=3) == ("3 threads share 2 cores",)
    assert warnings(answer(steady), threads=2) == ()
    (text,) = warnings(answer(steady), answer(steady, output_sha256="1"))
    assert "outputs differ" in text


def test_a_run_that_is_cut_short_is_said(models):
    result = benchmarks.benchmark(models["int8"], **QUICK, max_seconds=0)
    assert result.misc_metrics.num_runs == 1
    assert "Stopped after 0 seconds with 1 of 4 runs" in result.warnings


def test_without_a_warm_up_there_is_no_mean_of_it(models):
    options = QUICK | {"warmup_runs": 0}
    result = benchmarks.benchmark(models["int8"], **options)
    assert result.latency_metrics.average_warm_up_ms is None
    assert result.misc_metrics.num_warmup_runs == 0


class Elsewhere(host.Host):
    """Another target, which may compute otherwise."""

    name = "elsewhere"

    def __init__(self, change=0):
        self.change, self.measured = change, 0

    def measure(self, path, request):
        self.measured += 1
        found = super().measure(path, request)
        output = np.frombuffer(
            base64.b64decode(found["output_base64"]), found["outputs"][0]["dtype"]
        ).copy()
        output[np.argmax(output)] -= self.change
        return found | {"output_base64": base64.b64encode(output).decode()}


def test_outputs_are_compared_with_those_of_this_machine(models):
    def found(name, change):
        result = benchmarks.benchmark(models[name], target=Elsewhere(change), **QUICK)
        assert result.target == "elsewhere"
        warnings.extend(text for text in result.warnings if "this machine's" in text)
        return result.agreement

    warnings = []
    assert found("int8", 0) == {"largest_steps": 0, "largest_relative_error": None}
    assert found("int8", 2) == {"largest_steps": 2, "largest_relative_error": None}
    assert found("float32", 0) == {"largest_steps": None, "largest_relative_error": 0}
    assert warnings == []
    assert found("int8", 3)["largest_steps"] == 3
    assert warnings.pop().endswith("off by 3 steps")
    error = found("float32", 0.01)["largest_relative_error"]
    assert warnings.pop().endswith(f"off by {error:.1e}")
    largest = expected_output(models["float32"]).max()
    assert error == pytest.approx(0.01 / largest, rel=1e-3)
    assert benchmarks.benchmark(models["int8"], **QUICK).agreement is None


def expected_output(path):
    rng = np.random.default_rng(0)
    pixels = rng.uniform(0, 255, (1, 16, 16, 3)).astype(np.float32)
    return host.Host().answers(path, pixels)


def test_rounds_that_a_journal_has_are_not_measured_again(models, tmp_path):
    target, options = Elsewhere(), QUICK | {"rounds": 2}
    paths = [models["int8"], models["float32"]]

    def measure(**changes):
        journal = Journal(tmp_path / "rounds.jsonl")
        return benchmarks.benchmark_many(
            paths, target=target, journal=journal, **options | changes
        )

    first = measure()
    assert target.measured == 4
    again = measure()
    assert target.measured == 4
    assert [r.rounds for r in again] == [r.rounds for r in first]
    measure(threads=2)
    assert target.measured == 8


def test_a_target_cools_down_between_processes(models, monkeypatch):
    waits = []
    monkeypatch.setattr("time.sleep", waits.append)
    with_answers(monkeypatch, *[answer()] * 4)
    paths = [models["int8"], models["float32"]]
    benchmarks.benchmark_many(paths, rounds=2, cool_down_seconds=1.5)
    assert waits == [1.5] * 3


# Bad input


@pytest.mark.parametrize(
    "bad",
    [
        {"rounds": 0},
        {"rounds": 1.5},
        {"threads": 0},
        {"threads": 257},
        {"threads": True},
        {"min_runs": 0},
        {"min_runs": "50"},
        {"warmup_runs": -1},
        {"warmup_runs": 0.5},
        {"min_seconds": -1.0},
        {"min_seconds": float("nan")},
        {"warmup_seconds": float("inf")},
        {"warmup_seconds": True},
        {"cool_down_seconds": -1},
        {"max_seconds": None},
        {"max_seconds": 0.5, "min_seconds": 1.0},
    ],
)
def test_impossible_options_are_named(models, bad, monkeypatch):
    with_answers(monkeypatch)
    name, value = next(iter(bad.items()))
    with pytest.raises(
        InputError, match=rf"`{name}` must be .*Received: {name}={value!r}"
    ):
        benchmarks.benchmark_many([models["int8"]], **bad)


def test_one_path_in_the_place_of_several_is_named(models):
    for path in (models["int8"], str(models["int8"])):
        with pytest.raises(InputError, match=r"`paths` must be a list.*Received: "):
            benchmarks.benchmark_many(path)


@pytest.fixture
def bad_files(models, tmp_path):
    """Paths of files that are none, and what their messages say."""
    whole = models["int8"].read_bytes()
    contents = {
        "empty": (b"", "no .tflite file"),
        "text": (b"<html>404 Not Found</html>", "no .tflite file"),
        "header": (whole[:8], "can't be run"),
        "half": (whole[: len(whole) // 2], "can't be run"),
    }
    found = {
        tmp_path / "absent.tflite": "no such .tflite file",
        tmp_path: "no such .tflite file",
        models["open_size"]: r"dynamic shape \[1, -1, -1, 3\]",
    }
    for name, (content, message) in contents.items():
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(content)
        found[path] = message
    return found


def test_bad_files_are_one_clear_line(bad_files):
    for path, message in bad_files.items():
        with pytest.raises(InputError, match=message) as caught:
            benchmarks.benchmark(path, **QUICK)
        assert str(caught.value).endswith(f"Received: {str(path)!r}")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("os.kill(os.getpid(), 11)", r"crashed on the model \(SIGSEGV\)"),
        ("os.kill(os.getpid(), 9)", r"crashed on the model \(SIGKILL\)"),
        (
            r"""sys.stderr.buffer.write(b'\xff'); print('{"error": "No such op."}')""",
            "can't be run: No such op. Received",
        ),
    ],
)
def test_a_process_that_fails_on_the_file_is_one_line(
    models, with_worker, code, message
):
    with_worker(code)
    with pytest.raises(InputError, match=message) as caught:
        benchmarks.benchmark(models["int8"])
    assert "\n" not in str(caught.value)


def test_a_defect_of_the_worker_is_not_called_bad_input(models, with_worker):
    with_worker("raise SystemExit('a defect')")
    with pytest.raises(RuntimeError, match="a defect"):
        benchmarks.benchmark(models["int8"])


def test_a_process_that_hangs_is_ended(models, monkeypatch):
    def ask(program, request, timeout):
        assert timeout == 60 + 4 * 10
        raise subprocess.TimeoutExpired(program, timeout)

    monkeypatch.setattr(children, "ask", ask)
    with pytest.raises(InputError, match="not finish within 100 seconds"):
        benchmarks.benchmark(models["int8"], max_seconds=10)


# The command


def test_the_command_prints_a_table(models, command):
    code, out, progress = command(
        *(models["float32"], models["int8"], "--runs", 4, "--seconds", 0),
        *("--rounds", 2, "--threads", 2),
    )
    assert code == 0
    header, *rows = out.splitlines()[:3]
    columns = "file median p90 p95 min mean first init peak memory runs threads"
    assert " ".join(header.split()) == columns
    for row, precision in zip(rows, ("float32", "int8"), strict=True):
        cells = row.split()
        assert cells[0] == f"tiny_{precision}"
        median, p90, p95, lowest, mean = map(float, cells[1:6])
        assert 0 < lowest <= median <= p90 <= p95
        assert lowest <= mean
        assert cells[-2:] == ["4", "2"]
    assert "xnnpack" in out
    assert len(progress) == 4


def test_the_command_writes_what_it_prints(models, command, tmp_path):
    path = tmp_path / "new" / "latency.json"
    code, out, _ = command(
        *(models["mixed"], "--runs", 3, "--seconds", 0, "--rounds", 1),
        *("--no-xnnpack", "--json", "--output", path),
    )
    assert code == 0
    (result,) = json.loads(out)
    assert [result] == json.loads(path.read_text())
    assert [file.name for file in path.parent.iterdir()] == ["latency.json"]
    assert result["options"]["delegate"] is None
    assert len(result["rounds"][0]["latency_ns"]) == 3


def test_the_command_and_the_function_have_the_same_defaults(
    models, command, monkeypatch
):
    with_answers(monkeypatch, *[answer()] * 16)
    _, out, _ = command(models["int8"], "--json")
    (expected,) = benchmarks.benchmark_many([models["int8"]])
    assert json.loads(out)[0]["options"] == expected.options


def test_the_default_of_rounds_is_enough_for_a_verdict(models, command, monkeypatch):
    slow = str(models["float32"])

    def measure(path, request):
        return answer([2_000_000 if str(path) == slow else 1_000_000])

    monkeypatch.setattr(host, "_measure", measure)
    _, out, _ = command(slow, models["int8"], "--json")
    times = [significance.round_medians(result) for result in json.loads(out)]
    assert [len(medians) for medians in times] == [8, 8]
    assert significance.compare(*times).verdict == significance.SLOWER
    # One less would tell nothing.
    few = (medians[1:] for medians in times)
    assert significance.compare(*few).verdict == significance.UNKNOWN


def test_an_emulated_core_has_no_times(models, monkeypatch):
    with_answers(monkeypatch, *[answer([123_456_789], init_ns=987_654)] * 8)
    (result,) = benchmarks.benchmark_many([models["int8"]])
    emulated = dataclasses.replace(
        result,
        target="arm:cortex-a53",
        device=result.device | {"emulated": True},
        instructions=12_345_678,
    )
    text = benchmarks.table([emulated])
    heading, line, *_ = text.splitlines()
    assert not {"median", "p90", "p95", "min", "mean", "first", "init"} & {
        *heading.split()
    }
    assert "12,345,678" in line
    assert "123.5" not in text
    assert "0.9877" not in text
    assert "Instructions of one run on arm:cortex-a53: " in text
    assert "Milliseconds" not in text
    # Beside a machine's the cells are empty.
    text = benchmarks.table([result, emulated])
    host_line, line = text.splitlines()[1:3]
    assert "123.5" in host_line
    assert line.split()[2:9] == ["-"] * 7


def test_the_table_shows_a_warning_and_a_machine_without_a_name(
    models, command, monkeypatch
):
    with_answers(monkeypatch, *[answer([123_456_789, 987_654], init_ns=999)] * 8)
    code, out, _ = command(models["int8"])
    assert code == 0
    assert "this host: riscv64, 2 cores" in out
    assert "Warning: tiny_int8: Noisy" in out
    cells = " ".join(out.splitlines()[1].split())
    assert cells.startswith("tiny_int8 62.22 123.5 123.5 0.9877 62.22 3.000 0.0009990 ")


def test_the_module_is_the_command(models, monkeypatch, capsys):
    with_answers(monkeypatch, *[answer()] * 8)
    monkeypatch.setattr(cli, "COMMANDS", ("benchmark",))
    monkeypatch.setattr(sys, "argv", ["benchmarks", str(models["int8"])])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("keras_effnet.benchmarks", run_name="__main__")
    assert caught.value.code == 0
    assert "tiny_int8" in capsys.readouterr().out


def test_bad_input_ends_the_command_with_one_line(command, bad_files, models, tmp_path):
    output = tmp_path / "latency.json"
    output.write_text("old")
    before = sorted(tmp_path.iterdir())
    options = ["--runs", 1, "--seconds", 0, "--rounds", 1, "--output", output]
    bad = [[path, *options] for path in bad_files]
    bad += [
        [models["int8"], *options, "--threads", 0],
        [models["int8"], *options, "--seconds", "-1"],
        [models["int8"], *options, "--seconds", "nan"],
        # The second is found out only when the first has been measured.
        [models["int8"], tmp_path / "half.tflite", *options],
    ]
    for arguments in bad:
        code, out, err = command(*arguments)
        assert (code, out) == (1, "")
        (error,) = [line for line in err if "round 1 of 1" not in line]
        assert error.startswith("keras-effnet: error: ")
        assert "Received: " in error
        assert output.read_text() == "old"
        # Rounds that were measured are kept, for the same command again.
        kept = tmp_path / "latency.json.rounds"
        assert kept.exists() == (arguments[0] == models["int8"] and len(err) == 3)
        kept.unlink(missing_ok=True)
        assert sorted(tmp_path.iterdir()) == before


def test_an_output_that_cannot_be_written_shows_before_the_wait(
    command, models, tmp_path, monkeypatch
):
    with_answers(monkeypatch)  # a measurement would fail
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    for output in (tmp_path / "folder", tmp_path / "file" / "latency.json"):
        code, out, err = command(models["int8"], "--output", output)
        assert (code, out) == (1, "")
        (error,) = err
        assert "can't be written" in error
        assert error.endswith(f"Received: {str(output)!r}")
        assert sorted(tmp_path.rglob("*")) == before
