"""A browser as a target: real Chromium, the real runtime, and what may go wrong."""

import base64
import hashlib
import json
import signal
import time

import chromium
import numpy as np
import page_client
import peer
import pytest

from keras_effnet.benchmarks import benchmark_many
from keras_effnet.benchmarks.outputs import difference_from_host
from keras_effnet.benchmarks.targets import TargetLost
from keras_effnet.benchmarks.targets import _litertjs
from keras_effnet.benchmarks.targets import _page_jobs
from keras_effnet.benchmarks.targets.host import Host
from keras_effnet.errors import InputError
from keras_effnet.export import export


@pytest.fixture(scope="session")
def litertjs():
    return page_client.litertjs()


def _relative_error(path, answer):
    return difference_from_host(str(path), answer)["largest_relative_error"]


@pytest.fixture(scope="session")
def models(tiny_model, tiny_files, tmp_path_factory):
    """Files by their inputs' type; `int8` is of the type that no browser takes."""
    images = peer.images(32, 32, batch=32)
    files = {"float32": tiny_files["float32"], "int8": tiny_files["int8"]}
    for kind, name in (("uint8", "uint8"), ("float32", "int8_inside")):
        (file,) = export(
            tiny_model,
            tmp_path_factory.mktemp(name),
            ("int8",),
            calibration=lambda: (image[None] for image in images),
            input_type=kind,
        )
        files[name] = file.path
    return files


@pytest.fixture(scope="module")
def page(litertjs, tmp_path_factory):
    """A target with an open page, for tests that leave both as they are."""
    with (
        page_client.quiet_browser() as target,
        chromium.opened(target.url, tmp_path_factory.mktemp("profile")),
    ):
        yield target


@pytest.mark.parametrize("name", ["float32", "int8_inside", "uint8"])
def test_wasm_gives_the_outputs_of_this_machine(page, models, name):
    answer = page.measure(models[name], page_client.REQUEST)
    found = difference_from_host(str(models[name]), answer)
    if name == "uint8":
        assert found["largest_steps"] <= 1
    elif name == "float32":
        assert found["largest_relative_error"] <= 1e-5
    else:
        # Floats that are steps of the inner int8 output.
        output = np.frombuffer(base64.b64decode(answer["output_base64"]), np.float32)
        host = Host().measure(str(models[name]), page_client.REQUEST)
        here = np.frombuffer(base64.b64decode(host["output_base64"]), np.float32)
        assert np.abs(output - here).max() <= 1 / 256 + 1e-5
    assert len(answer["latency_ns"]) == page_client.REQUEST["min_runs"]
    assert min(answer["latency_ns"]) > 0
    assert answer["init_ns"] > 0
    assert answer["first_ns"] > 0
    warmup_ns = answer["warmup_ns"]
    assert len(warmup_ns) >= 60 or sum(warmup_ns) >= 4e9
    assert sum(warmup_ns) >= 0.9e9
    output = base64.b64decode(answer["output_base64"])
    assert answer["output_sha256"] == hashlib.sha256(output).hexdigest()
    assert answer["runtime"]["name"] == "LiteRT.js"
    assert answer["runtime"]["version"] == _litertjs.VERSION
    assert answer["runtime"]["accelerator"] == "wasm"
    assert set(answer["memory"].values()) == {None}
    device = answer["device"]
    assert "Chrome" in device["browser"]
    assert device["cores"] >= 1
    assert device["cross_origin_isolated"]
    assert device["secure_context"]
    assert 0 < device["timer_resolution_ms"] < 1
    assert device["runs_per_time"] >= 1


def test_rounds_of_several_files_through_one_page(page, models):
    paths = [models["float32"], models["uint8"]]
    options = {"min_runs": 4, "min_seconds": 0, "warmup_runs": 1, "warmup_seconds": 0}
    results = benchmark_many(paths, target=page, rounds=2, **options)
    for path, result in zip(paths, results, strict=True):
        assert result.target == "browser"
        assert result.name == path.stem
        assert len(result.rounds) == 2
        assert result.misc_metrics.num_runs == 4
        assert "The outputs differ" not in " ".join(result.warnings)
        json.dumps(result.to_dict(), allow_nan=False)
    assert results[0].agreement["largest_relative_error"] <= 1e-5
    assert results[1].agreement["largest_steps"] <= 1


def test_answers_come_in_the_inputs_order_and_by_parts(page, models, monkeypatch):
    from keras_effnet.benchmarks.targets import browser

    # Three images in a part, so that the last part is a shorter one.
    monkeypatch.setattr(browser, "_PART_BYTES", 3 * 32 * 32 * 3)
    images = peer.images(32, 32, batch=7).round().astype(np.uint8)
    found = page.answers(models["uint8"], images)
    expected = Host().answers(models["uint8"], images)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert len(np.unique(expected, axis=0)) > 1


def test_two_threads(page, models):
    answer = page.measure(models["float32"], page_client.REQUEST | {"threads": 2})
    assert _relative_error(models["float32"], answer) <= 1e-5


def test_an_error_in_the_page_is_one_line_and_the_page_goes_on(
    page, models, monkeypatch, tmp_path
):
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(models["float32"].read_bytes()[:3000])
    described = page.check(models["float32"])
    with monkeypatch.context() as patch:
        # This machine's LiteRT would find it out first.
        patch.setattr(page, "check", lambda path: described)
        patch.setattr(
            "keras_effnet.benchmarks.native.model_io.random_input_bytes",
            lambda path: bytes(32 * 32 * 3 * 4),
        )
        with pytest.raises(InputError, match="can't be run in the browser") as raised:
            page.measure(broken, page_client.REQUEST)
    assert not isinstance(raised.value, TargetLost)
    assert "\n" not in str(raised.value)
    assert "load model" in str(raised.value)
    page.measure(models["float32"], page_client.REQUEST)


@pytest.mark.parametrize(
    "name", ["float32", pytest.param("uint8", marks=pytest.mark.slow)]
)
def test_webgpu_gives_the_outputs_of_this_machine(litertjs, models, name, tmp_path):
    with (
        page_client.quiet_browser(accelerator="webgpu") as target,
        chromium.opened(target.url, tmp_path, chromium.SWIFTSHADER),
    ):
        answer = target.measure(models[name], page_client.REQUEST)
    assert target.name == "browser:webgpu"
    assert answer["runtime"]["accelerator"] == "webgpu"
    assert answer["device"]["gpu"]["architecture"] == "swiftshader"
    # Each run takes so long here that a second alone would be too little.
    warmup_ns = answer["warmup_ns"]
    assert len(warmup_ns) >= 60 or sum(warmup_ns) >= 4.5e9
    found = difference_from_host(str(models[name]), answer)
    if name == "uint8":
        assert found["largest_steps"] <= 1
    else:
        assert found["largest_relative_error"] <= 1e-5


def test_without_a_gpu_the_error_says_so(litertjs, models, tmp_path):
    with (
        page_client.quiet_browser(accelerator="webgpu") as target,
        chromium.opened(target.url, tmp_path),
        pytest.raises(InputError, match=r"no GPU\. Use the accelerator wasm"),
    ):
        target.measure(models["float32"], page_client.REQUEST)


def test_at_an_insecure_address_the_clock_is_coarse_and_times_are_shared(
    litertjs, models, tmp_path
):
    # As on a phone in the network: no threads, and a clock with steps of 0.1 ms.
    with page_client.quiet_browser() as target:
        url = target.url.replace("127.0.0.1", "phone.test")
        flags = ["--host-resolver-rules=MAP phone.test 127.0.0.1"]
        with chromium.opened(url, tmp_path, flags):
            answer = target.measure(models["float32"], page_client.REQUEST)
            with pytest.raises(InputError, match="Threads need a secure address"):
                target.measure(models["float32"], page_client.REQUEST | {"threads": 2})
    device = answer["device"]
    assert not device["secure_context"]
    assert not device["cross_origin_isolated"]
    assert device["timer_resolution_ms"] > 0.05
    assert device["runs_per_time"] > 1
    assert len(answer["latency_ns"]) == page_client.REQUEST["min_runs"]
    assert _relative_error(models["float32"], answer) <= 1e-5


def test_a_killed_browser_is_lost(litertjs, models, tmp_path, monkeypatch):
    monkeypatch.setattr(_page_jobs, "SILENCE_SECONDS", 4)
    with page_client.quiet_browser() as target:
        browser = chromium.Chromium(target.url, tmp_path)
        try:
            target.measure(models["float32"], page_client.REQUEST)
            thread, ended = page_client.measures(
                target, models["float32"], page_client.REQUEST | {"min_seconds": 19}
            )
            time.sleep(1)
            assert not ended
            browser.close(signal.SIGKILL)
            thread.join(20)
        finally:
            browser.close(signal.SIGKILL)
        (lost,) = ended
    assert isinstance(lost, TargetLost)
    assert "silent for 4 seconds" in str(lost)
    assert "\n" not in str(lost)
