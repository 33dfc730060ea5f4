"""Result files read back, and the page and the table that are drawn of them."""

import copy
import csv
import itertools
import json
import pickle
import re

import matplotlib
import numpy as np
import pytest
from conftest import one_line
from matplotlib.text import Text
from test_export_page import Page
from test_export_page import fits_a_phone
from test_export_page import placeholders

from keras_effnet import benchmarks
from keras_effnet.benchmarks import report
from keras_effnet.benchmarks import results_file
from keras_effnet.benchmarks import schema
from keras_effnet.benchmarks import significance
from keras_effnet.benchmarks.report import comparing
from keras_effnet.benchmarks.report import entries
from keras_effnet.benchmarks.report import result_charts
from keras_effnet.benchmarks.report import results_page
from keras_effnet.errors import InputError
from keras_effnet.report import canvas
from keras_effnet.report import charts
from keras_effnet.report.text import significant

assert placeholders  # a fixture


@pytest.fixture(scope="session")
def measured(tiny_files):
    """Real results of two files, in eight rounds of few runs."""
    paths = [tiny_files["float32"], tiny_files["int8"]]
    options = {"min_runs": 16, "min_seconds": 0, "warmup_seconds": 0}
    found = benchmarks.benchmark_many(paths, rounds=8, **options)
    return json.loads(json.dumps([result.to_dict() for result in found]))


@pytest.fixture
def made(measured):
    """Makes a result that took so many ms, from a real one."""

    def make(name="net_int8", milliseconds=10.0, rounds=8, **changes):
        result = copy.deepcopy(measured[0])
        result["name"] = name
        result["model"] |= {"sha256": f"{abs(hash(name)):064x}", "bytes": 2_000_000}
        scatter = np.random.default_rng(len(name)).normal(1, 0.005, rounds)
        result["rounds"] = [
            {"init_ns": 1, "first_ns": 1, "warmup_ns": [], "latency_ns": [int(t)] * 3}
            for t in milliseconds * 1e6 * scatter
        ]
        times = result["latency_metrics"]
        times |= dict.fromkeys(times, milliseconds) | {"p5_ms": 0.9 * milliseconds}
        result["options"] |= {"rounds": rounds}
        for key, value in changes.items():
            old = result.get(key)
            merge = isinstance(value, dict) and isinstance(old, dict)
            result[key] = old | value if merge else value
        return result

    return make


def write(path, results):
    path.write_text(json.dumps(results), encoding="utf-8")
    return path


def read_page(path):
    return Page(path.read_text(encoding="utf-8"))


# Reading


def test_results_are_read_as_they_were_written(measured, tmp_path):
    path = write(tmp_path / "latency.json", measured)
    found = results_file.read(path)
    assert found == [result | {"source": str(path)} for result in measured]
    assert set(found[0]) >= {
        field for field in schema.BenchmarkResult.__dataclass_fields__
    }


def test_a_folder_is_its_result_files(made, tmp_path):
    b = write(tmp_path / "b.json", [made("b")])
    a = write(tmp_path / "a.json", [made("a1"), made("a2")])
    write(tmp_path / "sheet.json", {"sha256": "0"})
    (tmp_path / "notes.txt").write_text("no JSON")
    names = [r["name"] for r in results_file.read_all([tmp_path])]
    assert names == ["a1", "a2", "b"]
    # Named twice, a file counts once.
    names = [r["name"] for r in results_file.read_all([b, tmp_path, a])]
    assert names == ["b", "a1", "a2"]


def damaged(result, *keys, value=None, remove=False):
    """A copy with one value put wrong."""
    result = copy.deepcopy(result)
    *path, last = keys
    part = result
    for key in path:
        part = part[key]
    if remove:
        del part[last]
    else:
        part[last] = value
    return [result]


def bad_contents(result):
    """Contents of files that are none, and what is said of each."""
    yield b"", "no JSON"
    yield json.dumps([result]).encode()[:-20], "cut short"
    yield b"\xff\xfe", "no JSON"
    yield b"[" * 100_000, "no JSON"
    yield pickle.dumps([result]), "no JSON"
    yield b"[]", "empty list"
    yield b"{}", "holds a list.*an object"
    yield b"3", "holds a list.*a single value"
    yield b"[3]", "`schema_version` is missing"
    yield b'[{"name": "x"}]', "`schema_version` is missing"
    for version in (1, 3, "2"):
        message = (
            rf"have schema version {version!r}, and this package reads version 2; "
            "measure again"
        )
        content = damaged(result, "schema_version", value=version)
        yield json.dumps(content).encode(), message
    for content, message in (
        (damaged(result, "rounds", remove=True), "`rounds` is missing"),
        (damaged(result, "rounds", value=[]), "`rounds` is empty"),
        (damaged(result, "rounds", 0, "latency_ns", value=[]), "no `latency_ns`"),
        (damaged(result, "rounds", 1, "latency_ns", value=[-1]), "`latency_ns` of a"),
        (damaged(result, "rounds", 1, "latency_ns", value=["1"]), "`latency_ns` of a"),
        (damaged(result, "latency_metrics", "median_ms", value=None), "median_ms"),
        (damaged(result, "latency_metrics", "p90_ms", value="x"), "p90_ms"),
        (damaged(result, "latency_metrics", "p90_ms", value=np.nan), "NaN"),
        (damaged(result, "model", "sha256", remove=True), "`model.sha256`"),
        (damaged(result, "options", "threads", value="1"), "`options.threads`"),
        (damaged(result, "device", value="phone"), "`device` is 'phone'"),
        (damaged(result, "instructions", value="many"), "`instructions`"),
        (damaged(result, "warnings", value=[3]), "`warnings`"),
        (damaged(result, "accuracy", value={"top1": 74.4}), "`accuracy.top1`"),
        (damaged(result, "profile", value=[{"share": 1}]), "`profile`"),
        *(
            (damaged(result, "profile", value=[row | {"layers": layers}]), "`profile`")
            for layers in ([1], {"stem": "1"}, 3)
            for row in [{"operator": "CONV_2D", "ms": 1, "count": 1}]
        ),
        (damaged(result, "sustained", value=[0]), "`sustained`"),
    ):
        yield json.dumps(content).encode(), message


def test_bad_files_are_one_clear_line(measured, tmp_path):
    path = tmp_path / "latency.json"
    for content, message in bad_contents(measured[0]):
        path.write_bytes(content)
        with pytest.raises(InputError, match=message) as caught:
            results_file.read_all([path])
        assert f"Received: {str(path)!r}" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_pickle_is_never_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path / "sprung").touch, ()

    path = tmp_path / "latency.json"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InputError):
        results_file.read(path)
    assert not (tmp_path / "sprung").exists()


def test_absent_files_and_empty_folders_are_named(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        results_file.read_all([tmp_path / "absent.json"])
    write(tmp_path / "sheet.json", {})
    with pytest.raises(InputError, match="folder has no result files"):
        results_file.read_all([tmp_path])


# Order


def test_what_does_not_compare_never_shares_a_picture(made):
    results = [
        made(source="a"),
        made(source="a", target="ssh:board"),
        made(source="a", device={"cpu": "Another"}),
        made(source="a", harness={"name": "benchmark_model"}),
        made(source="a", runtime={"version": "0"}),
        made("other", source="a", options={"threads": 2}),
        made(source="a", device={"emulated": True}, instructions=5),
    ]
    groups = entries.grouped(results)
    assert [len(group.results) for group in groups] == [2, 1, 1, 1, 1, 1]
    assert [group.emulated for group in groups] == [False] * 5 + [True]


def test_the_pareto_line_is_what_no_other_beats():
    points = [(5, 0.9), (1, 0.5), (3, 0.5), (4, 0.9), (2, 0.7), (6, 0.8)]
    assert charts.pareto(points) == [1, 4, 3]
    for n, (cost, worth) in enumerate(points):
        beaten = any(
            c <= cost and w >= worth and (c, w) != (cost, worth) for c, w in points
        )
        assert (n in charts.pareto(points)) == (not beaten)


def test_files_of_one_name_are_told_apart(made):
    results = [made("net", source="a.json"), made("net", source="b.json")]
    (group,) = entries.grouped(results)
    labels = [group.label(r) for r in results]
    assert labels == ["net (a.json)", "net (b.json)"]
    results[1]["model"] = results[1]["model"] | {"sha256": "f" * 64}
    (group,) = entries.grouped(results)
    assert group.label(results[1]) == "net (ffffff)"
    assert list(group.numbers().values()) == [1, 2]


# Comparison


def test_files_of_one_command_are_compared_in_pairs(made):
    results = [
        made("a", 10, source="x"),
        made("bb", 11, source="x"),
        made("ccc", 10.01, source="x"),
        made("dddd", 9, source="other"),
    ]
    (group,) = entries.grouped(results)
    ((b, c, d),) = comparing.within(group)
    assert (b.number, b.label, b.reference) == (2, "bb", "a")
    assert b.difference.verdict == significance.SLOWER
    assert b.difference.ratio == pytest.approx(1.1, rel=0.01)
    assert c.difference.verdict == significance.SAME
    assert d.difference.verdict == significance.FASTER
    assert [x.difference.paired for x in (b, c, d)] == [True, True, False]


def test_three_rounds_are_too_few(made):
    results = [made(n, rounds=3, source="x") for n in ("a", "b")]
    ((found,),) = comparing.within(*entries.grouped(results))
    assert found.difference.verdict == significance.UNKNOWN


def test_two_sets_are_compared_by_name_target_and_threads(made):
    new = [
        made("a", 12, source="new"),
        made("a", 6, source="new", options={"threads": 2}),
        made("b", 5, source="new"),
        made("gone", 5, source="new"),
    ]
    old = [
        made("b", 5, source="old", target="ssh:board"),
        made("a", 6, source="old", options={"threads": 2}),
        made("a", 10, source="old", harness={"version": "0.0.1"}),
    ]
    (group,) = entries.grouped(new)
    (one, two), missing = comparing.between(group, entries.grouped(old))
    assert missing == ["b, 1 thread", "gone, 1 thread"]
    assert one.difference.ratio == pytest.approx(1.2)
    assert not one.difference.paired
    assert one.remark == "the reference by version 0.0.1 of the harness"
    assert two.difference.verdict == significance.SAME
    old[1]["model"]["sha256"] = "0" * 64
    (_, two), _ = comparing.between(group, entries.grouped(old))
    assert two.remark == "another file of that name"


def test_counted_instructions_need_no_test(made):
    counts = {"a": 1_000_000, "b": 1_000_050, "c": 970_000, "d": 1_010_000}
    results = [
        made(name, source="x", instructions=count, device={"emulated": True})
        for name, count in counts.items()
    ]
    (found,) = comparing.within(*entries.grouped(results))
    assert [c.difference.verdict for c in found] == ["as many", "fewer", "more"]


# Pictures


@pytest.fixture
def many(made):
    """A target with 24 files, of which several stand close together."""
    rng = np.random.default_rng(3)
    results = []
    for n in range(24):
        accuracy = {"top1": 0.7 + 0.006 * n + rng.uniform(0, 0.01), "images": 500}
        time = 5 * 1.1**n * rng.uniform(1, 1.3)
        results.append(made(f"net{n:02}", time, accuracy=accuracy, source="x"))
    return entries.grouped(results)[0]


def test_numbers_in_the_scatter_do_not_collide(many):
    figure = result_charts.accuracy_against_cost(many, "top1")
    figure.draw_without_rendering()
    (axis,) = figure.axes
    # An annotation's own extent has the line to its point in it.
    boxes = [Text.get_window_extent(text) for text in axis.texts]
    # Marks that hide each other share a text.
    told = [list(map(int, text.get_text().split(", "))) for text in axis.texts]
    assert sorted(itertools.chain(*told)) == [*range(1, 25)]
    for n, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:n])
        assert axis.get_window_extent().containsx(box.x0)
        assert axis.get_window_extent().containsy(box.y1)
    # Each is nearest to its own point, or a line leads to it.
    places = axis.transData.transform(
        [(many.cost(r), entries.accuracy(r, "top1")) for r in many.results]
    )
    for text, numbers, box in zip(axis.texts, told, boxes, strict=True):
        middle = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
        nearest = np.hypot(*(places - middle).T).argmin()
        assert nearest + 1 in numbers or text.arrow_patch


def test_many_settings_have_axes_of_their_own(made):
    results = [
        made(f"net{n}", 5 + n, source="x", accuracy={"top1": n / 30}, options=threads)
        for threads in ({"threads": 1}, {"threads": 2})
        for n in range(13)
    ]
    (group,) = entries.grouped(results)
    assert len(result_charts.accuracy_against_cost(group, "top1").axes) == 2


def test_few_files_are_named_and_many_numbered(made):
    results = [made(f"net{n}", source="x", accuracy={"top1": n / 9}) for n in range(7)]
    for count in (2, 7):
        (group,) = entries.grouped(results[:count])
        (axis,) = result_charts.accuracy_against_cost(group, "top1").axes
        numbers = [text.get_text() for text in axis.texts]
        assert bool(numbers) == (count == 7)
        assert result_charts.demands(group).axes[0].get_yticklabels()[
            -1
        ].get_text() == ("7" if count == 7 else "")
        title = results_page.build(results[:count])
        assert ("1: net0" in title) == (count == 7)


def test_only_a_change_is_good_or_bad(made):
    results = [made("a", 10, source="x"), made("large", 20, source="x")]
    ((compared,),) = comparing.within(*entries.grouped(results))
    colors = [
        result_charts.ratios([compared], judged).axes[0].lines[0].get_color()
        for judged in (True, False)
    ]
    assert colors == [canvas.RED, canvas.BLUE]


@pytest.mark.parametrize("count", [3, 20])
def test_rows_of_bars_are_named_or_numbered(made, count):
    results = [made(f"net{n}_$x$", source="x") for n in range(count)]
    figure = result_charts.costs(*entries.grouped(results))
    figure.draw_without_rendering()
    (axis,) = figure.axes
    ticks = [tick.get_text() for tick in axis.get_yticklabels()]
    assert ticks == ([] if count == 3 else [str(n) for n in range(1, 21)])
    names = [text.get_text() for text in axis.texts if "net" in text.get_text()]
    assert names == (["net0_$x$", "net1_$x$", "net2_$x$"] if count == 3 else [])


def test_pictures_leave_the_callers_style_alone(many):
    with matplotlib.rc_context({"font.size": 3, "axes.spines.top": True}):
        result_charts.costs(many)
        assert matplotlib.rcParams["font.size"] == 3
        assert matplotlib.rcParams["axes.spines.top"]


def test_a_long_name_loses_its_middle():
    assert canvas.shortened("a" * 50) == "a" * 50
    short = canvas.shortened("start" + "-" * 90 + "end")
    assert len(short) <= 50
    assert short.startswith("start")
    assert short.endswith("end")


# Page and table


@pytest.fixture
def whole(made):
    """Results with everything that a page can tell."""
    board = {
        "target": "ssh:board",
        "device": {"cpu": "Cortex-A72", "governor": "performance"},
    }
    off = {"largest_steps": 1, "largest_relative_error": None}
    parts = [("Conv <GEMM>", 0.6), ("Add", 0.3), ("Conv <GEMM>", 0.1)]
    return [
        made(
            "a<b>&",
            10,
            accuracy={"top1": 0.75, "agreement_with_float": 1.0, "images": 500},
        ),
        made("fast", 5, accuracy={"top1": 0.74, "agreement": 0.96, "images": 500}),
        made("fast", 4, options={"threads": 2}, warnings=["Noisy: twice the median"]),
        made("a<b>&", 40, **board),
        made(
            "fast",
            20,
            **board,
            agreement=off,
            sustained=[20, {"minute": 2, "median_ms": 25}],
            profile=[
                {"operator": name, "share": share, "ms": 20 * share, "count": 2}
                for name, share in parts
            ],
        ),
        made(
            "fast",
            700,
            target="arm:cortex-a76",
            device={"cpu": "cortex-a76", "emulated": True},
            instructions=6_141_263,
        ),
    ]


def test_the_key_names_what_is_drawn(made, tmp_path):
    results = [
        made(f"n{n}", 10 + n, accuracy={"top1": 0.7, "images": 100} if n < 2 else None)
        for n in range(8)
    ]
    path, _ = report.write([write(tmp_path / "r.json", results)], tmp_path / "r.html")
    (key,) = re.findall(r'<ul class="key">.*?</ul>', path.read_text())
    assert re.findall(r"<li>(.*?)</li>", key) == ["1: n0", "2: n1"]


@pytest.mark.usefixtures("placeholders")
def test_the_page_tells_what_is_known(whole, tmp_path):
    path, _ = report.write([write(tmp_path / "r.json", whole)], tmp_path / "r.html")
    found = read_page(path)
    for told in (
        "6 measurements of 2 files on host: ",
        "ssh:board: Cortex-A72",
        "governor performance",
        "Accuracy against latency",
        "a<b>& 1 10.00 10.00 10.00 10.00 75.0% 100.0% – 2.00",
        "Against a<b>&, 1 thread file verdict ratio",
        "fast 1 5.000 5.000 5.000 5.000 74.0% – 96.0% 2.00",
        "fast, 1 thread faster 0.50",
        "Where the time goes",
        "fast Conv <GEMM> 70.0% 14.00 4 fast Add 30.0% 6.000 2",
        "Under sustained load",
        "Instructions of each file",
        "fast 1 6.1413 2.00",
        "An emulated core: its times mean nothing",
        "Warnings",
        "fast, 2 threads: Noisy: twice the median.",
        "1 step",
        "At least 8 rounds in turn are needed, or 5",
    ):
        assert told in found.text, told
    assert "None" not in found.text
    assert "nan" not in found.text
    emulated = found.text.partition("arm:cortex-a76: cortex-a76 ")[2]
    assert "700" not in emulated
    assert "median ms" not in emulated.partition("How to read")[0]


def test_the_page_holds_its_own_pictures(whole, tmp_path):
    path, _ = report.write([write(tmp_path / "r.json", whole)], tmp_path / "r.html")
    found = read_page(path)
    assert found.fetched == []
    assert not {"script", "link", "iframe"} & set(found.tags)
    descriptions = "\n".join(found.pictures)
    for told in (
        "Accuracy against latency on host",
        "Instructions of each file on arm",
    ):
        assert told in descriptions
    # Of the host 1 + 1 + 1 + 1, of the board 1 + 1 + 1 + 1 + 1, of the core 1 + 1.
    assert len(found.pictures) == 11
    assert all(map(fits_a_phone, found.pictures.values()))


@pytest.mark.usefixtures("placeholders")
def test_a_real_measurement_becomes_a_page(measured, tmp_path):
    path = write(tmp_path / "latency.json", measured)
    accuracies = [{"sha256": measured[1]["model"]["sha256"], "agreement": 0.9}]
    known = write(tmp_path / "accuracy.json", accuracies)
    output, _ = report.write(
        [path], tmp_path / "r.html", accuracy=[known], against=path
    )
    text = read_page(output).text
    assert "Accuracy against latency" in text
    assert "90.0%" in text
    assert "Against the other results" in text
    assert "Separate commands" in text
    median = measured[0]["latency_metrics"]["median_ms"]
    assert significant(median) in text


@pytest.mark.usefixtures("placeholders")
def test_the_table_has_a_line_for_each_result(whole, tmp_path):
    source = write(tmp_path / "r.json", whole)
    _, path = report.write([source], tmp_path / "new" / "r.html")
    assert path == tmp_path / "new" / "r.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    first, *_, emulated = rows
    assert first["name"] == "a<b>&"
    assert float(first["median_ms"]) == 10
    assert float(first["top1"]) == 0.75
    assert (first["threads"], first["delegate"]) == ("1", "xnnpack")
    assert first["bytes"] == "2000000"
    assert first["source"] == str(source)
    assert first["rounds"] == "8"
    assert rows[2]["warnings"] == "Noisy: twice the median"
    assert rows[4]["largest_steps"] == "1"
    assert emulated["instructions"] == "6141263"
    assert [name for name in emulated if name.endswith("_ms") and emulated[name]] == []
    metrics = (schema.LatencyMetrics, schema.MemoryMetrics)
    names = {name for kind in metrics for name in kind.__dataclass_fields__}
    assert names <= set(first)


@pytest.mark.usefixtures("placeholders")
def test_names_that_no_file_can_hold(made, tmp_path):
    source = write(tmp_path / "r.json", [made("half \ud800 \x1b[1m")])
    page, table = report.write([source], tmp_path / "r.html")
    assert "half � �[1m" in read_page(page).text
    assert "half � �[1m" in table.read_text(encoding="utf-8")


# Accuracies


@pytest.mark.usefixtures("placeholders")
def test_accuracies_come_from_sheets_and_lists(made, tmp_path):
    results = write(tmp_path / "r.json", [made("a"), made("b"), made("c")])
    evaluation = {"top1": None, "agreement": 0.5, "images": 8}
    sheet = {"sha256": made("a")["model"]["sha256"], "evaluation": evaluation}
    rows = [{"name": "b", "top1": 0.25}, {"name": "elsewhere", "top1": 0.1}]
    paths = [write(tmp_path / "s.json", sheet), write(tmp_path / "l.json", rows)]
    _, path = report.write([results], tmp_path / "r.html", accuracy=paths)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = [
        [row[key] for key in ("top1", "agreement_with_float", "images")] for row in rows
    ]
    assert found == [["", "0.5", "8"], ["0.25", "", ""], ["", "", ""]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "list is empty"),
        ({"top1": 0.5}, "Accuracies come from"),
        ({"sha256": "0"}, "was not evaluated"),
        ([{"name": "a"}], "An accuracy has"),
        ([{"top1": 0.5}], "An accuracy has"),
        ([{"name": "a", "top1": 74.4}], "An accuracy has"),
        ([3], "An accuracy has"),
        ([{"name": "elsewhere", "top1": 0.5}], "of none of the files"),
    ],
)
def test_bad_accuracies_are_named(made, tmp_path, content, message):
    results = write(tmp_path / "r.json", [made("a")])
    known = write(tmp_path / "accuracy.json", content)
    with pytest.raises(InputError, match=f"{message}.*Received: "):
        report.write([results], tmp_path / "r.html", accuracy=[known])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["accuracy.json", "r.json"]


# The command


@pytest.mark.usefixtures("placeholders")
def test_the_command_names_what_it_wrote(made, command, tmp_path):
    results = write(tmp_path / "r.json", [made("a"), made("b", 5)])
    output = tmp_path / "page.html"
    code, out, errors = command("report", results, "--output", output)
    assert (code, errors) == (0, [])
    assert out.splitlines() == [
        f"written: {output}",
        f"written: {tmp_path / 'page.csv'}",
    ]
    assert "slower" not in read_page(output).text.partition("How to read")[0]


def test_bad_input_ends_the_command_with_one_line(made, command, tmp_path):
    good = write(tmp_path / "good.json", [made("a")])
    old = write(tmp_path / "old.json", damaged(made("a"), "schema_version", value=1))
    (tmp_path / "folder.html").mkdir()
    output = tmp_path / "page.html"
    output.write_text("old page")
    output.with_suffix(".csv").write_text("old table")
    before = sorted(tmp_path.iterdir())
    for arguments, message in (
        ([tmp_path / "absent.json"], "can't be read"),
        ([old], "schema version 1, and this package reads version 2"),
        ([good, "--against", old], "schema version 1"),
        ([good, "--accuracy", tmp_path / "absent.json"], "can't be read"),
        ([good, "--output", tmp_path / "page.pdf"], "must end in .html"),
        ([good, "--output", tmp_path / "folder.html"], "can't be written"),
        ([good, "--output", good / "page.html"], "can't be written"),
    ):
        options = [] if "--output" in arguments else ["--output", output]
        line = one_line(command("report", *arguments, *options))
        assert message in line
        assert "Received: " in line
        assert output.read_text() == "old page"
        assert output.with_suffix(".csv").read_text() == "old table"
        assert sorted(tmp_path.iterdir()) == before


def test_nothing_is_half_written(made, tmp_path, monkeypatch):
    results = write(tmp_path / "r.json", [made("a")])

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(results_page, "build", fail)
    with pytest.raises(InputError, match="No space left"):
        report.write([results], tmp_path / "page.html")
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]
