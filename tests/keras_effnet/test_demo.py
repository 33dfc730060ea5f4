"""The demo, whole: what a newcomer sees first."""

import json
import re

import pytest

from keras_effnet.data.digits import load_digits
from keras_effnet.demo import run_demo
from keras_effnet.errors import InputError
from keras_effnet.evaluation import evaluate


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    lines = []
    return folder, run_demo(folder, progress=lines.append), lines


@pytest.mark.slow
def test_the_digits_are_learned(demo):
    _, results, _ = demo
    assert results["held_out_images"] == 364
    assert results["keras"]["accuracy"] >= 0.97


@pytest.mark.slow
def test_int8_is_within_a_point(demo):
    _, results, _ = demo
    by_precision = {file["precision"]: file for file in results["files"]}
    float32, int8 = by_precision["float32"], by_precision["int8"]
    assert abs(float32["accuracy"] - results["keras"]["accuracy"]) < 0.003
    assert int8["accuracy"] >= float32["accuracy"] - 0.01
    assert int8["bytes"] < 0.5 * float32["bytes"]
    assert 0 < int8["min_ms"] <= int8["median_ms"] <= int8["p90_ms"]


@pytest.mark.slow
def test_the_figures_belong_to_the_files(demo):
    folder, results, _ = demo
    assert json.loads((folder / "results.json").read_text()) == json.loads(
        json.dumps(results)
    )
    _, held_out = load_digits(48)
    for source, expected in (
        ("digits.keras", results["keras"]),
        *((file["name"], file) for file in results["files"]),
    ):
        found = evaluate(folder / source, [held_out.images], held_out.labels)
        assert found.top1 == expected["accuracy"]


@pytest.mark.slow
def test_the_report_shows_them(demo):
    folder, results, lines = demo
    text = (folder / "report.html").read_text()
    assert text.count("data:image/svg+xml;base64,") == 2
    assert text.count("data:image/png;base64,") == 48
    for file in results["files"]:
        assert file["name"] in text
        assert f"<td>{file['median_ms']:.3f}</td>" in text
    assert not re.findall(r"(?:src|href)=.https?:", text)  # it needs no network
    assert len(lines) == 4


def test_the_split_is_stable_and_fair():
    train, test = load_digits(8)
    assert (len(train.labels), len(test.labels)) == (1433, 364)
    assert train.images.shape == (1433, 8, 8, 1)
    shown = {image.tobytes() for image in train.images}
    assert not any(image.tobytes() in shown for image in test.images)
    for digit in range(10):
        share = (test.labels == digit).sum() / (
            (test.labels == digit).sum() + (train.labels == digit).sum()
        )
        assert share == pytest.approx(0.2, abs=0.01)
    # The first three digits of the file are 0, 1 and 2, each its digit's first.
    assert test.labels[:3].tolist() == [0, 1, 2]
    assert (train.images.min(), train.images.max()) == (0, 255)


def test_impossible_digits():
    with pytest.raises(InputError, match="size=0"):
        load_digits(0)
    with pytest.raises(InputError, match="held_out=1"):
        load_digits(8, held_out=1)
