"""TensorFlow Lite's `benchmark_model`: its command line, and the text it prints.

No package of a public registry has the tool, so a script stands in for it: what it
prints has the form of recorded output of several versions.
"""

import dataclasses
import json
import tempfile

import pytest
from device_servers import REQUEST
from device_servers import Sshd

from keras_effnet.benchmarks import schema
from keras_effnet.benchmarks.targets import benchmark_model
from keras_effnet.benchmarks.targets.ssh import Ssh
from keras_effnet.errors import InputError

# Of 2025, on Android: lines carry the prefix of its log, percentiles are printed.
RECENT = """
INFO: STARTING!
INFO: Log parameter values verbosely: [0]
INFO: Min num runs: [50]
INFO: Num threads: [1]
INFO: Graph: [model.tflite]
INFO: Use xnnpack: [1]
INFO: Loaded model model.tflite
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
VERBOSE: Replacing 539 out of 548 node(s) with delegate (TfLiteXNNPackDelegate) node, \
yielding 19 partitions for subgraph 0.
INFO: The input model file size (MB): 3.06409
INFO: Initialized session in 92.318ms.
INFO: Running benchmark for at least 6 iterations and at least 0.5 seconds but \
terminate if exceeding 150 seconds.
I tflite  : count=7 first=235158 curr=200386 min=199462 max=235158 avg=211669 \
std=16613 p5=199462 median=200386 p95=235158

INFO: Running benchmark for at least 50 iterations and at least 1 seconds but \
terminate if exceeding 150 seconds.
I tflite  : count=53 first=187533 curr=140990 min=140071 max=195121 avg=145528 \
std=13583 p5=140545 median=141253 p95=187533

I tflite  : Inference timings in us: Init: 92318, First inference: 235158, \
Warmup (avg): 211669, Inference (avg): 145528
INFO: Note: as the benchmark tool itself affects memory footprint, the following is \
only APPROXIMATE to the actual memory footprint of the model at runtime. Take the \
information at your discretion.
INFO: Memory footprint delta from the start of the tool (MB): init=54.25 overall=73.5
INFO: Overall peak memory footprint (MB) via periodic monitoring: 93.2383
"""
# Of 2020: neither percentiles nor a peak, large numbers with an exponent.
OLD = """
Loaded model ./mobilenet_v1_1.0_224.tflite
count=1 curr=3512391

count=50 first=2990275 curr=2913402 min=2727568 max=3189954 avg=2.95034e+06 std=109798

Inference timings in us: Init: 17187, First inference: 3512391, \
Warmup (avg): 3.51239e+06, Inference (avg): 2.95034e+06
Peak memory footprint (MB): init=4.5 overall=46.5
"""
# A single run, which takes as long as every statistic of it.
ONE = """
count=1 curr=1000
count=1 curr=2000
Inference timings in us: Init: 10, First inference: 1000, Warmup (avg): 1000, \
Inference (avg): 2000
"""


def test_text_of_a_recent_version():
    found = benchmark_model.parse(RECENT)
    assert found["latency_metrics"] == {
        "avg_ms": 145.528,
        "min_ms": 140.071,
        "max_ms": 195.121,
        "stddev_ms": 13.583,
        "median_ms": 141.253,
        "p5_ms": 140.545,
        "p90_ms": None,
        "p95_ms": 187.533,
        "p99_ms": None,
        "init_ms": 92.318,
        "first_inference_ms": 235.158,
        "average_warm_up_ms": 211.669,
    }
    assert found["init_ns"] == 92_318_000
    assert found["first_ns"] == 235_158_000
    assert (found["num_runs"], found["num_warmup_runs"]) == (53, 6)
    assert found["latency_ns"] == found["warmup_ns"] == []
    assert found["memory"] == {
        "init_footprint_kb": 55552,
        "overall_footprint_kb": 75264,
        "peak_footprint_kb": None,
        "peak_mem_mb": 93.2383,
    }
    assert found["operators"] == {"partitions": 19, "undelegated": None}


def test_names_are_those_of_the_schema():
    found = benchmark_model.parse(RECENT)
    for key, fields in {
        "latency_metrics": schema.LatencyMetrics,
        "memory": schema.MemoryMetrics,
    }.items():
        assert set(found[key]) == {field.name for field in dataclasses.fields(fields)}


def test_text_of_an_old_version():
    found = benchmark_model.parse(OLD)
    latency = found["latency_metrics"]
    assert latency["avg_ms"] == 2950.34
    assert latency["max_ms"] == 3189.954
    assert latency["median_ms"] is latency["p95_ms"] is None
    assert (found["num_runs"], found["num_warmup_runs"]) == (50, 0)
    assert found["memory"]["overall_footprint_kb"] == 47616
    assert found["memory"]["peak_mem_mb"] is None
    assert found["operators"]["partitions"] is None


def test_text_of_one_run():
    latency = benchmark_model.parse(ONE)["latency_metrics"]
    for key in ("avg_ms", "min_ms", "max_ms", "median_ms", "p95_ms"):
        assert latency[key] == 2
    assert latency["stddev_ms"] == 0


@pytest.mark.parametrize(
    "text", ["", "ERROR: Mmap of 'x' failed", OLD[: OLD.find("Inf")]]
)
def test_text_without_results(text):
    assert benchmark_model.parse(text) is None


@pytest.fixture(scope="module")
def sshd():
    with tempfile.TemporaryDirectory() as folder:
        server = Sshd(folder)
        yield server
        server.close()


@pytest.fixture
def tool(tmp_path):
    """Writes a script that stands in for the tool; its path."""

    def write(text, code=0):
        (tmp_path / "text").write_text(text)
        path = tmp_path / "android_arm64_benchmark_model"
        path.write_text(
            f"""#!/bin/sh
for argument; do echo "$argument" >>{tmp_path}/arguments; done
cat {tmp_path}/text
exit {code}
"""
        )
        return path

    return write


def test_tool_is_driven(sshd, tool, tiny_files, tmp_path):
    with Ssh(
        sshd.destination,
        options=sshd.options(),
        folder=str(tmp_path),
        benchmark_model=tool(RECENT),
        cores=[0],
    ) as target:
        found = target.measure(tiny_files["int8"], REQUEST | {"min_seconds": 0.25})
        with pytest.raises(InputError, match="gives no outputs"):
            target.answers(tiny_files["int8"], None)
    assert not list(tmp_path.glob("keras_effnet-*"))
    graph, *options = (tmp_path / "arguments").read_text().splitlines()
    assert graph.startswith("--graph=")
    assert graph.endswith(".tflite")
    assert options == [
        "--num_runs=3",
        "--min_secs=0.25",
        "--max_secs=10",
        "--warmup_runs=3",
        "--warmup_min_secs=0",
        "--num_threads=1",
        "--use_xnnpack=true",
    ]
    assert found["latency_metrics"]["median_ms"] == 141.253
    assert found["runtime"]["name"] == "benchmark_model"
    assert len(found["runtime"]["sha256"]) == 64
    assert found["output_base64"] is None
    assert found["outputs"][0]["shape"] == [1, 5]
    assert found["device"]["machine"] == "x86_64"
    json.dumps(found)


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("ERROR: Failed to load the model\n", 1, "Failed to load the model"),
        ("STARTING!\n", 0, "STARTING!"),
        ("", 139, "crashed"),
    ],
)
def test_tool_that_fails(sshd, tool, tiny_files, tmp_path, text, code, told):
    with (
        Ssh(
            sshd.destination,
            options=sshd.options(),
            folder=str(tmp_path),
            benchmark_model=tool(text, code),
        ) as target,
        pytest.raises(InputError, match=told) as caught,
    ):
        target.measure(tiny_files["int8"], REQUEST)
    assert "\n" not in str(caught.value)


def test_tool_that_is_not_there(sshd, tmp_path):
    missing = tmp_path / "missing"
    with pytest.raises(InputError, match="can't be read: No such file") as caught:
        Ssh(sshd.destination, options=sshd.options(), benchmark_model=missing)
    assert str(missing) in str(caught.value)
