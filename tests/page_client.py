"""What a page says to the command that serves it, said without a browser."""

import contextlib
import http.client
import json
import shutil
import threading
import urllib.parse

from device_servers import require

from keras_effnet.benchmarks.targets import _litertjs
from keras_effnet.benchmarks.targets.browser import Browser
from keras_effnet.errors import InputError

REQUEST = {
    "threads": 1,
    "xnnpack": True,
    "min_runs": 5,
    "min_seconds": 0,
    "warmup_runs": 1,
    "warmup_seconds": 0,
    "max_seconds": 20,
}


def litertjs():
    """LiteRT.js as a user gets it: fetched by npm into Keras' folder."""
    require(shutil.which("npm"), "npm")
    try:
        return _litertjs.runtime()
    except InputError as error:
        require(False, f"LiteRT.js ({error})")


def quiet_browser(**options):
    """A browser as a target that keeps its address to itself."""
    litertjs()
    return Browser(**{"tell": lambda text: None, **options})


def measures(target, path, request=REQUEST):
    """A measurement in a thread, and what it ended with."""
    ended = []

    def measure():
        try:
            ended.append(target.measure(path, request))
        except InputError as error:
            ended.append(error)

    thread = threading.Thread(target=measure)
    thread.start()
    return thread, ended


def ask(target, method, path, headers=None, body=None):
    """The status, headers and body of a request's answer."""
    url = urllib.parse.urlsplit(target.url)
    with contextlib.closing(http.client.HTTPConnection(url.netloc, timeout=20)) as link:
        link.request(method, path, body, headers or {})
        answer = link.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


def key(target, **more):
    return {"X-Token": urllib.parse.urlsplit(target.url).fragment, **more}


def take(target, page="a page"):
    """Takes the job as a page does: its message, and the headers of later requests."""
    headers = key(target, **{"X-Page": page})
    for _ in range(12):
        status, _, body = ask(target, "GET", "/job", headers)
        if status == 200:
            message = json.loads(body)
            return message, headers | {"X-Job": message["id"]}
        assert status == 204
    raise AssertionError("There was no job in a minute")


def leave(target, job, thread):
    assert ask(target, "POST", "/leave", job)[0] == 204
    thread.join(20)
