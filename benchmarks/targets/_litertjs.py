"""Where LiteRT.js, the runtime in JavaScript, comes from: npm, once."""

import json
import pathlib
import shutil

from keras_effnet import children
from keras_effnet import files
from keras_effnet.errors import InputError

# Names the version, and the sums by which npm verifies what it fetches.
_LOCKED = pathlib.Path(__file__).parent.parent / "browser"
_CORE, _UTILS = "@litertjs/core", "@litertjs/wasm-utils"
VERSION = json.loads((_LOCKED / "package.json").read_text())["dependencies"][_CORE]
_TYPES = {".js": "text/javascript; charset=utf-8", ".wasm": "application/wasm"}


def runtime(folder=None):
    """The folder of LiteRT.js' packages, `core` and `wasm-utils`: in one where npm has
    installed them, or in Keras' folder of caches, to which npm fetches them the first
    time (10 MB)."""
    if folder is not None:
        return _checked(pathlib.Path(folder).expanduser())
    home = files.private_folder(files.keras_home() / "litertjs" / "keras_effnet")
    found = home / VERSION
    if not found.is_dir():
        with files.locked(home):
            # Another process may have fetched it meanwhile.
            if not found.is_dir():
                _fetch(found)
    return _checked(found)


def served(packages):
    """What a page needs of the packages: (content type, bytes or path) by the path in
    the address."""
    core, utils = packages / "core", packages / "wasm-utils"
    # Workers have no import maps, in which a page gives packages' names an address.
    index = (core / "dist/index.js").read_text(encoding="utf-8")
    index = index.replace(f'from "{_UTILS}"', 'from "./wasm-utils.js"')
    paths = {
        "index.js": index.encode(),
        "wasm-utils.js": utils / "dist/index.js",
        **{f"wasm/{path.name}": path for path in (core / "wasm").iterdir()},
    }
    return {
        f"/runtime/{VERSION}/{name}": (_TYPES[pathlib.PurePath(name).suffix], source)
        for name, source in paths.items()
        if pathlib.PurePath(name).suffix in _TYPES
    }


def _checked(folder):
    """The packages in a folder that npm has installed to, or in its node_modules."""
    for packages in (folder / "node_modules/@litertjs", folder / "@litertjs"):
        if (packages / "core/package.json").is_file():
            break
    else:
        raise InputError(
            f"There is no LiteRT.js in the folder; {_by_hand(folder)} puts it there. "
            f"Received: {str(folder)!r}"
        )
    for name in ("core", "wasm-utils"):
        sheet = packages / name / "package.json"
        version = json.loads(sheet.read_text())["version"] if sheet.is_file() else None
        if version != VERSION:
            raise InputError(
                f"LiteRT.js must be of the version {VERSION}; {_by_hand(folder)} puts "
                f"it there. Received: {str(sheet.parent)!r} of the version {version}"
            )
    return packages


def _fetch(found):
    npm = shutil.which("npm")
    if npm is None:
        raise InputError(
            "LiteRT.js is not here yet, and npm, which fetches it, is not installed; "
            f"install it, or run {_by_hand(found)} on another machine and copy the "
            f"folder here. Received: {str(found)!r}"
        )
    with files.replacing_folder(found) as packages:
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(_LOCKED / name, packages / name)
        done = children.finished(
            [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=packages
        )
        if done.returncode:
            mark = "npm error "
            lines = [x for x in done.stderr.splitlines() if x.startswith(mark)]
            told = "; ".join(line.removeprefix(mark) for line in lines[:2])
            raise InputError(
                f"npm can't fetch LiteRT.js: {told.rstrip('. ') or 'it says nothing'}; "
                "with a network it is fetched once, and kept. "
                f"Received: '{_CORE}@{VERSION}'"
            )


def _by_hand(folder):
    return (
        f"`npm install --ignore-scripts --prefix {folder} {_CORE}@{VERSION} "
        f"{_UTILS}@{VERSION}`"
    )
