"""What a browser as a target refuses, and what it says before a page is open."""

import socket
import urllib.parse

import numpy as np
import page_client
import pytest

from keras_effnet.benchmarks.targets import _litertjs
from keras_effnet.benchmarks.targets.browser import Browser
from keras_effnet.errors import InputError
from keras_effnet.export import export


@pytest.fixture(scope="session")
def litertjs():
    return page_client.litertjs()


def test_a_page_that_nobody_opens(litertjs, tiny_files):
    told = []
    with Browser(tell=told.append, timeout_seconds=0.2) as target:
        assert not told
        with pytest.raises(InputError, match=r"Nobody opened the page within 0\.2"):
            target.measure(tiny_files["float32"], page_client.REQUEST)
    (text,) = told
    assert target.url in text
    assert target.url.startswith("http://127.0.0.1:")


def test_the_address_for_phones_is_drawn_too(litertjs, tiny_files):
    told = []
    with Browser("0.0.0.0", tell=told.append, timeout_seconds=0.1) as target:
        with pytest.raises(InputError, match="Nobody"):
            target.measure(tiny_files["float32"], page_client.REQUEST)
        port = urllib.parse.urlsplit(target.url).port
    line, *picture = told[0].splitlines()
    assert target.url in line
    assert "0.0.0.0" not in target.url
    assert len({len(row) for row in picture}) == 1
    assert set("".join(picture)) <= set("█▀▄ ")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_a_port_in_use(litertjs):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"it is in use.*port={port}") as raised:
            Browser(port=port)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"host": "192.0.2.1"}, "`host` is an address of this machine"),
        ({"host": "no such host"}, "`host` is an address of this machine"),
        ({"port": 70_000}, "port"),
        ({"accelerator": "gpu"}, "must be one of wasm, webgpu"),
    ],
)
def test_options_that_can_not_be(litertjs, options, words):
    with pytest.raises(InputError, match=words):
        Browser(**options)


def test_int8_ends_are_refused_before_anything_is_served(litertjs, tiny_files):
    told = []
    with Browser(tell=told.append) as target:
        with pytest.raises(InputError, match="--input-type float32` or `uint8`"):
            target.measure(tiny_files["int8"], page_client.REQUEST)
        with pytest.raises(InputError, match="--input-type"):
            target.answers(tiny_files["int8"], np.zeros((1, 32, 32, 3), np.int8))
        with pytest.raises(InputError, match="always uses XNNPACK"):
            target.measure(
                tiny_files["float32"], page_client.REQUEST | {"xnnpack": False}
            )
    assert not told


def test_answers_are_of_one_image_each(litertjs, tiny_files):
    images = np.zeros((2, 32, 32, 3), np.float32)
    with page_client.quiet_browser() as target:
        for wrong in (images[:, :16], images[0], images.astype(np.uint8)):
            with pytest.raises(InputError, match=r"\(n, 32, 32, 3\) and of float32"):
                target.answers(tiny_files["float32"], wrong)


def test_an_open_batch_is_refused(litertjs, tiny_model, tmp_path):
    (file,) = export(tiny_model, tmp_path, ("float32",), batch_size=None)
    with (
        page_client.quiet_browser() as target,
        pytest.raises(InputError, match="--batch-size 1"),
    ):
        target.measure(file.path, page_client.REQUEST)


def test_without_npm_the_command_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="npm install") as raised:
        Browser()
    assert f"@litertjs/core@{_litertjs.VERSION}" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_what_npm_says_when_it_fails(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'npm error code EINTEGRITY' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(InputError, match=r"can't fetch LiteRT\.js: code EINTEGRITY"):
        Browser()
    (home,) = (tmp_path / "home").glob("litertjs/keras_effnet")
    assert not list(home.iterdir())


def test_a_folder_of_the_users(litertjs, tmp_path):
    folder = litertjs.parent.parent
    assert _litertjs.runtime(folder) == litertjs
    assert _litertjs.runtime(folder / "node_modules") == litertjs
    with pytest.raises(InputError, match=r"no LiteRT\.js in the folder"):
        _litertjs.runtime(tmp_path)
    core = tmp_path / "@litertjs/core"
    core.mkdir(parents=True)
    (core / "package.json").write_text('{"version": "0.1.0"}')
    with pytest.raises(InputError, match=r"of the version 0\.1\.0"):
        _litertjs.runtime(tmp_path)
