"""Rounds that were measured once are kept and not measured again."""

import pytest

from keras_effnet.benchmarks.journal import Journal
from keras_effnet.errors import InputError

KEY = ["sha", "host", {"threads": 1, "rounds": 3}, 0]


def test_what_was_put_is_there_for_another_process(tmp_path):
    path = tmp_path / "new" / "rounds.jsonl"
    journal = Journal(path)
    assert journal.get(KEY) is None
    journal.put(KEY, {"init_ns": 5})
    journal.put([*KEY[:3], 1], {"init_ns": 6})
    again = Journal(path)
    assert again.get(["sha", "host", {"rounds": 3, "threads": 1}, 0]) == {"init_ns": 5}
    assert again.get([*KEY[:3], 1]) == {"init_ns": 6}
    again.remove()
    assert not path.exists()


@pytest.mark.parametrize("cut", [1, 2, 20])
def test_a_line_that_a_kill_cut_short_counts_for_nothing(tmp_path, cut):
    path = tmp_path / "rounds.jsonl"
    journal = Journal(path)
    journal.put(KEY, {"init_ns": 5})
    journal.put([*KEY[:3], 1], {"init_ns": 6})
    path.write_bytes(path.read_bytes()[:-cut])
    journal = Journal(path)
    assert journal.get(KEY) == {"init_ns": 5}
    assert journal.get([*KEY[:3], 1]) is None
    journal.put([*KEY[:3], 2], {"init_ns": 7})
    again = Journal(path)
    assert again.get(KEY) == {"init_ns": 5}
    assert again.get([*KEY[:3], 2]) == {"init_ns": 7}


@pytest.mark.parametrize("text", ["no JSON\n", "[]\n", "{}\n", '"key"\n'])
def test_another_file_is_refused_and_kept(tmp_path, text):
    path = tmp_path / "rounds.jsonl"
    path.write_text(text)
    with pytest.raises(
        InputError, match=r"move the file away.*Received: .*rounds.jsonl"
    ):
        Journal(path)
    assert path.read_text() == text
