"""What a search has made, on disk, so that it goes on where it was."""

import contextlib
import dataclasses
import hashlib
import json
import pathlib
import re
from collections.abc import Callable

from keras_effnet import files
from keras_effnet import notes
from keras_effnet.export.levers.draft import Draft

FOLDER = "candidates"


class Store:
    """Drafts, files and figures of one search.

    A search with other numbers (its key) finds nothing of this one and replaces it.
    As a context it has the search's folder to itself.
    """

    def __init__(self, folder, key):
        self.folder = pathlib.Path(folder) / FOLDER
        self._key = key
        files.check_folder(self.folder)
        self._lock = contextlib.ExitStack()

    def __enter__(self):
        # Another search in this folder waits until this one is done.
        self._lock.enter_context(files.locked(self.folder))
        self._clean()
        return self

    def __exit__(self, *error):
        self._lock.close()

    def _clean(self):
        """Removes what a search of another key, or a kill, left."""
        needed = set()
        for path in self.folder.glob("*.json"):
            content = self._read(path)
            if content is None:
                path.unlink()
                continue
            needed |= {content.get("weights"), path.with_suffix(".tflite").name}
        files.remove_unfinished(self.folder)
        for path in self.folder.glob("*.tflite"):
            if path.name not in needed:
                path.unlink()
        for path in self.folder.glob("*.npz"):
            if self._key[:16] not in path.name:
                path.unlink()

    def draft(self, name: str, make: Callable[[], Draft]) -> Draft:
        """A draft that is kept, else one that is made and kept."""
        path = self.folder / f"{_slug(name)}.draft.json"
        kept = self._read(path)
        if kept:
            data = self._bytes(kept["weights"], kept["weights_sha256"])
            if data:
                return Draft(
                    data,
                    {int(i): tuple(limits) for i, limits in kept["ranges"].items()},
                    frozenset(kept["float_nodes"]),
                    tuple(kept["levers"]),
                )
        draft = make()
        digest = hashlib.sha256(draft.data).hexdigest()
        weights = self.folder / f"weights-{digest[:16]}.tflite"
        if not self._bytes(weights.name, digest):
            with files.replacing(weights) as temporary:
                temporary.write_bytes(draft.data)
        content = dataclasses.asdict(draft) | {
            "weights": weights.name,
            "weights_sha256": digest,
            "float_nodes": sorted(draft.float_nodes),
        }
        del content["data"]
        self._write(path, content)
        return draft

    def candidate(self, name: str, make: Callable[[pathlib.Path], dict]) -> dict:
        """Figures of a file that is kept, else of one that is made and kept.

        `make` writes the .tflite file to a temporary path and returns figures. Added
        are `name`, `file` (its path from the search's folder), `bytes` and `sha256`.
        """
        path = self.folder / f"{_slug(name)}.json"
        target = path.with_suffix(".tflite")
        kept = self._read(path)
        if kept and self._bytes(target.name, kept["sha256"]):
            return kept
        path.unlink(missing_ok=True)
        with files.replacing(target) as temporary:
            figures = make(temporary)
            figures |= {
                "name": name,
                "file": f"{FOLDER}/{target.name}",
                "bytes": temporary.stat().st_size,
                "sha256": files.checksum(temporary),
            }
        self._write(path, figures)
        return figures

    def value(self, name, make):
        """A value of JSON that is kept, else one that is made and kept.

        `None` is not kept.
        """
        path = self.folder / f"{_slug(name)}.value.json"
        kept = self._read(path)
        if kept is None:
            kept = {"value": make()}
            if kept["value"] is not None:
                self._write(path, kept)
        return kept["value"]

    def state(self, name):
        """Path of a file in which a lever keeps its progress."""
        return self.folder / f"{_slug(name)}-{self._key[:16]}.npz"

    def update(self, figures):
        """Keeps figures of a candidate again, with what was added."""
        self._write(
            (self.folder.parent / figures["file"]).with_suffix(".json"), figures
        )

    def _read(self, path):
        if not path.exists():
            return None
        content = files.unsealed(files.read_json(path), path)
        return content if content and content.pop("key", None) == self._key else None

    def _write(self, path, content):
        kept = files.sealed({**content, "key": self._key})
        files.write_text(path, json.dumps(kept, indent=1))

    def _bytes(self, name, sha256):
        """Of a stored file that is as it was written, else `None`."""
        path = self.folder / name
        if not path.exists():
            return None
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() == sha256:
            return data
        notes.damaged(path)
        return None


def _slug(name):
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")
