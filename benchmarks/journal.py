"""Rounds that are measured already, kept line by line: what was measured stays."""

import json
import os
import pathlib
from typing import Any

from keras_effnet import files
from keras_effnet.errors import explained


class Journal:
    """Answers of targets in a file of one JSON line each, made with the first answer.
    A last line that was cut short by a kill counts for nothing, nor does a damaged
    one; a file without any of ours is another one, and is kept."""

    def __init__(self, path: str | os.PathLike) -> None:
        self._path = pathlib.Path(path)
        message = (
            "The rounds measured so far can't be read, move the file away to measure "
            "anew: {}."
        )
        with explained(message, self._path):
            found = self._path.exists()
            data = files.read_bytes(self._path, files.JSON_LIMIT) if found else b""
            whole = data[: data.rfind(b"\n") + 1]
            entries = [e for e in map(self._entry, whole.splitlines()) if e]
            if whole and not entries:
                raise ValueError("it holds none")
        self._answers = {_text(entry["key"]): entry["answer"] for entry in entries}
        self._length = len(whole)

    def _entry(self, line: bytes) -> dict | None:
        try:
            content = files.parse_json(line)
        except ValueError:
            content = None
        return files.unsealed(content, self._path)

    def get(self, key: list) -> dict[str, Any] | None:
        """The answer of a key of plain values, if there is one."""
        return self._answers.get(_text(key))

    def put(self, key: list, answer: dict[str, Any]) -> None:
        """Keeps an answer, a dict of plain values."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        entry = files.sealed({"key": key, "answer": answer})
        line = json.dumps(entry).encode() + b"\n"
        with open(self._path, "ab") as file:
            file.truncate(self._length)
            file.write(line)
        self._length += len(line)
        self._answers[_text(key)] = answer

    def remove(self) -> None:
        """Everything is measured and written elsewhere."""
        self._path.unlink(missing_ok=True)


def _text(key: list) -> str:
    return json.dumps(key, sort_keys=True)
