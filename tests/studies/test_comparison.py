"""Two sides measured in one run, and the cost of the package's import."""

import importlib.metadata
import json
import os
import subprocess
import sys

import pytest

from keras_effnet.benchmarks.studies import comparison
from keras_effnet.benchmarks.studies import import_time


def test_two_sides_are_measured_in_turn():
    order = []
    times = {"ours": iter([2e9, 8e9, 3e9]), "theirs": iter([1e9, 2e9, 6e9])}

    def side(name):
        def measure():
            order.append(name)
            return next(times[name])

        return measure

    found = comparison.interleaved({name: side(name) for name in times}, pairs=3)
    assert order == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]
    assert found == {
        "seconds": {"ours": [2, 8, 3], "theirs": [1, 2, 6]},
        "median_seconds": {"ours": 3, "theirs": 2},
        "ratio": 1.5,
        "median_of_pair_ratios": 2,  # of 2, 4 and 0.5
    }


def test_a_comparison_is_kept_with_its_circumstances(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(comparison, "RESULTS", tmp_path)
    monkeypatch.setattr(comparison, "_git", lambda *arguments: arguments[0])
    found = {
        label: comparison.interleaved({"a": lambda t=t: t, "b": lambda: 1e9}, pairs=1)
        for label, t in {"fast": 0.9e9, "slow": 1.2e9}.items()
    }
    load = {"load_average_before": (0.1, 0.2, 0.3)}
    comparison.write_report("name", load | comparison.pairs_of(1.05, found))
    kept = json.loads((tmp_path / "name.json").read_text())
    assert kept["comparisons"] == found
    assert kept["target_ratio"] == 1.05
    assert kept["commit"] == "rev-parse"
    assert kept["load_average_before"] == [0.1, 0.2, 0.3]
    assert kept["versions"]["keras"] == importlib.metadata.version("keras")
    fast, slow, _ = capsys.readouterr().out.splitlines()
    assert fast == "fast: a 0.900 s, b 1.000 s, ratio 0.9000, within 1.05"
    assert slow == "slow: a 1.200 s, b 1.000 s, ratio 1.2000, MISSES 1.05"


def test_a_report_needs_neither_git_nor_every_package(monkeypatch, tmp_path):
    monkeypatch.setattr(comparison, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(comparison, "_PACKAGES", ("keras", "no-such-package"))
    path = tmp_path / "folder" / "other.json"
    outside = {"GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
    for variables in (outside, {"PATH": ""}):
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            comparison.write_report("name", {"seen": 1}, path)
        kept = json.loads(path.read_text())
        assert kept["commit"] is kept["uncommitted_changes"] is None
        assert kept["versions"] == {"keras": importlib.metadata.version("keras")}
        assert kept["seen"] == 1
    assert not comparison.RESULTS.exists()


def test_raw_times_are_compact(tmp_path):
    path = tmp_path / "name.json"
    times = {"ns": [1, 22, 333], "seconds": [1.23456789012, 2.0, None], "pair": [1 / 3]}
    series = [1 / 3, 2 / 3, 1e-9]
    comparison.write_report("name", {"text": "[\n1,\n2]", **times, "s": series}, path)
    text = path.read_text()
    assert ' "ns": [1, 22, 333],\n' in text
    assert ' "s": [0.3333333, 0.6666667, 1e-09]\n' in text
    kept = json.loads(text)
    assert {key: kept[key] for key in times} == times
    assert kept["text"] == "[\n1,\n2]"


def test_waiting_ends_at_the_first_idle_minute(monkeypatch):
    loads = iter([2.0, 0.4, 0.2, 0.1])
    slept = []
    monkeypatch.setattr(os, "getloadavg", lambda: (next(loads), 0.0, 0.0))
    monkeypatch.setattr(comparison.time, "sleep", slept.append)
    assert comparison.wait_until_idle(load=0.3) == (0.1, 0.0, 0.0)
    assert len(slept) == 2


def test_statements_are_timed_in_a_fresh_process():
    # Ten seconds that nobody waits for: the statement moves the start back.
    assert import_time.time_in_a_process("start -= 10 * 10**9") > 10 * 10**9
    assert "json" in sys.modules
    import_time.time_in_a_process("import sys; assert 'json' not in sys.modules")
    with pytest.raises(subprocess.CalledProcessError):
        import_time.time_in_a_process("import no_such_module")


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys; import keras_effnet; "
        "print({name.partition('.')[0] for name in sys.modules} & "
        "{'keras', 'tensorflow', 'numpy', 'h5py', 'PIL', 'matplotlib', 'torch', "
        "'ai_edge_litert', 'tempfile', 'subprocess'})"
    )
    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert child.stdout.strip() == "set()"
