"""The report's pictures hold what they should; how they look is for eyes."""

import base64
import io
import re

import numpy as np
from PIL import Image

from keras_effnet.report import canvas
from keras_effnet.report import charts
from keras_effnet.report import page
from keras_effnet.report import text

FILE = {
    "network": "a",
    "precision": "float32",
    "median_ms": 2.0,
    "accuracy": 0.9,
    "interval": (0.8, 0.95),
}


def test_text_is_escaped():
    html = page.render(
        "<b>", [page.heading("<i>"), page.table(["<u>"], [["<s>", 1]])], "<p>"
    )
    for tag in ("b", "i", "u", "s", "p"):
        assert f"&lt;{tag}&gt;" in html
    assert html.count("<td>") == 2
    html = page.table(["c.d"], [["a_b&", 0.5]])
    assert "<th>c.<wbr>d</th>" in html
    assert "<td>a_<wbr>b&amp;</td><td>0.5</td>" in html


def test_an_image_is_inside_the_page():
    figure = charts.training_curves({"loss": [1, 0.5], "accuracy": [0.5, 0.9]})
    html = page.image(figure, 'a "curve"')
    data = base64.b64decode(re.search(r"svg\+xml;base64,([^\"]+)", html)[1])
    assert b">epoch</text>" in data
    assert page.image(figure, 'a "curve"') == html  # the same each time
    assert "a &quot;curve&quot;" in html


def test_curves():
    history = {"loss": [1, 0.5], "accuracy": [0.5, 0.9], "val_accuracy": [0.4, 0.8]}
    loss, accuracy = charts.training_curves(history).axes
    assert len(loss.lines) == 1
    assert accuracy.lines[1].get_ydata().tolist() == [0.4, 0.8]


def test_the_best_epoch_is_marked():
    figure = charts.training_curves({"loss": [1, 0.5, 0.7], "accuracy": [0.5] * 3}, 2)
    for axis in figure.axes:
        assert axis.lines[-1].get_xdata() == [2, 2]
    (legend,) = figure.legends
    assert legend.get_texts()[-1].get_text() == "best epoch, 2"


def test_thumbnails_say_what_they_are():
    grey, colours = np.full((4, 5, 1), 7.6), np.zeros((2, 2, 3))
    html = page.thumbnails([(grey, "<1>", True, ""), (colours, "no", False, "a&b")])
    kinds = re.findall(r"data:image/(\w+);base64,([^\"]+)", html)
    (kind, data), (other, _) = kinds
    assert (kind, other) == ("png", "jpeg")
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert (image == np.full((4, 5), 7)).all()
    assert '"right">&lt;1&gt;<' in html
    assert '"wrong">no<' in html
    assert "a&amp;b" in html


def test_a_matrix_is_a_table():
    html = page.matrix(np.array([[8, 2], [0, 0]]), ["a" * 40, "<b>"])
    assert '<td class="deep" style="--share: 0.80">8</td>' in html
    assert f"<td>{'a' * 40}</td>" in html
    # Else letters of China and Japan stand on their heads, one upon the other.
    assert "text-orientation: sideways" in page.render("", [])
    assert html.count("&lt;b&gt;") == 2
    assert "nan" not in html


def test_sections_of_sections_have_a_list_of_contents():
    parts = [page.heading("a"), page.heading("same", 3), page.heading("b <")]
    parts.append(page.heading("same", 3))
    html = page.render("t", parts)
    for n, name in enumerate(("a", "same", "b &lt;", "same"), 1):
        assert f'<a href="#s{n}">{name}</a>' in html
        assert re.search(rf'<h[23] id="s{n}">{name}</h', html)
    assert "<nav>" not in page.render("t", [page.heading("a"), page.heading("b")])


def test_points_of_accuracy_and_latency():
    files = [FILE, FILE | {"precision": "int8", "median_ms": 9.0}]
    figure = charts.accuracy_against_latency(files)
    (axis,) = figure.axes
    assert axis.get_xlim()[1] > 9
    joined = [line for line in axis.lines if len(line.get_xdata()) == 2]
    assert [2.0, 9.0] in [list(line.get_xdata()) for line in joined]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["a", "float32; filled: int8"]


def test_marks_that_hide_each_other_share_a_text():
    points = [charts.Point(1, 0.5 + n * 1e-9, "s", str(n)) for n in range(1, 9)]
    points += [charts.Point(2, 0.9, "s", "9"), charts.Point(1, 0.5, "s", "11")]
    (axis,) = charts.scatter([("x", points)], "y", ["s"]).axes
    assert [text.get_text() for text in axis.texts] == ["1–8, 11", "9"]


def test_no_two_series_look_alike():
    looks = canvas.looks(range(30)).values()
    assert len({(color, mark) for color, mark, _ in looks}) == 30


def test_columns_of_dashes_are_left_out():
    columns = {"n": str, "none": lambda n: "-", "some": lambda n: "-" * (n % 2) or "x"}
    rows = text.cells([1, 2], columns)
    assert rows[0] == ["n", "none", "some"]
    assert text.known(rows) == [["n", "some"], ["1", "-"], ["2", "x"]]


def test_names_are_data_and_never_markup():
    names = ["$\\frac{", "バラ a\udc80b", "x\x1b[31m\u202e", "5 $ and 6 $"]
    series = {name: [10.0, 1.0, 0.01] for name in names}
    line = [(1, 2), (2, 2)]
    figures = [
        charts.confusion_matrix(np.eye(4, dtype=int)),
        charts.bars(names, {name: [(0, 1.0, None)] for name in names}, names[0]),
        charts.curves([("loss", "log", series)], names[0]),
        charts.scored_plane(
            ("x", "y", line), ("work", "x", [1, 2]), [1, 2], {names[0]: line}, names[0]
        ),
        charts.scatter(
            [("x", [charts.Point(n, n + 1, x, x) for n, x in enumerate(names)])],
            names[0],
            names,
            title=names[1],
            keys=[("1", names[0])],
        ),
    ]
    parts = [page.image(figure, names[1]) for figure in figures]
    parts.append(page.matrix(np.eye(4, dtype=int), names))
    parts.append(page.thumbnails((np.zeros((8, 8, 3)), n, True, n) for n in names))
    parts += [page.heading(names[1]), page.table(names, [names]), page.items(names)]
    html = page.render(names[2], [*parts, page.code(names[2])], names[1])
    assert "\x1b" not in html + text.format_table([names])
    assert "\u202e" not in html
    html.encode()
