"""The page beside an exported file, read as a browser would."""

import base64
import html.parser
import json
import re
import xml.etree.ElementTree

import numpy as np
import pytest

from keras_effnet.errors import InputError
from keras_effnet.evaluation import Evaluation
from keras_effnet.export import sheet_page
from keras_effnet.export.sheet_page import write_page
from keras_effnet.paired import compare
from keras_effnet.report import page as report_page

TENSOR = {"shape": [1, 224, 224, 3], "dtype": "int8", "scale": 1.0, "zero_point": -128}
_EMPTY = base64.b64encode(b"<svg/>").decode()
_SVG = "data:image/svg+xml;base64,"


@pytest.fixture
def placeholders(monkeypatch):
    """Pictures by their descriptions alone: to draw them takes most of the time."""

    def image(figure, description):
        assert figure.axes
        return f'<img alt="{description}" src="{_SVG}{_EMPTY}">'

    monkeypatch.setattr(report_page, "image", image)


class Page(html.parser.HTMLParser):
    """Texts, pictures as XML by their descriptions, and whatever the page would fetch
    from elsewhere."""

    def __init__(self, source):
        super().__init__()
        self.text, self.pictures, self.fetched, self.tags = "", {}, [], []
        self.feed(source.replace("<wbr>", ""))  # a name stays one
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        source = attributes.get("src", attributes.get("href", ""))
        if source.startswith(_SVG):
            data = base64.b64decode(source.partition(",")[2])
            self.pictures[attributes["alt"]] = xml.etree.ElementTree.fromstring(data)
        elif not source.startswith(("#", "data:image/")) and source:
            self.fetched.append(source)

    def handle_data(self, data):
        self.text += f" {data}"


def fits_a_phone(picture):
    """Whether a picture is as narrow as a phone's page, its text 11 px and more, drawn,
    and written as text."""
    source = xml.etree.ElementTree.tostring(picture, encoding="unicode")
    sizes = [float(size) for size in re.findall(r"font(?:-size)?: ([\d.]+)px", source)]
    assert sizes
    assert min(sizes) >= 11
    assert float(picture.get("width").removesuffix("pt")) <= 358
    return source.count("<ns0:path") > 5


def comparison(lost=3, gained=1, images=200):
    """Reference and file differ where the counts say; 20 both get wrong."""
    labels = np.zeros(images, int)
    before, after = np.zeros(images, int), np.zeros(images, int)
    before[:20] = after[:20] = 1
    after[20 : 20 + lost] = 1
    before[100 : 100 + gained] = 1
    sides = [Evaluation(np.eye(2)[named], labels) for named in (before, after)]
    return compare(*sides).as_json()


def layer(name, error, operator="CONV_2D"):
    figures = {"scale": 0.1, "rms": 1.0, "sqnr": 20.0, "rmse_over_scale": 0.4}
    return {"name": name, "operator": operator, "error": error, **figures}


def sheet(**changes):
    """A whole one, as it comes back from its .json file."""
    whole = {
        "model": "lite0",
        "precision": "int8",
        "engine": "TFLiteConverter",
        "file": "lite0_int8.tflite",
        "bytes": 5272864,
        "sha256": "5f1f" * 16,
        "batch_size": 1,
        "input": {"name": "images", **TENSOR},
        "output": {"name": "probabilities", "shape": [1, 2], "dtype": "float32"},
        "operators": {"CONV_2D": 33, "SOFTMAX": 1, "QUANTIZE": 1},
        "float_operators": {"SOFTMAX": 1},
        "partitions": 2,
        "outside_xnnpack": {"QUANTIZE": 1},
        "preprocessing": {"mean": [127.0], "crop_padding": None, "included": True},
        "class_names": ["tench", "goldfish"],
        "calibration": {"images": 200, "method": "minimum and maximum"},
        "evaluation": comparison(),
        "max_drop": 1.5,
        "verdict": "within limit",
        "layer_errors": [layer(f"m/layer{n}/op", 0.01 * n) for n in range(30)],
        "latency": {
            "threads": 1,
            "runs": 32,
            "median_ms": 18.0,
            "p90_ms": 20.0,
            "float_median_ms": 24.0,
            "host": {"cpu": "A processor", "cores": 2},
        },
        "seconds": {"trace": 2.7, "calibrate": None, "convert": 4.6},
        "settings": {"command": "keras-effnet export m.keras", "per_channel": True},
        "versions": {"keras": "3.15.1"},
    }
    return json.loads(json.dumps(whole | changes))


def read(sheet, tmp_path):
    write_page(sheet, tmp_path / "page.html")
    return Page((tmp_path / "page.html").read_text(encoding="utf-8"))


@pytest.mark.usefixtures("placeholders")
def test_a_whole_sheet_is_told(tmp_path):
    page = read(sheet(), tmp_path)
    for told in (
        "lite0, int8",
        "Within the limit of 1.5 percentage points.",
        "Top-1 is 88.50% against the float model's 89.50%",
        "a drop of 1.00 percentage points",
        "same class as the float model for 98.0% of 200 images",
        "accuracy (top-1) 88.5% agrees with float 98.0% size 5.27 MB",
        "time on this host 18.00 ms, 0.75 × the float file's",
        "bytes 5,272,864",
        "5f1f" * 16,
        "images, 1 × 224 × 224 × 3, int8: value = 1 × (stored + 128)",
        "probabilities, 1 × 2, float32 ",
        "mean: 127; included: yes",
        "2: tench … goldfish",
        "images: 200; method: minimum and maximum",
        "3 that the float model names rightly and this file does not, 1 the other",
        "Operators in float: 1 of 35.",
        "Partitions that XNNPACK runs: 2.",
        "QUANTIZE 1 – 1",
        "29: layer29 0.29 20.0 0.40 CONV_2D 28: layer28",
        "median 18.00 ms 90th percentile 20.00 ms float file, median 24.00 ms",
        "ratio to float 0.75 threads 1 runs 32 host cpu: A processor; cores: 2",
        "trace 2.7 s convert 4.6 s",
        "keras-effnet export m.keras per_channel yes",
        "keras 3.15.1",
    ):
        assert told in page.text, told
    assert "None" not in page.text


def test_the_page_holds_its_own_pictures(tmp_path):
    page = read(sheet(), tmp_path)
    assert page.fetched == []
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert len(page.pictures) == 3
    assert all(map(fits_a_phone, page.pictures.values()))


@pytest.mark.usefixtures("placeholders")
def test_ten_worst_layers_are_listed(tmp_path):
    text = read(sheet(), tmp_path).text
    assert "20: layer20" in text
    assert "19: layer19" not in text


@pytest.mark.usefixtures("placeholders")
def test_only_the_fused_layers_last_name_is_shown(tmp_path):
    rows = [layer("m/a_bn/mul;m/a_conv/convolution1", 0.1), layer("Identity", 0.2)]
    text = read(sheet(layer_errors=rows), tmp_path).text
    assert "1: Identity 0.2" in text
    assert "0: a_conv 0.1" in text


@pytest.mark.usefixtures("placeholders")
def test_over_the_limit(tmp_path):
    changes = {"verdict": "over the limit", "max_drop": 0.5}
    write_page(sheet(**changes), tmp_path / "page.html")
    source = (tmp_path / "page.html").read_text()
    assert "Over the limit of 0.5 percentage points." in source
    assert 'class="verdict over"' in source


@pytest.mark.usefixtures("placeholders")
@pytest.mark.parametrize(("limit", "told"), [(1.5, True), (20.0, False)])
def test_an_interval_that_reaches_over_the_limit_is_told(limit, told, tmp_path):
    page = read(sheet(max_drop=limit), tmp_path)
    assert ("The interval reaches over the limit" in page.text) == told
    source = (tmp_path / "page.html").read_text()
    assert f'class="verdict {"open" if told else "within"}"' in source


@pytest.mark.usefixtures("placeholders")
def test_a_gain_is_a_negative_drop(tmp_path):
    text = read(sheet(evaluation=comparison(lost=0, gained=4)), tmp_path).text
    assert "a drop of −2.00 percentage points" in text


@pytest.mark.usefixtures("placeholders")
def test_without_a_limit_there_is_no_verdict(tmp_path):
    page = read(sheet(max_drop=None, verdict=None), tmp_path)
    assert "imit" not in page.text
    assert "a drop of 1.00 percentage points" in page.text


@pytest.mark.usefixtures("placeholders")
def test_what_was_trained_is_held_against_what_came_in(tmp_path):
    recipe = {"steps": 2, "distillation": 1.0}
    figures = {"technique": "quantize", "images": 8, "history": [1.0, 0.5]}
    page = read(sheet(training=figures | {"recipe": recipe}), tmp_path)
    assert "technique quantisation-aware training (qat), by TensorFlow" in page.text
    assert "model before training 89.50%" in page.text
    assert "difference from the trained network in float" in page.text


@pytest.mark.usefixtures("placeholders")
def test_without_labels_there_is_agreement_alone(tmp_path):
    labelless = Evaluation(np.eye(2)[[0, 1, 1]], None)
    found = compare(labelless, labelless).as_json()
    page = read(sheet(evaluation=found, verdict=None), tmp_path)
    assert "same class as the float model for 100.0% of 3 images" in page.text
    assert "the right one was not measured" in page.text
    assert "Tango" not in page.text
    assert "Top-1" not in page.text


@pytest.mark.usefixtures("placeholders")
def test_without_photographs_the_page_tells_how(tmp_path):
    page = read(sheet(evaluation=None, verdict=None), tmp_path)
    assert "the same command with --evaluate PHOTOS measures them" in page.text
    assert "Accuracy and agreement" in page.text
    assert "Wilson" not in page.text


@pytest.mark.usefixtures("placeholders")
@pytest.mark.parametrize("key", [*sheet(), None])
@pytest.mark.parametrize("absent", [True, False])
def test_whatever_is_absent_is_left_out(key, absent, tmp_path):
    found = sheet()
    for name in [key] if key else list(set(found) - {"model", "precision"}):
        if name in ("evaluation", "max_drop"):
            found["verdict"] = None
        if absent:
            found.pop(name, None)
        else:
            found[name] = None
    page = read(found, tmp_path)
    assert "None" not in page.text
    assert len(page.pictures) == {"layer_errors": 2, "evaluation": 1, None: 0}.get(
        key, 3
    )


@pytest.mark.usefixtures("placeholders")
def test_no_operator_in_float_is_a_figure(tmp_path):
    text = read(sheet(float_operators={}), tmp_path).text
    assert "Operators in float: 0 of 35." in text


@pytest.mark.usefixtures("placeholders")
def test_layers_without_error_are_not_drawn(tmp_path):
    rows = [layer("a", 0.0) | {"sqnr": None}, layer("b", None), layer("c", 0.5)]
    page = read(sheet(layer_errors=rows), tmp_path)
    assert "2: c 0.5" in page.text
    assert "0: a" not in page.text
    page = read(sheet(layer_errors=rows[:2]), tmp_path)
    assert "Error of each layer" not in page.text


@pytest.mark.usefixtures("placeholders")
def test_names_are_no_markup(tmp_path):
    nasty = "<script>alert(1)</script>&amp;"
    page = read(
        sheet(
            model=nasty,
            file=nasty,
            class_names=[nasty, nasty],
            operators={nasty: 1},
            settings={"command": nasty, nasty: nasty},
            layer_errors=[layer(nasty, 0.1)],
        ),
        tmp_path,
    )
    assert "script" not in page.tags
    assert page.text.count("&amp;") >= 7


def test_every_operator_has_its_mark_in_the_picture():
    rows = [layer("x", 0.1, operator=f"OP{n // 2}") for n in range(18)]
    (legend,) = sheet_page.layers(rows, [3]).legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["OP0", "OP1", "OP2", "OP3", "OP4", "others", "worst"]
    (legend,) = sheet_page.layers(rows[:4]).legends
    assert [text.get_text() for text in legend.get_texts()] == ["OP0", "OP1"]


def test_a_drop_over_the_limit_is_red():
    colors = {
        limit: sheet_page.drop(1.0, (0.0, 2.0), limit).axes[0].lines[0].get_color()
        for limit in (0.5, 1.5, None)
    }
    assert colors[1.5] == colors[None] != colors[0.5]


@pytest.mark.usefixtures("placeholders")
def test_a_folder_in_the_way(tmp_path):
    (tmp_path / "page.html").mkdir()
    with pytest.raises(InputError, match=r"can't be written.*page\.html"):
        write_page(sheet(), tmp_path / "page.html")
