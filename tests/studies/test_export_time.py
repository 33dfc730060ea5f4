"""studies/peers/export_time.py: its turns and figures by sides of known speed, its
conversions on a tiny network."""

import importlib
import json
import subprocess
import sys

import numpy as np
import pytest
import test_docs
from PIL import Image

from keras_effnet.errors import InputError
from keras_effnet.export import export
from keras_effnet.tflite import TFLiteModel

ROOT = test_docs.ROOT
PEERS = "keras_effnet.benchmarks.studies.peers"


@pytest.fixture(scope="module")
def module():
    """Imports a script or a part of one by its name."""
    return lambda name: importlib.import_module(f"{PEERS}.{name}")


@pytest.fixture
def script(module):
    return module("export_time")


@pytest.fixture
def pixels():
    return np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype("float32")


class Bar:
    """A `tqdm` that only counts."""

    def __init__(self):
        self.count = 0

    def update(self):
        self.count += 1

    def set_description(self, text):
        pass


def answer(seconds, peak=100):
    return {"nanoseconds": seconds * 1e9, "peak_memory_kb": peak, "files": {}}


def compared(script, answers, rounds):
    """Compares sides that answer as told; the result, and the order of the sides."""
    (case,) = script.cases(["EfficientNetV2S"], rounds, 32)
    order, bar = [], Bar()

    def run(side, of_case, images):
        assert of_case == case
        assert np.load(images).tolist() == [[1.0]]
        order.append(side)
        return answers[side].pop(0)

    result = script.compare(case, np.array([[1.0]]), "made up", bar, run)
    assert bar.count == len(order)
    return result, order


def test_the_sides_take_turns_and_become_a_ratio(script):
    answers = {
        "keras_effnet": [answer(2, 300), answer(4, 200)],
        "TFLiteConverter": [answer(10, 500), answer(10, 600)],
    }
    result, order = compared(script, answers, rounds=2)
    ours, theirs = "keras_effnet", "TFLiteConverter"
    assert order == [ours, theirs, theirs, ours]
    assert result["ratio"] == 0.3  # 3 s of 10 s
    assert result["seconds"] == {ours: [2, 4], theirs: [10, 10]}
    # The largest of a side's processes.
    assert result["peak_memory_kb"] == {ours: 300, theirs: 600}
    assert result["peak_memory_ratio"] == 0.5
    assert result["calibration"] == "made up"


@pytest.mark.parametrize(
    ("seconds", "verdict"), [(4.5, "within 0.45"), (4.6, "MISSES 0.45")]
)
def test_the_verdict_is_shown(script, capsys, seconds, verdict):
    answers = {"keras_effnet": [answer(seconds)], "TFLiteConverter": [answer(10)]}
    result, _ = compared(script, answers, rounds=1)
    script.show("label", result)
    assert verdict in capsys.readouterr().out


def test_the_whole_run_is_five_precisions_and_one(script):
    b0, v2s = script.cases()
    assert (b0.network, v2s.network) == ("EfficientNetB0", "EfficientNetV2S")
    assert b0.precisions == ("float32", "float16", "dynamic", "int8", "int16x8")
    assert v2s.precisions == ("float32",)
    assert (b0.rounds, v2s.rounds) == (1, 2)
    assert (b0.image_size, v2s.image_size) == (224, 384)


def test_a_report_is_written_after_every_case(script, monkeypatch, tmp_path):
    seen = []

    def run(side, case, images):
        seen.append((side, case.network, np.load(images).shape))
        return answer(1)

    monkeypatch.setattr(script.compare, "__defaults__", (run,))
    path = tmp_path / "export_time.json"
    options = ["--image-size", "32", "--calibration-images", "2", "--rounds", "1"]
    assert script.main([*options, "--output", str(path)]) == 0
    assert [each[:2] for each in seen] == [
        (side, network)
        for network in ("EfficientNetB0", "EfficientNetV2S")
        for side in ("keras_effnet", "TFLiteConverter")
    ]
    assert {each[2] for each in seen} == {(2, 32, 32, 3)}
    kept = json.loads(path.read_text())
    assert list(kept["comparisons"]) == [
        "EfficientNetB0, float32, float16, dynamic, int8, int16x8",
        "EfficientNetV2S, float32",
    ]
    assert {"commit", "command", "versions", "device"} <= set(kept)


@pytest.mark.filterwarnings(
    "ignore:Statistics for quantized inputs",  # its own calibration gives them
    r"ignore:\s*Warning. tf.lite.Interpreter is deprecated",
)
@pytest.mark.slow
def test_both_sides_convert(module, tiny_model, pixels, tmp_path):
    sides = module("_export_sides")
    ours, _ = sides.convert_ours(export, tiny_model, tmp_path, ["float32"], pixels)
    assert list(ours) == ["float32"]
    stock, seconds = sides.convert_stock(tiny_model, tmp_path, ["int8"], pixels)
    assert list(stock) == list(seconds) == ["int8"]
    assert seconds["int8"] > 0
    expected = np.asarray(tiny_model(pixels))
    found = TFLiteModel(ours["float32"]).predict(pixels)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    file = TFLiteModel(stock["int8"])
    assert file.input["dtype"] == file.output["dtype"] == np.int8
    assert (file.predict(pixels).argmax(-1) == expected.argmax(-1)).all()


@pytest.mark.parametrize("precision", ["float32", "float16", "dynamic", "int16x8"])
def test_the_usual_settings_of_a_precision(module, precision, pixels):
    """Against TensorFlow's guide to post-training quantisation."""
    import tensorflow as tf

    class Converter:
        optimizations, representative_dataset = [], None

        def __init__(self):
            self.target_spec = tf.lite.TargetSpec()

        def convert(self):
            return b""

    converter = Converter()
    module("_stock").convert(converter, precision, pixels)
    assert bool(converter.optimizations) == (precision != "float32")
    spec = converter.target_spec
    assert list(spec.supported_types) == [tf.float16] * (precision == "float16")
    wide = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    assert (wide in spec.supported_ops) == (precision == "int16x8")
    if precision == "int16x8":
        given = [image for (image,) in converter.representative_dataset()]
        np.testing.assert_array_equal(np.concatenate(given), pixels)
    else:
        assert converter.representative_dataset is None


def test_a_process_that_fails_is_one_line(script, tmp_path):
    (case,) = script.cases(["EfficientNetB0"], 1, 32)
    with pytest.raises(InputError, match=r"No such file.*Received: TFLiteConverter$"):
        script.run_side("TFLiteConverter", case, tmp_path / "absent.npy")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rounds", "0"], "--rounds must be an integer from 1 up. Received: 0"),
        (["--calibration-images", "-1"], "--calibration-images must be an integer"),
        (["--image-size", "31"], "--image-size must be an integer from 32 up"),
    ],
)
def test_bad_options_are_one_line(script, capsys, options, message):
    assert script.main(options) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("export_time: error: ")
    assert message in line


def test_help_names_the_command(script, capsys):
    with pytest.raises(SystemExit) as caught:
        script.main(["--help"])
    assert caught.value.code == 0
    assert "python benchmarks/studies/peers/export_time.py" in capsys.readouterr().out


def test_photographs_are_spread_over_the_folder(module, tmp_path):
    for number in range(6):
        Image.new("RGB", (40, 50), (40 * number, 0, 0)).save(tmp_path / f"{number}.png")
    take = module("_calibration").calibration_images
    images, source = take("EfficientNetB0", 3, 32, tmp_path)
    assert images.shape == (3, 32, 32, 3)
    assert images.dtype == np.float32
    assert images[:, 0, 0, 0].tolist() == [0, 80, 160]
    assert source == f"3 photographs of {tmp_path.name}"


def test_too_few_photographs_are_replaced_and_it_is_said(module, tmp_path):
    take = module("_calibration").calibration_images
    images, source = take("EfficientNetB0", 3, folder=tmp_path / "absent")
    assert source == "3 made-up images"
    assert images.shape == (3, 224, 224, 3)
    assert 0 <= images.min() < images.max() <= 255
    again, _ = take("EfficientNetB0", 3, folder=tmp_path / "absent")
    np.testing.assert_array_equal(images, again)


@pytest.mark.slow
def test_the_script_converts_on_both_sides(tmp_path):
    path = tmp_path / "export_time.json"
    child = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                f"{PEERS}.export_time",
                "--network",
                "EfficientNetB0",
            ),
            *("--image-size", "32", "--calibration-images", "2", "--output", path),
        ],
        capture_output=True,
        text=True,
    )
    assert child.returncode == 0, child.stderr
    (result,) = json.loads(path.read_text())["comparisons"].values()
    for processes in result["processes"].values():
        (process,) = processes
        assert process["nanoseconds"] > 0
        assert process["peak_memory_kb"] > process["memory_before_kb"] > 0
        assert list(process["files"]) == result["precisions"]
        assert all(len(file["sha256"]) == 64 for file in process["files"].values())
