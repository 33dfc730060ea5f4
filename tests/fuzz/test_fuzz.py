"""A short run of `make fuzz`."""

import pathlib
import subprocess
import sys

import mutations
import numpy as np

SCRIPT = pathlib.Path(__file__).with_name("fuzz.py")


def test_nothing_ends_in_a_traceback():
    """Five inputs of each kind, always the same."""
    command = [sys.executable, SCRIPT, "--count", "105", "--seconds", "600"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    taken, refused, faults = map(int, done.stdout.splitlines()[-1].split()[2:])
    assert taken > 20
    assert refused > 20
    assert faults == 0


def test_the_same_seed_changes_the_same():
    data = b'{"a": [1, {"b": "c"}], "d": null}'
    for change in (mutations.of_bytes, mutations.of_json):
        found = [change(data, np.random.default_rng([seed])) for seed in range(50)]
        again = [change(data, np.random.default_rng([seed])) for seed in range(50)]
        assert found == again
        assert len(set(found)) > 20
