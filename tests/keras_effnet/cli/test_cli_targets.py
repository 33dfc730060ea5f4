"""`keras-effnet benchmark` on several targets, its mistakes included."""

import json

import numpy as np
import pytest
from conftest import one_line

from keras_effnet import cli
from keras_effnet.benchmarks import session
from keras_effnet.benchmarks.targets import TargetLost
from keras_effnet.benchmarks.targets.host import Host
from keras_effnet.errors import InputError

FAST = ("--runs", "2", "--seconds", "0", "--rounds", "2")


class Board(Host):
    """Another machine, one that goes away after some rounds."""

    def __init__(self, name="board", rounds=100, wrong=0):
        self.name, self.rounds, self.wrong, self.measured = name, rounds, wrong, 0

    def measure(self, path, request):
        if self.measured == self.rounds:
            raise TargetLost(f"The board went away. Received: {self.name!r}")
        self.measured += 1
        return super().measure(path, request)

    def answers(self, path, inputs):
        return np.roll(super().answers(path, inputs), self.wrong, -1)


@pytest.fixture
def boards(monkeypatch):
    """Puts targets in the place of those that names would open."""
    opened = {}

    def open_target(name, settings=None):
        opened.setdefault("settings", settings)
        return opened[name]

    monkeypatch.setattr(session, "open_target", open_target)
    return opened


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--target", "hots"), "Did you mean 'host'?"),
        (("--target", "host:1"), "A target is one of host, adb, adb:SERIAL"),
        (("--target", "arm"), "A target of arm is written arm:CORE."),
        (("--target", "ssh:"), "A target is one of"),
        (("--threads", "two"), "--threads must be whole numbers with commas."),
        (("--cores", "a-b"), "--cores must be whole numbers with commas."),
        (("--settings", "fulll"), "Did you mean 'full'?"),
        (("--sustained", "0"), "--sustained must be at least 1. Received: 0"),
        (("--address", "here:port"), "--address must be HOST or HOST:PORT."),
    ],
)
def test_mistakes_are_one_line(command, tiny_files, tmp_path, options, message):
    output = tmp_path / "out.json"
    line = one_line(
        command("benchmark", tiny_files["int8"], *options, "--output", output)
    )
    assert message in line
    assert "Received: " in line
    assert not list(tmp_path.iterdir())


def test_files_by_threads_by_targets(command, tiny_files, boards, tmp_path):
    boards.update({"one": Board("one"), "two": Board("two")})
    output = tmp_path / "out.json"
    code, out, _ = command(
        *("benchmark", tiny_files["float32"], tiny_files["int8"], *FAST[:-1], "1"),
        *("--target", "one", "--target", "two", "--threads", "1,2", "--cores", "0,2-3"),
        *("--ssh-options", "-i 'my key'", "--output", output),
    )
    assert code == 0
    results = json.loads(output.read_text())
    found = [(r["target"], r["options"]["threads"], r["name"]) for r in results]
    names = [tiny_files[precision].stem for precision in ("float32", "int8")]
    assert found == [(t, n, f) for t in ("one", "two") for n in (1, 2) for f in names]
    assert all(r["agreement"]["largest_steps"] in (None, 0) for r in results)
    assert "Milliseconds of one run on two: " in out
    assert boards["settings"]["adb"]["cores"] == [0, 2, 3]
    assert boards["settings"]["ssh"]["options"] == ("-i", "my key")
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_only_the_threads_that_a_target_takes(command, tiny_files, boards):
    boards["one"] = Board("one")
    boards["one"].most_threads = 1
    benchmark = ("benchmark", tiny_files["int8"], *FAST, "--target", "one", "--json")
    code, out, lines = command(*benchmark, "--threads", "1,2,4")
    assert code == 0
    assert [result["options"]["threads"] for result in json.loads(out)] == [1]
    assert "one: not with 2, 4 threads" in lines


def test_files_are_looked_at_before_any_is_measured(command, tiny_files, boards):
    def check(path):
        if path == str(tiny_files["float32"]):
            raise InputError(f"Not this one. Received: {path!r}")

    boards["one"] = Board("one")
    boards["one"].check = check
    files = tiny_files["int8"], tiny_files["float32"]
    line = one_line(command("benchmark", *files, *FAST, "--target", "one"))
    assert "Not this one. Received: " in line
    assert boards["one"].measured == 0


def test_a_target_that_went_away_costs_one_round(command, tiny_files, boards, tmp_path):
    output = tmp_path / "out.json"
    arguments = ("benchmark", *tiny_files.values(), *FAST, "--target", "board")
    boards["board"] = Board(rounds=3)
    code, printed, errors = command(*arguments, "--output", output)
    assert (code, printed) == (1, "")
    assert errors[-1] == "keras-effnet: error: The board went away. Received: 'board'"
    assert not output.exists()
    boards["board"] = Board()
    code, *_ = command(*arguments, "--output", output)
    assert code == 0
    assert boards["board"].measured == 1
    assert [len(r["rounds"]) for r in json.loads(output.read_text())] == [2, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_photographs_run_on_the_target(command, tiny_files, boards, copies, tmp_path):
    boards["right"], boards["wrong"] = Board("right"), Board("wrong", wrong=1)
    labels = tmp_path / "labels.csv"
    rows = [f"{path},{i}" for i, path in enumerate(sorted(copies.iterdir()))]
    labels.write_text("\n".join(["file,class_index", *rows]))

    def accuracies(photographs):
        code, out, _ = command(
            *("benchmark", tiny_files["int8"], *FAST[:-1], "1"),
            *("--evaluate", photographs),
            *("--target", "right", "--target", "wrong", "--json"),
        )
        assert code == 0
        return [result["accuracy"] for result in json.loads(out)]

    right, wrong = accuracies(labels)
    assert right["images"] == wrong["images"] == 2
    assert right["agreement"] == 1
    assert wrong["agreement"] == 0
    assert right["top1"] == right["top1_host"] == wrong["top1_host"]
    assert right["largest_steps"] == 0 < wrong["largest_steps"]
    right, _ = accuracies(copies)
    assert right["top1"] is right["top1_host"] is None
    assert right["agreement"] == 1


def test_sustained(command, tiny_files, boards, monkeypatch):
    board, requests = Board(), []
    boards["board"] = board
    plain = board.measure

    def measure(path, request):
        requests.append(request)
        return plain(path, request | {"min_seconds": 0, "max_seconds": 1})

    board.measure = measure
    code, out, errors = command(
        *("benchmark", tiny_files["int8"], *FAST, "--target", "board"),
        *("--sustained", 2, "--json"),
    )
    assert code == 0
    (result,) = json.loads(out)
    assert [minute["minute"] for minute in result["sustained"]] == [1, 2]
    assert all(minute["median_ms"] > 0 for minute in result["sustained"])
    assert [request["min_seconds"] for request in requests[-2:]] == [60, 60]
    assert "minute 2 of 2" in errors[-1]


def test_the_settings(monkeypatch, tiny_files, capsys):
    asked = []

    def measure(paths, **options):
        asked.append(options)
        return []

    monkeypatch.setattr("keras_effnet.benchmarks.session.benchmark_many", measure)
    monkeypatch.setattr("keras_effnet.benchmarks.table", lambda _: "")
    for extra in ((), ("--settings", "quick"), ("--settings", "full", "--runs", "9")):
        assert cli.main(["benchmark", str(tiny_files["int8"]), *extra]) == 0
    keys = ("min_runs", "min_seconds", "max_seconds", "cool_down_seconds")
    assert [tuple(options[key] for key in keys) for options in asked] == [
        (50, 1.0, 150.0, 0.0),
        (128, 10.0, 150.0, 60.0),
        (9, 60.0, 600.0, 300.0),
    ]
