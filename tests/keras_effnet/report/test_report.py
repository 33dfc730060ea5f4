"""The report's pictures hold what they should; how they look is for eyes."""

import base64
import re

import numpy as np

from keras_effnet.report import canvas
from keras_effnet.report import charts
from keras_effnet.report import page
from keras_effnet.report import text

FILE = {"name": "a", "median_ms": 2.0, "accuracy": 0.9, "interval": (0.8, 0.95)}


def test_text_is_escaped():
    html = page.render(
        "<b>", [page.heading("<i>"), page.table(["<u>"], [["<s>", 1]])], "<p>"
    )
    for tag in ("b", "i", "u", "s", "p"):
        assert f"&lt;{tag}&gt;" in html
    assert html.count("<td>") == 2


def test_an_image_is_inside_the_page():
    figure = charts.training_curves({"loss": [1, 0.5], "accuracy": [0.5, 0.9]})
    html = page.image(figure, 'a "curve"')
    data = base64.b64decode(re.search(r"base64,([^\"]+)", html)[1])
    assert data.startswith(b"\x89PNG")
    assert "a &quot;curve&quot;" in html


def test_curves():
    history = {"loss": [1, 0.5], "accuracy": [0.5, 0.9], "val_accuracy": [0.4, 0.8]}
    loss, accuracy = charts.training_curves(history).axes
    assert len(loss.lines) == 1
    assert accuracy.lines[1].get_ydata().tolist() == [0.4, 0.8]


def test_the_grid_shows_every_image():
    images = np.random.default_rng(0).uniform(0, 255, (5, 4, 4, 1))
    labels, guesses = np.arange(5), np.array([0, 1, 9, 3, 4])
    axes = charts.prediction_grid(images, labels, guesses, columns=3).axes
    assert [len(axis.images) for axis in axes] == [1, 1, 1, 1, 1, 0]
    assert axes[2].get_title() == "9, is 2"
    assert axes[0].get_title() == "0"
    assert (axes[4].images[0].get_array() == images[4, ..., 0].astype("uint8")).all()


def test_points_of_accuracy_and_latency():
    files = [FILE | {"bytes": 2_000_000}, FILE | {"bytes": 1, "median_ms": 9.0}]
    (axis,) = charts.accuracy_against_latency(files).axes
    labels = axis.get_legend_handles_labels()[1]
    assert labels[0] == "a, 2.00 MB"
    assert axis.get_xlim()[1] > 9


def test_no_two_series_look_alike():
    looks = canvas.looks(range(30)).values()
    assert len({(color, mark) for color, mark, _ in looks}) == 30


def test_long_captions_take_two_lines():
    images, labels = np.zeros((6, 4, 4, 3)), np.zeros(6, int)
    names = ["a very long name", "another long name"]
    figure = charts.prediction_grid(images, labels, 1 - labels, names, columns=6)
    titles = {axis.get_title() for axis in figure.axes}
    assert titles == {"another long\nname, is a very\nlong name"}


def test_columns_of_dashes_are_left_out():
    columns = {"n": str, "none": lambda n: "-", "some": lambda n: "-" * (n % 2) or "x"}
    rows = text.cells([1, 2], columns)
    assert rows[0] == ["n", "none", "some"]
    assert text.known(rows) == [["n", "some"], ["1", "-"], ["2", "x"]]


def test_names_are_data_and_never_markup():
    names = ["$\\frac{", "a\udc80b", "x\x1b[31m\u202e", "5 $ and 6 $"]
    series = {name: [10.0, 1.0, 0.01] for name in names}
    line = [(1, 2), (2, 2)]
    figures = [
        charts.confusion_matrix(np.eye(4, dtype=int), names),
        charts.prediction_grid(
            np.zeros((4, 8, 8, 3)), np.arange(4), np.arange(4)[::-1], names
        ),
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
    parts = [page.image(figure, name) for figure in figures for name in names[:2]]
    parts += [page.heading(names[1]), page.table(names, [names]), page.items(names)]
    html = page.render(names[2], [*parts, page.code(names[2])], names[1])
    assert "\x1b" not in html + text.format_table([names])
    assert "\u202e" not in html
    html.encode()
    ticks = figures[3].axes[0].yaxis.get_ticklabels()
    assert all(tick.get_parse_math() for tick in ticks)
