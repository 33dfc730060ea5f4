"""The report of a search for a file within a limit, read as a browser would."""

import itertools
import json
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.text import Text
from test_export_page import Page
from test_export_page import comparison
from test_export_page import fits_a_phone

from keras_effnet.errors import InputError
from keras_effnet.evaluation import Evaluation
from keras_effnet.export.tuning import search_charts
from keras_effnet.export.tuning import search_page
from keras_effnet.paired import compare


def unlabelled(differing, images=200):
    """Agreement alone, on all but so many images."""
    before, after = np.zeros(images, int), np.zeros(images, int)
    after[:differing] = 1
    sides = [Evaluation(np.eye(2)[named], None) for named in (before, after)]
    return compare(*sides).as_json()


def candidate(number, name, evaluation, **changes):
    return {
        "name": name,
        "levers": name.split(", "),
        "precision": "int8",
        "file": f"candidates/{number:02}_x.tflite",
        "bytes": 8_310_000,
        "float_nodes": [],
        "float_share": 0.0,
        "latency": {"median_ms": 20.0 + number, "p90_ms": 22.0, "relative": 1.0},
        "evaluation": evaluation,
        "divergence": 0.02,
        "within": True,
        "seconds": 10.0,
    } | changes


@pytest.fixture
def labelled():
    return [
        candidate(1, "plain int8", comparison(9, 1), within=False),
        candidate(2, "mse ranges", comparison(3, 1), float_share=0.021),
        candidate(3, "float16", comparison(0, 0), precision="float16"),
    ]


@pytest.fixture
def agreeing():
    return [
        candidate(1, "plain int8", unlabelled(12), within=False),
        candidate(2, "mse ranges", unlabelled(4)),
        candidate(3, "weight-only", unlabelled(1), precision="weight-only"),
    ]


def operator(number, activation, kernel=None):
    named = {"name": f"net/layer{number}/op", "operator": "CONV_2D"}
    shape = [1, 7, 7, 32]
    return named | {"shape": shape, "activation": activation, "kernel": kernel}


def search(candidates, chosen="mse ranges", **changes):
    """As it comes back from its .json file."""
    whole = {
        "model": "net",
        "limits": {"max_drop": 1.5, "min_agreement": None},
        "met": True,
        "chosen": chosen,
        "file": "net_int8.tflite",
        "candidates": candidates,
        "sensitivity": [operator(n, 1e-5 * n, 1e-6) for n in range(20)],
        "calibration": {"images": 250, "sha256": "5f1f" * 16},
        "judged_on": 200,
        "budget": 1200,
        "seconds": 640.2,
        "seed": 0,
        "settings": {"command": "keras-effnet quantize net.keras"},
    }
    return json.loads(json.dumps(whole | changes))


def read(found, folder):
    path = search_page.write(folder, found)
    assert path == folder / "search.html"
    return Page(path.read_text(encoding="utf-8"))


def words(figure):
    """What stands in a picture outside of its axes."""
    return " ".join(text.get_text() for text in figure.texts)


AGREEMENT = {"max_drop": None, "min_agreement": 0.97}


def test_a_search_with_labels_is_told(labelled, tmp_path):
    page = read(search(labelled), tmp_path)
    for told in (
        "Within the limit, a drop of at most 1.5 percentage points: "
        "net_int8.tflite (mse ranges). Measured: a drop of 1.00 percentage "
        "points of top-1 (95 % interval −",
        "Its interval reaches over the limit",
        "2: mse ranges (chosen) yes 1.00 (−",
        "19: layer19 CONV_2D 1 × 7 × 7 × 32 0.00019 1e-06",
        "judged on 200 images calibration images: 250; sha256: 5f1f",
        "budget 1200 s time taken 640 s seed 0",
        "keras-effnet quantize net.keras",
    ):
        assert told in page.text, told
    assert "9: layer9" not in page.text
    assert "None" not in page.text
    assert page.fetched == []
    assert not {"script", "link", "iframe"} & set(page.tags)
    pictures = [tmp_path / "tradeoff.svg", tmp_path / "sensitivity.svg"]
    assert sorted(tmp_path.glob("*.svg")) == sorted(pictures)
    for path, inside in zip(pictures, page.pictures.values(), strict=True):
        assert ElementTree.parse(path).getroot().attrib == inside.attrib
        assert fits_a_phone(inside)


@pytest.fixture
def undrawn(monkeypatch):
    """To draw the pictures takes most of the time."""
    monkeypatch.setattr(search_page.canvas, "save", lambda figure, path: None)
    monkeypatch.setattr(
        search_page.page, "image", lambda figure, text: f"<p>{text}</p>"
    )


@pytest.mark.usefixtures("undrawn")
def test_without_labels_there_is_agreement_alone(agreeing, tmp_path):
    page = read(search(agreeing, limits=AGREEMENT), tmp_path)
    assert "Within the limit, agreement of at least 0.97: net_int8" in page.text
    assert "agreement 0.9800 (95 % interval 0.94" in page.text
    assert "Agreement of each file" in page.text
    for absent in ("top-1", "drop", "Tango", "Accuracy", "None"):
        assert absent not in page.text


@pytest.mark.usefixtures("undrawn")
def test_both_limits_have_a_picture_each(labelled, tmp_path):
    limits = {"max_drop": 1.5, "min_agreement": 0.97}
    text = read(search(labelled, limits=limits), tmp_path).text
    assert "1.5 percentage points and agreement of at least 0.97" in text
    assert "Accuracy of each file" in text
    assert "Agreement of each file" in text
    assert "Agreement of each" not in read(search(labelled), tmp_path).text


@pytest.mark.usefixtures("undrawn")
def test_a_limit_that_was_not_met(labelled, tmp_path):
    for file in labelled:
        file["within"] = False
    limits = {"max_drop": 0.1, "min_agreement": None}
    search_page.write(tmp_path, search(labelled, "float16", met=False, limits=limits))
    source = (tmp_path / "search.html").read_text()
    assert 'class="verdict over">No file keeps the limit, a drop of at most' in source
    assert "The best is net_int8.tflite (float16): a drop of 0.00" in source
    assert "Within the limit" not in source


@pytest.mark.usefixtures("undrawn")
def test_the_interval_is_warned_of_only_where_it_reaches_over(labelled, tmp_path):
    for drop, agreement, told in (
        (1.5, None, True),
        (20, None, False),
        (None, 0.97, True),
        (None, 0.9, False),
        (20, 0.97, True),
    ):
        limits = {"max_drop": drop, "min_agreement": agreement}
        text = read(search(labelled, limits=limits), tmp_path).text
        assert ("reaches over the limit" in text) == told


def test_one_candidate_without_figures_to_compare(tmp_path):
    only = candidate(1, "plain int8", unlabelled(2), latency=None, divergence=None)
    found = search(
        [only], "plain int8", limits=AGREEMENT, sensitivity=None, budget=None
    )
    page = read(found, tmp_path)
    assert "1: plain int8 (chosen) yes 99.0% (" in page.text
    assert "Which operators" not in page.text
    assert "budget" not in page.text
    assert sorted(p.name for p in tmp_path.glob("*.svg")) == ["tradeoff.svg"]
    figure = search_charts.tradeoff([only], "plain int8", "agreement", 0.97)
    assert [axis.get_xlabel() for axis in figure.axes] == ["size of the file (MB)"]


def test_names_are_no_markup(labelled, tmp_path):
    nasty = "<script>$x_$&amp;"
    labelled[1]["name"] = nasty
    rows = [operator(0, 1.0) | {"name": nasty, "operator": nasty}]
    found = search(labelled, nasty, model=nasty, sensitivity=rows)
    page = read(found | {"settings": {"command": nasty}}, tmp_path)
    assert "script" not in page.tags
    assert page.text.count(nasty) >= 6


def test_the_table_leaves_out_what_has_no_value(labelled, agreeing):
    heading, first, second, _ = search_page.table(labelled, "mse ranges").splitlines()
    assert heading.split("  ")[0] == "file"
    for name in ("top-1", "drop", "agreement", "ms", "× int8", "in float", "within"):
        assert name in heading
    assert first.startswith("1: plain int8 ")
    assert first.split()[3] == "no"
    assert second.startswith("2: mse ranges (chosen) ")
    assert " 1.00 (-" in second
    heading = search_page.table(agreeing, "mse ranges").splitlines()[0]
    assert "agreement" in heading
    assert "top-1" not in heading
    agreeing[0]["latency"] = None
    assert " - " in search_page.table(agreeing, "mse ranges").splitlines()[1]


def test_the_picture_shows_points_intervals_and_limit(labelled):
    figure = search_charts.tradeoff(labelled, "mse ranges", "accuracy", 1.5)
    latency, size = figure.axes
    assert latency.get_xlabel().endswith("(ms)")
    assert size.get_xlabel().endswith("(MB)")
    for axis in figure.axes:
        levels = [line.get_ydata()[0] for line in axis.lines[-2:]]
        assert levels == pytest.approx([0.895, 0.895 - 0.015])
        assert {text.get_text() for text in axis.texts} == {"1", "2", "3"}
    low, high = comparison(3, 1)["drop_interval"]
    bars = [tuple(line.get_ydata()) for line in latency.lines]
    expected = pytest.approx((0.895 - high / 100, 0.895 - low / 100))
    assert any(bar == expected for bar in bars)
    written = words(figure)
    assert written.startswith("2 of 3 files keep within the limit; the fastest: mse")
    assert "2 mse ranges 3 float16" in written


def test_fastest_is_said_of_the_fastest_alone(labelled):
    written = words(search_charts.tradeoff(labelled, "float16", "accuracy"))
    assert written.startswith("2 of 3 files keep within the limit; chosen: float16 ")
    for file in labelled:
        file["within"] = False
    written = words(search_charts.tradeoff(labelled, "float16", "accuracy"))
    assert written.startswith("None of 3 files keeps within the limit; best: float16 ")


def test_a_collapsed_file_does_not_flatten_the_others(agreeing):
    agreeing[0]["evaluation"] = unlabelled(190)
    figure = search_charts.tradeoff(agreeing, "mse ranges", "agreement", 0.97)
    assert figure.axes[0].get_ylim()[0] > 0.85
    assert "plain int8: 5.0%, below the scale" in words(figure)


def test_labels_touch_neither_each_other_nor_points():
    same = [
        candidate(n, f"file {n}", unlabelled(n % 3), latency={"median_ms": 20.0})
        for n in range(9)
    ]
    figure = search_charts.tradeoff(same, "file 0", "agreement")
    figure.draw_without_rendering()
    for axis in figure.axes:
        # An annotation's own extent has the line to its point in it.
        boxes = [Text.get_window_extent(text) for text in axis.texts]
        texts = [text.get_text() for text in axis.texts]
        assert texts == ["1, 4, 7", "2, 5, 8", "3, 6, 9"]
        for one, other in itertools.combinations(boxes, 2):
            assert not one.overlaps(other)
        for n in range(3):
            point = axis.transData.transform(axis.texts[n].xy)
            assert not any(box.contains(*point) for box in boxes)


def test_the_sensitivity_has_a_bar_for_each_operator():
    rows = [operator(n, 10.0**-n, None if n % 2 else 1e-4) for n in range(12)]
    figure = search_charts.sensitivity(rows)
    activation, kernel = figure.axes
    assert activation.get_yscale() == "log"
    heights = [bar.get_height() for bar in activation.patches]
    assert heights == pytest.approx([10.0**-n for n in range(12)])
    assert [bar.get_height() for bar in kernel.patches][:2] == [1e-4, 0]
    assert words(figure) == "1 of 12 operators makes up half of the sensitivity"
    assert search_charts.worst(rows)[:3] == [0, 1, 2]
    assert len(search_charts.worst(rows)) == 10


def test_a_sensitivity_without_kernels_or_of_nothing():
    even = search_charts.sensitivity([operator(n, 1.0) for n in range(4)])
    assert len(even.axes) == 1
    assert even.axes[0].get_yscale() == "linear"
    assert "2 of 4 operators make up half" in words(even)
    nothing = search_charts.sensitivity([operator(0, 0.0), operator(1, float("nan"))])
    assert words(nothing) == "No operator is sensitive to 8 bits"
    assert search_charts.worst([operator(0, 0.0)]) == []


@pytest.mark.usefixtures("undrawn")
def test_a_folder_in_the_way(labelled, tmp_path):
    (tmp_path / "search.html").mkdir()
    with pytest.raises(InputError, match=r"can't be written.*search\.html"):
        search_page.write(tmp_path, search(labelled))
