"""Published files: fetched over a real connection, with all that goes wrong."""

import dataclasses
import hashlib
import json
import os
import pathlib
import runpy
import shutil
import subprocess
import sys

import keras
import pytest
import requests
from file_server import FileServer

from keras_effnet.errors import InputError
from keras_effnet.weights import download as download_module
from keras_effnet.weights import store
from keras_effnet.weights.download import download

BODY = b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 1000
OTHER = BODY[:8] + b"!" + BODY[9:]
PAGE = b"<!DOCTYPE html><title>Sign in</title>"
HALF = len(BODY) // 2


@dataclasses.dataclass(frozen=True)
class Set:
    """What the store reads of a `WeightSet`."""

    url: str
    hash: str = ""
    model: str = "EfficientNetB0"
    name: str = "imagenet"
    source: str = "keras"


def _hash(algorithm, body=BODY):
    return f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A cache of its own, the local server reached directly, no long pauses."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("KERAS_EFFNET_MIRROR", raising=False)
    monkeypatch.setattr(download_module, "PAUSE", 0.001)
    return tmp_path / "home"


@pytest.fixture
def server():
    with FileServer({"/weights/b0.h5": BODY}).running() as server:
        yield server


@pytest.fixture
def mirror():
    with FileServer({"/copy/keras/weights/b0.h5": BODY}).running() as mirror:
        yield mirror


@pytest.fixture
def published(server):
    return Set(f"{server.address}/weights/b0.h5", _hash("md5"))


def _accepts(path):
    pass


def _files(folder):
    found = (path for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    return sorted(path.name for path in found)


def _refused(home, action, match, left=()):
    """The one line of the error; no file is left but those that are named."""
    with pytest.raises(InputError, match=match) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    assert message.rpartition(". ")[2].startswith("Received: ")
    assert _files(home) == sorted(left)
    return message


PART = ("b0.h5.part", "b0.h5.part.json")


# A clean download, and what is here already.


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_a_clean_download(server, home, algorithm, capsys):
    published = Set(f"{server.address}/weights/b0.h5", _hash(algorithm))
    assert not store.is_cached(published)
    path = store.fetch(published)
    assert path == home / "models" / "keras_effnet" / "keras" / "weights" / "b0.h5"
    assert path == store.path_of(published)
    assert store.is_cached(published)
    assert path.read_bytes() == BODY
    assert _files(home) == ["b0.h5"]
    assert server.requests == [("/weights/b0.h5", None)]
    assert store.verify(published) == _hash(algorithm)
    assert capsys.readouterr().err == ""


def test_what_is_cached_needs_no_network(published, server, monkeypatch):
    path = store.fetch(published)

    def refuse(*args, **options):
        raise AssertionError("no socket may be opened")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    assert store.fetch(published) == path
    assert len(server.requests) == 1


def test_a_damaged_cached_file_is_named_and_kept(published, server):
    path = store.fetch(published)
    path.write_bytes(OTHER)
    message = _refused(
        path.parent,
        lambda: store.fetch(published),
        "Delete the file and it is downloaded again",
        left=["b0.h5"],
    )
    assert path.read_bytes() == OTHER
    for part in (str(path), _hash("md5"), _hash("md5", OTHER)):
        assert part in message
    path.unlink()
    assert store.fetch(published).read_bytes() == BODY


def test_the_first_digits_of_a_hash_are_enough(published):
    digits = _hash("sha256")[: len("sha256:") + 8]
    right = dataclasses.replace(published, hash=digits)
    store.fetch(right)
    assert store.verify(right) == _hash("sha256")
    wrong = dataclasses.replace(published, hash=_hash("sha256", OTHER)[:15])
    with pytest.raises(InputError, match=wrong.hash):
        store.verify(wrong)


def test_verify_downloads_nothing(published, server, home):
    _refused(home, lambda: store.verify(published), "not in the cache")
    assert server.requests == []


@pytest.mark.parametrize(
    ("progress", "shown"), [("always", True), (True, False), (False, False)]
)
def test_progress(published, capsys, progress, shown):
    store.fetch(published, progress=progress)
    captured = capsys.readouterr()
    assert ("b0.h5" in captured.err and "256k" in captured.err) == shown
    assert captured.out == ""


def test_a_file_without_a_length(published, server):
    server.chunked = True
    assert store.fetch(published).read_bytes() == BODY


# Where the files lie.


@pytest.mark.parametrize("value", ["/somewhere", "~/x", None])
def test_the_folder_is_that_of_keras(monkeypatch, tmp_path, value):
    monkeypatch.setenv("HOME", str(tmp_path))
    if value:
        monkeypatch.setenv("KERAS_HOME", value)
    else:
        monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setattr(os, "makedirs", lambda *args, **options: None)
    keras_home = runpy.run_path(keras.src.backend.config.__file__)["keras_home"]()
    expected = pathlib.Path(keras_home).expanduser() / "models" / "keras_effnet"
    assert store.cache_folder() == expected


def test_nobody_leads_on_to_where_nothing_is_encrypted():
    def target(address, location):
        response = requests.Response()
        response.status_code, response.url = 302, address
        response.headers["Location"] = location
        return download_module._Session().get_redirect_target(response)

    for location in ("https://b.example/x", "/x", "//b.example/x"):
        assert target("https://a.example/", location) == location
    assert target("http://a.example/", "http://b.example/x")
    for location in ("http://b.example/x", "HTTP://b.example/x", "ftp://b.example/x"):
        with pytest.raises(download_module._Failed, match=r"from https to (http|ftp)"):
            target("https://a.example/", location)


def test_what_a_server_says_does_not_steer_the_terminal(server, published, home):
    server.status, server.reason = 418, "]0;mineteapot"
    with pytest.raises(InputError, match=r"answered 418 .*teapot") as caught:
        store.fetch(published)
    assert "" not in str(caught.value)


def test_no_two_published_files_share_a_path():
    table = pytest.importorskip("keras_effnet.weights.table")
    sets = table.published()
    paths = {store.path_of(weight_set) for weight_set in sets}
    assert len(paths) == len({(s.source, s.url) for s in sets}) > 200
    assert all(store.path_of(s).name == s.file for s in sets)


# Cut connections.


def test_a_cut_download_resumes_by_itself(published, server):
    server.cuts = [HALF, 0, HALF // 2]
    assert store.fetch(published).read_bytes() == BODY
    firsts = [first for _, first in server.requests]
    assert firsts == [None, HALF, HALF, HALF + HALF // 2]
    assert server.sent == len(BODY)
    assert _files(store.cache_folder()) == ["b0.h5"]


def test_a_connection_that_ends_before_the_answer(published, server, home):
    server.drops = download_module.ATTEMPTS - 1
    assert store.fetch(published).read_bytes() == BODY
    store.path_of(published).unlink()
    server.drops = download_module.ATTEMPTS
    _refused(home, lambda: store.fetch(published), r"was cut\. The same command starts")


def test_the_same_command_resumes(published, server, home):
    server.cuts = [HALF, *[0] * (download_module.ATTEMPTS - 1)]
    message = _refused(
        home, lambda: store.fetch(published), "The same command resumes it", left=PART
    )
    assert "after 0.1 of 0.3 MB" in message
    assert len(server.requests) == download_module.ATTEMPTS
    assert store.fetch(published).read_bytes() == BODY
    assert server.requests[-1] == ("/weights/b0.h5", HALF)
    assert server.sent == len(BODY)
    assert _files(home) == ["b0.h5"]


def test_ctrl_c_keeps_what_has_come(published, server, home, monkeypatch):
    with monkeypatch.context() as patch:

        def interrupt(seconds):
            raise KeyboardInterrupt

        patch.setattr(download_module.time, "sleep", interrupt)
        server.cuts = [HALF]
        with pytest.raises(KeyboardInterrupt):
            store.fetch(published)
    assert _files(home) == sorted(PART)
    assert store.fetch(published).read_bytes() == BODY
    assert server.sent == len(BODY)


def test_a_part_that_is_whole_needs_no_request(published, server, home, tmp_path):
    part = pathlib.Path(f"{store.path_of(published)}.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(BODY)
    record = {"url": published.url, "validator": '"first"', "total": len(BODY)}
    part.with_name("b0.h5.part.json").write_text(json.dumps(record))
    assert store.fetch(published).read_bytes() == BODY
    assert server.requests == []
    assert _files(home) == ["b0.h5"]


@pytest.mark.parametrize(
    ("ranges", "asked"), [("yes", [HALF]), ("blind", [HALF, None]), ("no", [HALF])]
)
def test_a_file_that_changed_starts_again(published, server, home, ranges, asked):
    server.cuts = [HALF, *[0] * (download_module.ATTEMPTS - 1)]
    with pytest.raises(InputError):
        store.fetch(published)
    server.ranges = ranges
    server.files["/weights/b0.h5"] = OTHER
    server.validators = {"ETag": '"second"'}
    changed = dataclasses.replace(published, hash=_hash("md5", OTHER))
    assert store.fetch(changed).read_bytes() == OTHER
    assert [first for _, first in server.requests[download_module.ATTEMPTS :]] == asked
    assert _files(home) == ["b0.h5"]


def test_a_file_that_shrank_starts_again(published, server):
    server.cuts = [HALF, *[0] * (download_module.ATTEMPTS - 1)]
    with pytest.raises(InputError):
        store.fetch(published)
    server.files["/weights/b0.h5"] = short = BODY[:1000]
    shorter = dataclasses.replace(published, hash=_hash("md5", short))
    assert store.fetch(shorter).read_bytes() == short
    assert [first for _, first in server.requests[-2:]] == [HALF, None]


@pytest.mark.parametrize(
    "validators",
    [{"ETag": 'W/"weak"'}, {}],
    ids=["weak", "none"],
)
def test_a_part_of_an_unknown_version_starts_again(published, server, home, validators):
    server.validators = validators
    server.cuts = [HALF] * download_module.ATTEMPTS
    _refused(home, lambda: store.fetch(published), "The same command starts again")
    assert store.fetch(published).read_bytes() == BODY
    assert {first for _, first in server.requests} == {None}
    # A part that another program left.
    path = store.path_of(published)
    path.rename(f"{path}.part")
    assert store.fetch(published).read_bytes() == BODY
    assert {first for _, first in server.requests} == {None}


def test_the_date_of_a_file_tells_its_version_too(published, server):
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    server.validators = {"ETag": 'W/"weak"', "Last-Modified": date}
    server.cuts = [HALF]
    assert store.fetch(published).read_bytes() == BODY
    assert server.sent == len(BODY)


def test_a_server_that_sends_less_than_asked_for(published, server):
    server.cuts = [len(BODY) - 4]
    server.ranges = "short"
    assert store.fetch(published).read_bytes() == BODY
    assert server.sent == len(BODY)


def test_a_chunked_answer_resumes(published, server):
    server.chunked = True
    server.cuts = [HALF]
    assert store.fetch(published).read_bytes() == BODY
    assert server.sent == len(BODY)


def test_a_server_that_stalls(published, server, home):
    server.stall_after = len(BODY) // 10
    path = store.path_of(published)
    path.parent.mkdir(parents=True)
    message = _refused(
        home,
        lambda: download([published.url], path, _accepts, timeout=0.1),
        "sent nothing for 0.1 seconds",
        left=PART,
    )
    assert "resumes" in message


def test_a_server_that_never_answers(published, server, home):
    server.gate.clear()
    path = store.path_of(published)
    path.parent.mkdir(parents=True)
    message = _refused(
        home,
        lambda: download([published.url], path, _accepts, timeout=0.1),
        "sent nothing for 0.1 seconds",
    )
    assert str(path) in message


# Answers that are not the file.


def test_a_file_with_another_hash(published, server, home):
    server.files["/weights/b0.h5"] = OTHER
    message = _refused(home, lambda: store.fetch(published), "is published")
    for part in (published.url, _hash("md5"), _hash("md5", OTHER)):
        assert part in message


@pytest.mark.parametrize("status", [403, 404, 503])
def test_a_status_other_than_200(published, server, home, status):
    server.status = status
    message = _refused(home, lambda: store.fetch(published), f"answered {status}")
    assert message.endswith(f"Received: {published.url!r}")
    # Only what is said to pass is asked again.
    assert len(server.requests) == (4 if status == 503 else 1)


@pytest.mark.parametrize("file", ["b0.h5", "b0.safetensors", "b0.pth", "b0.txt"])
@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "text/plain"])
def test_a_web_page_with_status_200(server, home, file, content_type):
    server.files = {f"/weights/{file}": PAGE}
    server.content_type = content_type
    published = Set(f"{server.address}/weights/{file}")
    _refused(home, lambda: store.fetch(published), "sent a web page, not the file")


@pytest.mark.parametrize(
    ("file", "body"),
    [
        ("a.h5", BODY),
        ("a.tar.gz", b"\x1f\x8b\x08" + bytes(20)),
        ("a.tgz", b"\x1f\x8b\x08" + bytes(20)),
        ("a.keras", b"PK\x03\x04" + bytes(20)),
        ("a.pth", b"PK\x03\x04" + bytes(20)),
        ("a.pth", b"\x80\x02" + bytes(20)),
        ("a.safetensors", (14).to_bytes(8, "little") + b'{"a":       {}}'),
    ],
)
def test_files_are_told_by_their_first_bytes(server, home, file, body):
    published = Set(f"{server.address}/weights/{file}")
    server.files = {f"/weights/{file}": b"version https://git-lfs.github.com/spec/v1"}
    _refused(home, lambda: store.fetch(published), "something else than a .* file")
    # A server that calls everything a page is believed less than the bytes.
    server.content_type = "text/html"
    server.files = {f"/weights/{file}": body}
    assert store.fetch(published).read_bytes() == body


def test_no_connection(published, server, home, monkeypatch):
    def refuse(*args, **options):
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr("socket.socket.connect", refuse)
    message = _refused(home, lambda: store.fetch(published), "Connection refused")
    by_hand = f"get {published.url} by other means and save it as "
    assert by_hand + str(store.path_of(published)) in message


def test_no_name_server(home):
    # The name is one that never exists (RFC 6761).
    published = Set("http://weights.invalid/b0.h5", _hash("md5"))
    message = _refused(home, lambda: store.fetch(published), "There is no connection: ")
    assert str(store.path_of(published)) in message


def test_a_connection_that_is_lost_on_the_way(published, server, home, monkeypatch):
    connect = download_module.urllib3.util.connection.create_connection
    calls = []

    def once(*args, **options):
        calls.append(args)
        if len(calls) > 1:
            raise ConnectionRefusedError(111, "Connection refused")
        return connect(*args, **options)

    server.cuts = [HALF]
    monkeypatch.setattr("urllib3.util.connection.create_connection", once)
    _refused(home, lambda: store.fetch(published), "Connection refused", left=PART)


# Disks.


def test_too_little_space_is_told_before(published, server, home, monkeypatch):
    free = shutil.disk_usage(home.parent)._replace(free=100_000)
    monkeypatch.setattr(download_module.shutil, "disk_usage", lambda path: free)
    message = _refused(home, lambda: store.fetch(published), "needs 0.3 MB")
    assert f"0.1 MB are free at {store.path_of(published).parent}" in message


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_disk_that_fills_up_meanwhile(published, home):
    path = store.path_of(published)
    path.parent.mkdir(parents=True)
    pathlib.Path(f"{path}.part").symlink_to("/dev/full")
    _refused(home, lambda: store.fetch(published), "No space left on device")


@pytest.mark.parametrize("checked", [True, False])
def test_a_small_disk(server, home, monkeypatch, checked):
    published = Set(f"{server.address}/weights/b0.h5", _hash("md5"))
    home.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(home)]
    if (
        not shutil.which("mount")
        or subprocess.run(mount, capture_output=True).returncode
    ):
        pytest.skip("this process may not mount a tmpfs")
    try:
        if not checked:
            plenty = shutil.disk_usage(home)._replace(free=1 << 40)
            monkeypatch.setattr(download_module.shutil, "disk_usage", lambda _: plenty)
        match = "needs 0.3 MB, and 0.1 MB are free" if checked else "No space left"
        _refused(home, lambda: store.fetch(published), match)
    finally:
        subprocess.run(["umount", str(home)], check=True)


def test_a_cache_that_cannot_be_written_to(published, server, home):
    home.write_text("a file")
    _refused(home.parent, lambda: store.fetch(published), "KERAS_HOME", left=["home"])
    assert server.requests == []


# Two at once.

_FETCH = """
import sys
from types import SimpleNamespace
from keras_effnet.weights import store
weight_set = SimpleNamespace(
    model="m", name="s", source="keras", url=sys.argv[1], hash=sys.argv[2]
)
print(store.fetch(weight_set))
assert not {"keras", "tensorflow", "torch"} & set(sys.modules)
"""


def test_two_processes_download_once(published, server, home):
    def start():
        return subprocess.Popen(
            [sys.executable, "-c", _FETCH, published.url, published.hash],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    server.gate.clear()
    with start() as first:
        assert server.arrived.wait(60)
        with start() as second:
            waits = second.stderr.readline()
            server.gate.set()
            outputs = [process.communicate(timeout=60) for process in (first, second)]
    assert waits == "Another process downloads b0.h5: waiting for it\n"
    assert outputs == [(f"{store.path_of(published)}\n", "")] * 2
    assert [first.returncode, second.returncode] == [0, 0]
    assert server.requests == [("/weights/b0.h5", None)]
    assert _files(home) == ["b0.h5"]


# Mirrors.


def test_a_mirror_goes_first(published, server, mirror, monkeypatch):
    monkeypatch.setenv("KERAS_EFFNET_MIRROR", f"{mirror.address}/copy/")
    assert store.fetch(published).read_bytes() == BODY
    assert len(mirror.requests) == 1
    assert server.requests == []


def test_a_copied_cache_is_a_mirror(published, server, mirror, monkeypatch, tmp_path):
    path = store.fetch(published)
    place = path.relative_to(store.cache_folder()).as_posix()
    mirror.files = {f"/{place}": path.read_bytes()}
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("KERAS_EFFNET_MIRROR", mirror.address)
    assert store.fetch(published) != path
    assert len(server.requests) == 1


@pytest.mark.parametrize("fault", ["404", "page", "hash", "cut"])
def test_after_a_mirror_the_original(
    published, server, mirror, monkeypatch, home, fault
):
    (place,) = mirror.files
    if fault == "cut":
        mirror.cuts = [None, HALF, *[0] * (download_module.ATTEMPTS - 1)]
    else:
        mirror.files = {"404": {}, "page": {place: PAGE}, "hash": {place: OTHER}}[fault]
    bases = f"{mirror.address}/none  {mirror.address}/copy"
    monkeypatch.setenv("KERAS_EFFNET_MIRROR", bases)
    assert store.fetch(published).read_bytes() == BODY
    assert [path for path, _ in mirror.requests[:2]] == [f"/none{place[5:]}", place]
    assert server.requests == [("/weights/b0.h5", None)]
    assert _files(home) == ["b0.h5"]


def test_what_every_address_answered(published, server, mirror, monkeypatch, home):
    server.status = 403
    monkeypatch.setenv("KERAS_EFFNET_MIRROR", f"{mirror.address}/none")
    message = _refused(home, lambda: store.fetch(published), "No address served")
    assert f"{mirror.address}/none/keras/weights/b0.h5: The server answered 404" in (
        message
    )
    assert f"{published.url}: The server answered 403" in message


def test_a_mirror_that_is_no_address(published, server, home, monkeypatch):
    monkeypatch.setenv("KERAS_EFFNET_MIRROR", "/mnt/weights")
    message = _refused(home, lambda: store.fetch(published), "KERAS_EFFNET_MIRROR")
    assert message.endswith("Received: '/mnt/weights'")


# Files without a published hash.


@pytest.fixture
def unhashed(published):
    return dataclasses.replace(published, hash="")


def _record(path):
    return path.with_name("b0.h5.sha256")


def test_the_first_download_is_recorded(unhashed, home):
    path = store.fetch(unhashed)
    assert _files(home) == ["b0.h5", "b0.h5.sha256"]
    assert store.verify(unhashed) == _hash("sha256")
    if shutil.which("sha256sum"):
        subprocess.run(
            ["sha256sum", "--check", "--strict", _record(path).name],
            cwd=path.parent,
            check=True,
            capture_output=True,
        )


def test_another_file_than_the_first_is_refused(unhashed, server, home):
    path = store.fetch(unhashed)
    both = ["b0.h5", "b0.h5.sha256"]
    path.write_bytes(OTHER)
    message = _refused(home, lambda: store.fetch(unhashed), "is recorded in", left=both)
    for part in (_hash("sha256"), _hash("sha256", OTHER), str(_record(path))):
        assert part in message
    # A download is held against the record too.
    path.unlink()
    server.files["/weights/b0.h5"] = OTHER
    _refused(
        home, lambda: store.fetch(unhashed), "is recorded in", left=["b0.h5.sha256"]
    )


def test_a_file_put_there_by_hand_is_recorded_at_first_use(unhashed, server):
    path = store.path_of(unhashed)
    path.parent.mkdir(parents=True)
    path.write_bytes(BODY)
    assert store.fetch(unhashed) == path
    assert server.requests == []
    path.write_bytes(OTHER)
    with pytest.raises(InputError, match="is recorded in"):
        store.verify(unhashed)


def test_a_damaged_record(unhashed, home):
    path = store.fetch(unhashed)
    for text in ("", _record(path).read_text()[:20]):
        _record(path).write_text(text)
        _refused(
            home,
            lambda: store.verify(unhashed),
            "record of a file's hash is damaged",
            left=["b0.h5", "b0.h5.sha256"],
        )
