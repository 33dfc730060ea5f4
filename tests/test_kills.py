"""A little of `kills.py`, which can be run for longer."""

import kills
import pytest

NAMES = ("train", "export", "quantize", "qat", "download", "benchmark")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_signals_leave_nothing(name, tmp_path):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    found = kills.measure([name], kills.SIGNALS, 1, tmp_path)
    assert not any(found.values()), found
