"""What the look at every image found, kept from one run to the next.

A cache that can't be read or written saves nothing, and does no harm.
"""

import contextlib
import hashlib
import json
import os
import pathlib

from keras_effnet import files
from keras_effnet import notes
from keras_effnet.errors import InputError

# Bytes: ImageNet-21k's 14 million images, each with a path.
_LIMIT = 2**32
# Of what is kept, so that no older file is taken for a damaged one: 2 has digests.
_VERSION = 2


def default_folder():
    """The folder of the command line's caches."""
    return files.keras_home() / "datasets" / "keras_effnet"


def file_of(folder, what):
    """The file in a folder of caches, or in none, of data with this name or path."""
    if folder is None:
        return None
    data = f"{_VERSION} {what}".encode("utf-8", "surrogateescape")
    name = hashlib.sha256(data).hexdigest()
    return pathlib.Path(folder) / f"{name}.json"


def stamp(paths):
    """What changes when one of the files does: names, sizes and times of change."""
    found = [(str(path), path.stat()) for path in sorted(paths)]
    return [[name, status.st_size, status.st_mtime_ns] for name, status in found]


def read(path, parse):
    """What `parse` makes of the dict that `write` wrote; `None` where there is none. A
    damaged one, at which `parse` fails, is told, and made anew by the caller."""
    if not path or not os.path.exists(path):
        return None
    try:
        return parse(files.read_json(path, _LIMIT))
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError):
        notes.damaged(path)
        return None


def write(path, content):
    """Writes a dict of plain values; nothing where `path` is `None`."""
    if path:
        with contextlib.suppress(InputError):
            files.write_text(path, json.dumps(content))
