import os
import stat
import tempfile
import threading
import warnings
import zipfile

import numpy as np
import pytest

from keras_effnet import files
from keras_effnet.errors import InputError
from keras_effnet.errors import suggest
from keras_effnet.quiet import native_stderr_held_back


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "result.json"
    with files.replacing(path) as temporary:
        temporary.write_text("whole")
        assert temporary.suffix == ".json"
        assert not path.exists()
    assert path.read_text() == "whole"
    assert [p.name for p in path.parent.iterdir()] == ["result.json"]


def test_an_error_leaves_the_old_file(tmp_path):
    path = tmp_path / "result.json"
    path.write_text("old")

    def fail():
        with files.replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_others_may_read_it(tmp_path):
    files.write_text(tmp_path / "a", "x")
    (tmp_path / "b").write_text("x")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "ab"}
    assert len(modes) == 1


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("kept")
    for path in (tmp_path / "file" / "inside", tmp_path):
        with pytest.raises(InputError, match=r"can't be written.*Received"):
            files.write_text(path, "x")
    assert (tmp_path / "file").read_text() == "kept"


def test_a_folder_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "records"
    with files.replacing_folder(path) as temporary:
        (temporary / "one").write_text("whole")
        assert not path.exists()
    assert [p.name for p in path.iterdir()] == ["one"]
    assert [p.name for p in path.parent.iterdir()] == ["records"]
    (tmp_path / "plain").mkdir()
    modes = {stat.S_IMODE(p.stat().st_mode) for p in (path, tmp_path / "plain")}
    assert len(modes) == 1


def test_no_folder_appears_after_an_error(tmp_path):
    def fail():
        with files.replacing_folder(tmp_path / "records"):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept").touch()
    with (
        pytest.raises(InputError, match=r"can't be written.*Received: .*full"),
        files.replacing_folder(tmp_path / "full"),
    ):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["full"]


def test_what_was_cut_short_is_removed(tmp_path):
    (tmp_path / ".writing-abcmodel.npz").write_bytes(b"half of")
    (tmp_path / ".writing-def").mkdir()
    (tmp_path / ".writing-link").symlink_to(tmp_path / "model.npz")
    os.mkfifo(tmp_path / ".writing-fifo")
    files.write_text(tmp_path / "model.npz", "the next that is written sweeps")
    assert {p.name for p in tmp_path.iterdir()} == {"model.npz", ".writing-link"}


def test_what_is_being_written_stays(tmp_path):
    with (
        files.replacing(tmp_path / "one") as one,
        files.replacing_folder(tmp_path / "two") as two,
    ):
        files.remove_unfinished(tmp_path)
        assert one.is_file()
        assert two.is_dir()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one", "two"]


def test_temporary_files_go_with_their_process(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    left = tmp_path / "keras-effnet-killed"
    left.mkdir()
    (left / "weights").write_bytes(b"left by a kill")
    with files.workplace():
        assert not left.exists()
        (own,) = tmp_path.iterdir()
        assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(own)
        assert stat.S_IMODE(own.stat().st_mode) == 0o700
        tempfile.mkdtemp()
        files.remove_unfinished(tmp_path, "keras-effnet-")
        assert own.exists()
    assert list(tmp_path.iterdir()) == []
    assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(tmp_path)


def test_no_home_folder_means_a_private_one(tmp_path, monkeypatch):
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", "/nonexistent")
    made = []
    monkeypatch.setattr(files, "private_folder", lambda path: made.append(path))
    files.keras_home()
    assert made == [f"/tmp/.keras-{os.geteuid()}"]


def test_a_private_folder(tmp_path, monkeypatch):
    path = files.private_folder(tmp_path / "a" / "own")
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    path.chmod(0o755)  # others could read it and change nothing
    assert stat.S_IMODE(files.private_folder(path).stat().st_mode) == 0o700
    (tmp_path / "link").symlink_to(path)
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o1777)
    for wrong in (open_to_all, tmp_path / "link"):
        with pytest.raises(InputError, match=r"own, of mode 700.*KERAS_HOME.*Received"):
            files.private_folder(wrong)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(InputError, match="own, of mode 700"):
        files.private_folder(path)


def test_arrays_come_back(tmp_path):
    arrays = {"conv/0": np.eye(2, dtype=np.float32), "step": np.array(3)}
    files.write_arrays(tmp_path / "state.npz", arrays)
    found = files.read_arrays(tmp_path / "state.npz")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    np.savez(tmp_path / "pickled.npz", value=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        files.read_arrays(tmp_path / "pickled.npz")


def test_json_that_can_not_be_read(tmp_path):
    path = tmp_path / "a.json"
    assert files.read_json(path) is None
    for text, expected in (('{"a": 1}', {"a": 1}), ('{"a"', None), ("[1]", None)):
        path.write_text(text)
        assert files.read_json(path) == expected


def test_json_that_would_take_too_much(tmp_path):
    path = tmp_path / "a.json"
    for data in ('{"a":' * 5000 + "1" + "}" * 5000, '{"a":' + "[" * 101 + "]" * 101):
        path.write_text(data + "}" * (data[-1] == "]"))
        assert files.read_json(path) is None
        with pytest.raises(ValueError, match="nested too deeply"):
            files.parse_json(path.read_bytes())
    assert files.parse_json("[" * 99 + "]" * 99)

    path.write_text('{"a": 1}')
    assert files.read_json(path, limit=7) is None
    path.unlink()
    os.mkfifo(path)  # to open it would wait for a writer
    assert files.read_json(path) is None


def test_a_number_that_no_float_holds_is_refused():
    assert files.parse_json("[1" + 299 * "0" + "]") == [10**299]
    with pytest.raises(ValueError, match="too large"):
        files.parse_json("[-1" + 400 * "0" + "]")


@pytest.mark.parametrize("times", [1, 2])
def test_an_archives_entry_is_read_once_and_up_to_a_size(times, tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("big", b" " * 10**6)
        for _ in range(times):
            with warnings.catch_warnings(action="ignore"):
                archive.writestr("small", b"12")
    with zipfile.ZipFile(path) as archive:
        with pytest.raises(ValueError, match="big unpacks to 1000000 bytes"):
            files.zip_entry(archive, "big", 10**5)
        if times == 1:
            assert files.zip_entry(archive, "small", 2) == b"12"
        else:
            with pytest.raises(ValueError, match="more than one small"):
                files.zip_entry(archive, "small", 2)


def test_suggestions():
    names = ("EfficientNetB0", "EfficientNetB1")
    assert "'EfficientNetB0'" in suggest("eficientnetb0", names)
    assert suggest("resnet", names) == ""


def test_native_chatter_is_held_back(capfd):
    with native_stderr_held_back():
        os.write(2, b"chatter")
    assert capfd.readouterr().err == ""


def test_native_chatter_explains_an_error(capfd):
    def fail():
        with native_stderr_held_back():
            os.write(2, b"the reason")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert capfd.readouterr().err == "the reason"


def test_threads_hold_standard_error_back_together(capfd):
    inside, outside = threading.Barrier(4), threading.Barrier(4)

    def work():
        with native_stderr_held_back(), native_stderr_held_back():
            inside.wait()
            os.write(2, b"chatter")
        outside.wait()

    before = os.readlink("/proc/self/fd/2")
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert os.readlink("/proc/self/fd/2") == before
    assert capfd.readouterr().err == ""


def test_a_locked_folder_refuses_where_it_is_told(tmp_path):
    with files.locked(tmp_path), pytest.raises(InputError, match=r"Busy\. Received: '"):
        files.locked(tmp_path, "Busy.").__enter__()
    with files.locked(tmp_path, "Busy."):
        pass


def test_a_locked_folder_is_one_writers_at_a_time(tmp_path):
    order, waiting = [], threading.Event()

    def other():
        waiting.set()
        with files.locked(tmp_path):
            order.append("second")

    thread = threading.Thread(target=other)
    with files.locked(tmp_path):
        thread.start()
        waiting.wait()
        thread.join(timeout=0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_checked_before_the_work(tmp_path):
    files.check_folder(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"can't be written.*Received: .*file"):
        files.check_folder(tmp_path / "file")
