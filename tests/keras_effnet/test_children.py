"""A program in a process of its own: its answer, its end, its parent's end."""

import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from keras_effnet import children
from keras_effnet.errors import InputError


@pytest.fixture
def program(tmp_path):
    """Writes a script; returns its path."""

    def write(code):
        path = tmp_path / "program.py"
        path.write_text(f"import json, os, sys, time\n{textwrap.dedent(code)}")
        return path

    return write


def test_the_last_line_is_the_answer(program):
    path = program("""
        print("native chatter", flush=True)
        print(json.dumps({"step": 1}))
        os.write(1, b"\\xff\\n")
        print(json.dumps({"given": json.loads(sys.argv[1]), "more": sys.argv[2:]}))
    """)
    told = []
    found = children.ask(path, {"a": 1}, "b", 3, tell=told.append)
    assert found == {"given": {"a": 1}, "more": ["b", "3"]}
    assert told == [{"step": 1}, found]


def test_a_module_and_its_environment(program, monkeypatch):
    path = program('print(json.dumps({"value": os.environ["VALUE"]}))')
    environment = {"VALUE": "1", "PYTHONPATH": str(path.parent)}
    assert children.ask("program", environment=environment) == {"value": "1"}


def test_the_folder_of_a_script_is_kept_off_its_path(program):
    path = program('print(json.dumps({"first": sys.path[0]}))')
    assert children.ask(path)["first"] != str(path.parent)


def test_files_where_one_stands_are_no_modules(program, monkeypatch):
    path = program('print(json.dumps({"path": sys.path}))')
    monkeypatch.chdir(path.parent)
    assert not {"", str(path.parent)} & set(children.ask(path)["path"])
    with pytest.raises(children.ChildError, match="No module named program"):
        children.ask("program")


def test_what_it_objects_to_is_bad_input(program):
    path = program("""print('{"error": "No such thing."}'); sys.exit(1)""")
    with pytest.raises(InputError, match=r"^No such thing\.$"):
        children.ask(path)


@pytest.mark.parametrize(
    ("code", "name", "last_line"),
    [
        ("os.kill(os.getpid(), 11)", "SIGSEGV", "SIGSEGV"),
        ("os.write(2, b'one\\n\\xff two'); sys.exit(3)", None, "\ufffd two"),
        ("sys.exit(3)", None, "exit code 3"),
        ("pass", None, "exit code 0"),
    ],
)
def test_a_child_without_an_answer(program, code, name, last_line):
    with pytest.raises(children.ChildError) as caught:
        children.ask(program(code))
    assert (caught.value.signal, caught.value.last_line) == (name, last_line)


def test_a_child_that_hangs_is_ended(program):
    with pytest.raises(subprocess.TimeoutExpired):
        children.ask(program("time.sleep(600)"), timeout=0.5)


def test_who_stops_listening_ends_the_child(program, tmp_path):
    path = program("""
        print(json.dumps({"pid": os.getpid()}), flush=True)
        time.sleep(600)
    """)
    pids = []

    def tell(line):
        pids.append(line["pid"])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        children.ask(path, tell=tell)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux ends it")
def test_the_child_ends_with_a_parent_that_is_killed(program):
    path = program("""
        print(json.dumps({"pid": os.getpid()}), flush=True)
        time.sleep(600)
    """)
    code = (
        "import pathlib, sys; from keras_effnet import children; "
        "children.ask(pathlib.Path(sys.argv[1]), tell=lambda l: print(l['pid'], "
        "flush=True))"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True
    )
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    deadline = time.monotonic() + 30
    while _runs(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1]
    except FileNotFoundError:
        return False
    return state.split()[0] != "Z"


def test_an_answer_from_elsewhere():
    assert children.last_answer('chatter\n{"a": 1}\n') == {"a": 1}
    assert children.last_answer(b'{"a": 1}') == {"a": 1}
    assert children.last_answer("") is children.last_answer("no JSON") is None
    assert children.last_answer("3") is None


def test_names_of_signals():
    assert children.signal_name(9) == "SIGKILL"
    assert children.signal_name(99) == "signal 99"
