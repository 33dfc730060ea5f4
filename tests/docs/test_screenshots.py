"""docs/screenshots.py: what it does without a browser, and without a page."""

import importlib

import pytest
from conftest import ROOT


@pytest.fixture
def screenshots(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT / "docs")
    module = importlib.import_module("screenshots")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    return module


def test_without_a_browser_there_is_a_line(screenshots, monkeypatch, capsys):
    monkeypatch.setattr(screenshots.shutil, "which", lambda name: None)
    screenshots.take()
    assert "no screenshots: none of chromium" in capsys.readouterr().out


def test_a_page_that_is_there_is_drawn(screenshots, monkeypatch, capsys, tmp_path):
    drawn = []
    monkeypatch.setattr(screenshots.shutil, "which", lambda name: "/browser")
    monkeypatch.setattr(screenshots, "_draw", lambda *found: drawn.append(found[:3]))
    screenshots.take()
    assert "build/devices.html is not there" in capsys.readouterr().out
    assert drawn == []
    page = tmp_path / "build" / "devices.html"
    page.parent.mkdir()
    page.touch()
    screenshots.take()
    assert drawn == [("/browser", page, tmp_path / "docs" / "devices.png")]
