"""studies/peers/file_latency.py: that both sides are one function, that files take
turns, and what becomes of their times."""

import importlib
import json
import subprocess
import sys
import types

import keras
import numpy as np
import peer
import pytest

import keras_effnet
from keras_effnet.errors import InputError

PEERS = "keras_effnet.benchmarks.studies.peers"


@pytest.fixture(scope="module")
def module():
    """Imports a script or a part of one by its name."""
    return lambda name: importlib.import_module(f"{PEERS}.{name}")


@pytest.fixture
def script(module):
    return module("file_latency")


@pytest.fixture
def files(module):
    return module("_latency_files")


@pytest.fixture
def bar():
    """A `tqdm` that does nothing."""
    nothing = types.SimpleNamespace()
    nothing.update = nothing.clear = lambda: None
    nothing.set_description = nothing.write = lambda text: None
    return nothing


@pytest.mark.parametrize(
    "network",
    ["EfficientNetB0", pytest.param("EfficientNetV2B0", marks=pytest.mark.slow)],
)
def test_the_other_network_is_the_same_function(module, network):
    model = keras_effnet.build_model(network, input_shape=(32, 32, 3))
    images = peer.images(32, 32)
    peer.randomize(model, images)
    other = module("_stock").counterpart(model, network)
    logits = [np.log(each(images)) for each in (model, other)]
    assert peer.relative_error(*logits) < 1e-4


@pytest.mark.slow
def test_the_stock_file_has_batch_1_and_the_function(module, tiny_model, tmp_path):
    from keras_effnet.tflite import TFLiteModel

    stock, path = module("_stock"), tmp_path / "stock.tflite"
    with_batch = stock.at_batch_1(tiny_model, tmp_path / "saved")
    path.write_bytes(stock.convert(with_batch, "float32", None))
    file, images = TFLiteModel(path), peer.images(32, 32)
    assert file.input["shape"].tolist() == [1, 32, 32, 3]
    expected = np.asarray(tiny_model(images))
    np.testing.assert_allclose(file.predict(images), expected, atol=1e-4)


def paths_of(tiny_files):
    return {
        precision: {side: path for side in ("keras_effnet", "keras.applications")}
        for precision, path in tiny_files.items()
    }


def test_one_function_passes(files, tiny_files):
    found = files.check(paths_of(tiny_files), peer.images(32, 32))
    assert found["float_difference"] == {"keras_effnet": 0, "keras.applications": 0}
    assert set(found["int8_agreement_with_float"]) == set(found["float_difference"])
    assert all(0 <= a <= 1 for a in found["int8_agreement_with_float"].values())


def test_another_function_is_refused(files, tiny_files):
    paths = paths_of(tiny_files)
    paths["float32"]["keras.applications"] = tiny_files["int8"]
    with pytest.raises(
        InputError, match=r"may differ by 0\.0001.*of keras.applications$"
    ):
        files.check(paths, peer.images(32, 32))


def test_another_input_type_is_refused(files, tiny_files):
    paths = paths_of(tiny_files)
    paths["int8"]["keras.applications"] = tiny_files["float32"]
    with pytest.raises(InputError, match=r"must take int8.*applications takes float32"):
        files.check(paths, peer.images(32, 32))


def test_real_weights_are_taken_where_they_are(files, monkeypatch, tmp_path):
    taken = []

    def build_model(network, weights=None, input_shape=None):
        taken.append((network, weights, input_shape))

    monkeypatch.setattr(files.keras_effnet, "build_model", build_model)
    monkeypatch.setattr(files, "settle", lambda model, images: None)
    path, images = tmp_path / "weights.h5", peer.images(64, 64)
    monkeypatch.setattr(files, "WEIGHTS", {"EfficientNetV2B0": path})
    assert files.build("EfficientNetV2B0", images)[1] == "random"
    path.write_bytes(b"")
    assert files.build("EfficientNetV2B0", images)[1] == "imagenet"
    assert files.build("EfficientNetB0", images)[1] == "random"
    assert [weights for _, weights, _ in taken] == [None, path, None]
    assert {shape for *_, shape in taken} == {(64, 64, 3)}


@pytest.mark.slow
def test_random_weights_tell_images_apart(files):
    images = peer.images(64, 64)
    model, _ = files.build("EfficientNetB0", images)
    again, _ = files.build("EfficientNetB0", images)
    first, second = (np.log(each(images)) for each in (model, again))
    np.testing.assert_allclose(first, second, atol=1e-4)
    assert np.abs(first[0] - first[1]).max() > 0.1
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert {layer.momentum for layer in norms} == {0.99}


def test_files_take_turns_in_one_process(module, monkeypatch):
    worker, order = module("_latency_worker"), []
    monkeypatch.setattr(worker, "of_tflite", lambda path: lambda: order.append(path))
    monkeypatch.setattr(worker, "of_onnx", lambda path: lambda: order.append(path))
    options = {"files": {"x": "a", "y": "b", "z": "c.onnx"}, "warm_up": 1, "runs": 3}
    found = worker.main(options)
    turns = [order[start : start + 3] for start in range(0, 12, 3)]
    a, b, c = "a", "b", "c.onnx"
    assert turns == [[a, b, c], [b, c, a], [c, a, b], [a, b, c]]
    assert {len(times) for times in found["nanoseconds"].values()} == {3}
    assert list(found["nanoseconds"]) == ["x", "y", "z"]


def test_a_real_round(script, tiny_files):
    found = script.run_worker(tiny_files, runs=2)["nanoseconds"]
    assert set(found) == set(tiny_files)
    assert all(len(times) == 2 and min(times) > 0 for times in found.values())


def test_onnxruntime_runs_the_same_network(script, files, tiny_model, tmp_path):
    for name in ("onnx", "tf2onnx", "onnxruntime"):
        pytest.importorskip(name)
    paths = tmp_path / "tiny_float32.onnx", tmp_path / "tiny_int8.onnx"
    images = peer.images(32, 32, batch=8)
    files.write_onnx(tiny_model, *paths, images)
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    expected, found, rough = (files.logits(path, images) for path in (paths[0], *paths))
    keras_logits = np.log(tiny_model(images))
    keras_logits -= keras_logits.mean(axis=-1, keepdims=True)
    assert peer.relative_error(found, keras_logits) < 1e-4
    assert not np.array_equal(rough, expected)
    assert (rough.argmax(-1) == expected.argmax(-1)).mean() > 0.7
    times = script.run_worker({"a": paths[0], "b": paths[1]}, runs=1)["nanoseconds"]
    assert min(times["a"] + times["b"]) > 0


def test_a_missing_package_is_named(files, monkeypatch):
    monkeypatch.setattr(
        files.importlib.util, "find_spec", lambda name: name != "tf2onnx" or None
    )
    assert files.onnx_missing() == "tf2onnx"
    monkeypatch.setattr(files.importlib.util, "find_spec", lambda name: True)
    assert files.onnx_missing() is None


def test_a_ratio_and_its_interval(script):
    random = np.random.default_rng(1)
    theirs = random.normal(10e6, 1e6, (20, 40))
    drift = random.uniform(1, 3, (20, 1))  # of the machine, on both sides
    found = script.ratio(theirs * 0.9 * drift, theirs * drift)
    for name in ("of_medians", "median_of_round_ratios", "of_minima"):
        assert found[name] == pytest.approx(0.9)
    assert found["interval"] == pytest.approx([0.9, 0.9])
    apart = script.ratio(random.normal(9e6, 1e6, (20, 40)), theirs)
    low, high = apart["interval"]
    assert low < apart["of_medians"] < high
    assert 0.87 < low < 0.9 < high < 0.93


def test_rounds_begin_with_each_file_in_turn(script, bar):
    begun = []

    def run(files, runs):
        begun.append(next(iter(files)))
        times = {"ours": 1, "stock": 2, "onnx": 4}
        return {
            "load_average": 0.5,
            "nanoseconds": {side: [times[side] * 1_000_000] * runs for side in files},
        }

    paths = dict.fromkeys(("ours", "stock", "onnx"), "file")
    found = script.measure(paths, 4, 3, bar, run)
    assert begun == ["ours", "stock", "onnx", "ours"]
    assert found["median_ms"] == found["min_ms"] == {"ours": 1, "stock": 2, "onnx": 4}
    assert found["ratio"]["stock"]["of_medians"] == 0.5
    assert found["ratio"]["onnx"]["interval"] == [0.25, 0.25]
    assert found["nanoseconds"]["onnx"] == [[4_000_000] * 3] * 4
    assert found["load_average_of_rounds"] == [0.5] * 4


@pytest.mark.parametrize(("ours", "verdict"), [(95, "within 0.95"), (96, "MISSES")])
def test_the_report_holds_files_and_times(
    script, files, tiny_files, monkeypatch, tmp_path, capsys, ours, verdict
):
    monkeypatch.setattr(files, "build", lambda network, images: (None, "random"))
    monkeypatch.setattr(files, "write_files", lambda *args, **_: paths_of(tiny_files))
    monkeypatch.setattr(files, "onnx_missing", lambda: "onnx")
    times = {"keras_effnet": ours, "keras.applications": 100}

    def run(paths, runs):
        return {"load_average": 0, "nanoseconds": {s: [times[s]] * runs for s in paths}}

    monkeypatch.setattr(script.measure, "__defaults__", (run,))
    path = tmp_path / "file_latency.json"
    options = ["--image-size", "32", "--calibration-images", "2", "--rounds", "2"]
    options += ["--network", "EfficientNetB0", "--output", str(path)]
    assert script.main(options) == 0
    out = capsys.readouterr().out
    assert "onnxruntime is left out: onnx is not installed" in out
    assert verdict in out.split("EfficientNetB0, int8")[0]
    kept = json.loads(path.read_text())
    assert {"commit", "command", "versions", "device"} <= set(kept)
    result = kept["comparisons"]["EfficientNetB0, float32"]
    assert result["target_ratio"] == 0.95
    assert result["ratio"]["keras.applications"]["of_medians"] == ours / 100
    files_ = result["files"]
    for side in times:
        data = tiny_files["float32"].read_bytes()
        assert files_[side]["bytes"] == len(data)
        assert len(files_[side]["sha256"]) == 64
    assert kept["comparisons"]["EfficientNetB0, int8"]["target_ratio"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rounds", "0"], "--rounds must be an integer from 1 up. Received: 0"),
        (["--runs", "0"], "--runs must be an integer from 1 up. Received: 0"),
        (["--calibration-images", "0"], "--calibration-images must be an integer"),
        (["--image-size", "8"], "--image-size must be an integer from 32 up"),
    ],
)
def test_bad_options_are_one_line(script, capsys, options, message):
    assert script.main(options) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("file_latency: error: ")
    assert message in line


def test_a_process_that_fails_is_one_line(script, tmp_path):
    path = tmp_path / "bad.tflite"
    path.write_bytes(b"no model")
    with pytest.raises(InputError, match=r"^The files can't be run. Received: .+"):
        script.run_worker({"a": path}, 1)


@pytest.mark.slow
def test_the_script_runs_with_its_smallest_arguments(tmp_path):
    path = tmp_path / "file_latency.json"
    child = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                f"{PEERS}.file_latency",
                "--network",
                "EfficientNetB0",
            ),
            *("--image-size", "32", "--calibration-images", "1", "--rounds", "1"),
            *("--runs", "1", "--output", path),
        ],
        capture_output=True,
        text=True,
    )
    assert child.returncode == 0, child.stderr
    kept = json.loads(path.read_text())["comparisons"]
    assert list(kept) == ["EfficientNetB0, float32", "EfficientNetB0, int8"]
    for result in kept.values():
        assert result["float_difference"]["keras.applications"] < 1e-4
        assert result["median_ms"]["keras_effnet"] > 0
    keras.backend.clear_session()
