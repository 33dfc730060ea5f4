"""What docs/ shows of the pages, as a browser draws them."""

import pathlib
import shutil
import subprocess
import tempfile

from PIL import Image
from table_data import ROOT

# Each, whence, and its height: a page's beginning tells what it is like.
_PAGES = {
    "devices.png": ("build/devices.html", 1150),
}
_WIDTH = 1000
_BROWSERS = "chromium", "chromium-browser", "google-chrome"


def take():
    """Draws the pages that are there; says what is not, and leaves its picture."""
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if not browser:
        print(f"no screenshots: none of {', '.join(_BROWSERS)} is installed")
        return
    for name, (page, height) in _PAGES.items():
        if (ROOT / page).exists():
            _draw(browser, ROOT / page, ROOT / "docs" / name, height)
        else:
            print(f"docs/{name} is as it was: {page} is not there")


def _draw(browser, page, path, height):
    with tempfile.TemporaryDirectory() as folder:
        shot = pathlib.Path(folder, "shot.png")
        command = [browser, "--headless=new", "--no-sandbox", "--hide-scrollbars"]
        command += [f"--user-data-dir={folder}/profile", f"--screenshot={shot}"]
        command += [f"--window-size={_WIDTH},{height}", page.resolve().as_uri()]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL, timeout=120)
        # Few colours are a fifth of the bytes.
        Image.open(shot).convert("RGB").quantize(64).save(path, optimize=True)
