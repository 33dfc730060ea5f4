"""The command quantize, as a user types it, mistakes included."""

import json
import pathlib
import sys
import types

import numpy as np
import pytest
from conftest import one_line
from test_export_page import Page
from test_export_page import comparison
from test_tuning_report import candidate
from test_tuning_report import unlabelled

from keras_effnet.cli.quantize import seconds_of
from keras_effnet.errors import InputError


@pytest.fixture
def searched(monkeypatch):
    """The search, replaced by one that notes what it was asked, and finds at once."""
    calls = []

    def search(model, folder, calibration, **options):
        calls.append({"model": model, "calibration": calibration} | options)
        options["progress"]("1: plain int8")
        met = options["min_agreement"] is None or options["min_agreement"] < 0.999
        judged = unlabelled if options["max_drop"] is None else comparison
        found = [
            candidate(1, "plain int8", judged(9), within=False),
            candidate(2, "mse ranges", judged(2), within=met),
        ]
        folder = pathlib.Path(folder)
        folder.mkdir(exist_ok=True)
        whole = {
            "model": model.name,
            "limits": {key: options[key] for key in ("max_drop", "min_agreement")},
            "met": met,
            "chosen": "mse ranges",
            "file": f"{options['name'] or model.name}.tflite",
            "candidates": found,
            "sensitivity": None,
            "calibration": {"images": 2, "sha256": "5f1f"},
            "judged_on": 200,
            "budget": options["budget"],
            "seconds": 1.5,
            "seed": options["seed"],
            "settings": options["settings"],
        }
        (folder / "search.json").write_text(json.dumps(whole))
        path = folder / f"{options['name'] or model.name}.tflite"
        return types.SimpleNamespace(
            chosen=found[1], candidates=found, met=met, path=path, folder=folder
        )

    module = types.ModuleType("keras_effnet.export.tuning.search")
    module.search = search
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr("keras_effnet.report.canvas.save", lambda figure, path: None)
    return calls


def test_the_search_gets_what_was_asked(command, saved, copies, searched, tmp_path):
    out = tmp_path / "out"
    code, output, errors = command(
        "quantize", saved, "--calibrate", copies, "--min-agreement", "0.97",
        "--budget", "1h30m", "--input-type", "uint8", "--seed", "3", "--name", "net",
        "--output", out,
    )  # fmt: skip
    assert code == 0
    (call,) = searched
    assert call["model"].name == "tiny"
    assert (call["max_drop"], call["min_agreement"]) == (None, 0.97)
    assert (call["budget"], call["seed"], call["name"]) == (5400, 3, "net")
    assert (call["input_type"], call["evaluation"]) == ("uint8", None)
    assert call["settings"]["command"].startswith("keras-effnet quantize ")
    shapes = [np.shape(batch) for batch in call["calibration"]()]
    assert shapes == [(1, 32, 32, 3)] * 2
    assert errors[-1] == "keras-effnet: 1: plain int8"
    heading, first, second, page, path = output.splitlines()
    assert heading.startswith("file ")
    assert first.startswith("1: plain int8 ")
    assert second.startswith("2: mse ranges (chosen) ")
    assert page == str(out / "search.html")
    assert path == str(out / "net.tflite")
    assert "keras-effnet quantize" in Page((out / "search.html").read_text()).text


def test_a_limit_that_is_not_met(command, saved, copies, searched, tmp_path):
    out = tmp_path / "out"
    code, output, errors = command(
        "quantize", saved, "--calibrate", copies, "--min-agreement", "1",
        "--output", out,
    )  # fmt: skip
    assert code == 1
    assert output.splitlines()[-2:] == [
        str(out / "search.html"),
        str(out / "tiny.tflite"),
    ]
    assert errors[-1].startswith("keras-effnet: error: No file keeps the limit.")
    assert f"kept as {out / 'tiny.tflite'} (mse ranges): agreement 0.99" in errors[-1]
    assert errors[-1].endswith("Received: --min-agreement 1")


def test_labels_go_to_the_search(command, saved, copies, searched, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text("file,class_index\nphotos/flower.jpg,3\n")
    code, *_ = command(
        "quantize", saved, "--calibrate", copies / "china.jpg", "--evaluate", labels,
        "--max-drop", "0.5", "--output", tmp_path / "out",
    )  # fmt: skip
    assert code == 0
    (call,) = searched
    assert call["evaluation"].labels.tolist() == [3]
    assert [np.shape(b) for b in call["evaluation"].batches()] == [(1, 32, 32, 3)]
    assert call["max_drop"] == 0.5


def test_quantize_refuses(command, saved, copies, searched, tmp_path):
    china, flower = copies / "china.jpg", copies / "flower.jpg"
    limit = ("--min-agreement", "0.97")
    photos = ("--calibrate", china)
    labels = tmp_path / "labels.csv"
    labels.write_text("file,class_index\nphotos/china.jpg,3\n")
    (tmp_path / "unlabelled").mkdir()
    (tmp_path / "unlabelled" / "flower.jpg").write_bytes(flower.read_bytes())
    for arguments, message in (
        (photos, "needs a limit: --max-drop POINTS, or"),
        ((*photos, "--max-drop", "0.5"), "give --evaluate, or --min-agreement instead"),
        (
            (*photos, "--max-drop", "0.5", "--evaluate", tmp_path / "unlabelled"),
            "--max-drop needs classes",
        ),
        ((*photos, "--max-drop", "-1", "--evaluate", labels), "from 0 to 100"),
        ((*photos, "--max-drop", "nan", "--evaluate", labels), "from 0 to 100"),
        ((*photos, "--min-agreement", "97"), "Did you mean 0.97? Received: 97"),
        ((*photos, "--min-agreement", "-1"), "a share from 0 to 1. Received: -1"),
        ((*photos, "--min-agreement", "nan"), "a share from 0 to 1. Received: nan"),
        ((*photos, *limit, "--evaluate", labels), "never judged by photographs"),
        ((*photos, *limit, "--budget", "soon"), "such as 90s, 20m or 1h30m"),
        (limit, "Received: no --calibrate"),
        (("--calibrate", tmp_path / "no", *limit), "no such file or folder"),
        (
            (*photos, *limit, "--calibration-images", "0"),
            "--calibration-images must be at least 1",
        ),
        ((*photos, *limit, "--weights", "w.h5"), "has its weights"),
    ):
        line = refusal(
            command("quantize", saved, *arguments, "--output", tmp_path / "out")
        )
        assert message in line
        assert not searched
        assert not (tmp_path / "out").exists()


def refusal(result):
    """The line that refuses, after the note on few photographs."""
    code, output, errors = result
    notes = [line for line in errors if "leave the ranges of" in line]
    return one_line((code, output, [line for line in errors if line not in notes]))


def test_lengths_of_time():
    for text, seconds in (
        ("90s", 90),
        ("20m", 1200),
        ("1h30m", 5400),
        ("2h", 7200),
        ("1h5s", 3605),
        ("90m", 5400),
        ("1m30s", 90),
    ):
        assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "0", "3", "0m", "-5", "1.5h", "20 m", "m", "30m1h", "1h30", "20min", "٣"],
)
def test_no_lengths_of_time(text):
    with pytest.raises(InputError, match="--budget must be") as refused:
        seconds_of(text)
    assert str(refused.value).endswith(f"Received: {text!r}")
