"""The page's server: who may ask it for what, and what it takes for a result."""

import contextlib
import json
import socket
import urllib.parse

import pytest
from page_client import ask
from page_client import key
from page_client import leave
from page_client import measures
from page_client import quiet_browser
from page_client import take

from keras_effnet.benchmarks.targets import TargetLost
from keras_effnet.benchmarks.targets import _litertjs
from keras_effnet.benchmarks.targets import _page_server


@pytest.fixture
def quiet():
    """A target whose page no browser opens."""
    with quiet_browser(timeout_seconds=60) as target:
        yield target


@pytest.fixture(scope="session")
def model(tiny_files):
    return tiny_files["float32"]


def test_a_closed_page_is_lost_at_once(quiet, model):
    thread, ended = measures(quiet, model)
    _, job = take(quiet)
    leave(quiet, job, thread)
    (lost,) = ended
    assert isinstance(lost, TargetLost)
    assert "it was closed" in str(lost)


@pytest.mark.parametrize(
    "token", [None, "", "wrong", "é", "x" * 10_000], ids=lambda token: repr(token)[:9]
)
def test_a_wrong_token_gets_nothing(quiet, model, token):
    thread, ended = measures(quiet, model)
    message, job = take(quiet)
    wrong = {"X-Job": message["id"]}
    if token is not None:
        wrong["X-Token"] = token.encode("latin-1")
    paths = ["/job", "/job/inputs/0", f"/job/model/{message['sha256']}"]
    for path in paths:
        status, _, body = ask(quiet, "GET", path, wrong)
        assert (status, body) == (403, b"")
    for path in ("/job/done", "/job/failed", "/job/outputs/0", "/leave"):
        assert ask(quiet, "POST", path, wrong, b"{}")[0] == 403
    assert not ended
    failed = json.dumps({"error": "on purpose"})
    assert ask(quiet, "POST", "/job/failed", job, failed)[0] == 204
    thread.join(20)
    assert "on purpose" in str(ended[0])


def test_a_jobs_token_is_good_for_one_result(quiet, model):
    first, ended = measures(quiet, model)
    message, job = take(quiet)
    assert ask(quiet, "POST", "/job/alive", job, b"{}")[0] == 204
    assert ask(quiet, "POST", "/job/failed", job, b'{"error": "first"}')[0] == 204
    first.join(20)
    second, later = measures(quiet, model)
    again, _ = take(quiet)
    assert again["id"] != message["id"]
    for path in ("/job/failed", "/job/done", "/job/alive", "/job/outputs/0"):
        assert ask(quiet, "POST", path, job, b"{}")[0] == 410
    assert not later
    leave(quiet, job, second)
    assert "first" in str(ended[0])


def test_slow_clients_are_few_and_end(monkeypatch):
    monkeypatch.setattr(_page_server, "_REQUEST_SECONDS", 1)
    monkeypatch.setattr(_page_server, "_CONNECTIONS", 4)
    files = {"/": ("text/plain", b"the page")}
    server = _page_server.PageServer("127.0.0.1", 0, files, None)
    server.start()

    def connected():
        return socket.create_connection((server.host, server.port), timeout=20)

    with contextlib.closing(server), contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connected()) for _ in range(4)]
        for link in slow:
            link.sendall(b"GET / HT")
        with connected() as last:
            assert last.recv(1) == b""  # there is no room for it
        assert [link.recv(1) for link in slow] == [b""] * 4
        answer = b""
        while not answer:  # their threads may be ending still
            with connected() as link, contextlib.suppress(ConnectionError):
                link.sendall(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
                answer = link.makefile("rb").read()
        assert answer.endswith(b"the page")


def test_posts_are_limited(quiet, model):
    thread, ended = measures(quiet, model)
    _, job = take(quiet)
    for path, size in {
        "/job/done": 2**25 + 1,
        "/job/failed": 2**14 + 1,
        "/job/alive": 2**14 + 1,
        "/job/outputs/0": 5 * 4 + 1,
    }.items():
        # The refusal comes ahead of the body.
        headers = job | {"Content-Length": str(size)}
        assert ask(quiet, "POST", path, headers)[0] == 413
    for length in ("-1", "1e3", "9" * 40, "²"):
        headers = job | {"Content-Length": length.encode("latin-1")}
        assert ask(quiet, "POST", "/job/done", headers)[0] in (411, 413)
    chunked = job | {"Transfer-Encoding": "chunked"}
    assert ask(quiet, "POST", "/job/done", chunked)[0] == 411
    assert ask(quiet, "POST", "/job/outputs/0", job, bytes(19))[0] == 400
    assert ask(quiet, "POST", "/job/outputs/1", job, bytes(20))[0] == 404
    for body in (b"", b"{", b"[]", b"null", b"\xff", b"[" * 16000):
        assert ask(quiet, "POST", "/job/failed", job, body)[0] == 400
    assert not ended
    leave(quiet, job, thread)


WHOLE = {
    "times": {"init_ms": 1, "first_ms": 1, "warmup_ms": [], "latency_ms": [1, 2.5]},
    "runtime": {},
    "device": {"cores": 4},
}


@pytest.mark.parametrize(
    ("changes", "output"),
    [
        ({}, False),
        ({"times": None}, True),
        ({"device": {}}, True),
        ({"runtime": []}, True),
        *(
            ({"times": WHOLE["times"] | change}, True)
            for change in (
                {"latency_ms": []},
                {"latency_ms": [0]},
                {"latency_ms": ["1"]},
                {"latency_ms": [10**400]},
                {"warmup_ms": None},
                {"init_ms": -1},
                {"first_ms": None},
            )
        ),
        ({}, True),
    ],
)
def test_a_result_that_is_not_whole(quiet, model, changes, output):
    thread, ended = measures(quiet, model)
    _, job = take(quiet)
    if output:
        assert ask(quiet, "POST", "/job/outputs/0", job, bytes(20))[0] == 204
    body = json.dumps(WHOLE | changes)
    assert ask(quiet, "POST", "/job/done", job, body)[0] == 204
    thread.join(20)
    if output and not changes:
        assert ended[0]["latency_ns"] == [1_000_000, 2_500_000]
    else:
        assert "result is not whole" in str(ended[0])


def test_a_second_page_waits_for_the_first(quiet, model):
    thread, ended = measures(quiet, model)
    _, first = take(quiet, "first")
    second = key(quiet, **{"X-Page": "second"})
    assert ask(quiet, "GET", "/job", second)[0] == 409
    # The second one's end is nothing to the first.
    assert ask(quiet, "POST", "/leave", second)[0] == 204
    assert not ended
    leave(quiet, first, thread)


def test_what_is_served_and_how(quiet, model):
    thread, _ = measures(quiet, model)
    types = {
        "/": "text/html; charset=utf-8",
        "/page.js": "text/javascript; charset=utf-8",
        "/worker.js": "text/javascript; charset=utf-8",
        "/style.css": "text/css; charset=utf-8",
        f"/runtime/{_litertjs.VERSION}/index.js": "text/javascript; charset=utf-8",
        f"/runtime/{_litertjs.VERSION}/wasm/litert_wasm_internal.wasm": (
            "application/wasm"
        ),
    }
    for path, content_type in types.items():
        status, headers, body = ask(quiet, "GET", path)
        assert (status, headers["Content-Type"]) == (200, content_type)
        assert body
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "Python" not in headers["Server"]
    message, job = take(quiet)
    _, _, body = ask(quiet, "GET", f"/job/model/{message['sha256']}", job)
    assert body == model.read_bytes()
    for path in (
        "/package.json",
        "/../_page_server.py",
        "/runtime/../index.html",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/job/model/../../etc/passwd",
        "/job/inputs/1",
        "/job/inputs/-1",
        "/job/inputs/²",
        "/job/outputs/0",
    ):
        quoted = urllib.parse.quote(path, "/%")
        assert ask(quiet, "GET", quoted, job)[0] == 404
        assert ask(quiet, "GET", quoted)[0] == 403
    leave(quiet, job, thread)
