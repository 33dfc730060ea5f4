"""Rounds that are measured already, kept line by line: what was measured stays."""

import json
import os
import pathlib
from typing import Any

from keras_effnet.errors import InputError


class Journal:
    """Answers of targets in a file of one JSON line each, made with the first answer. A
    last line that was cut short by a kill counts for nothing."""

    def __init__(self, path: str | os.PathLike) -> None:
        self._path = pathlib.Path(path)
        try:
            data = self._path.read_bytes() if self._path.exists() else b""
            whole = data[: data.rfind(b"\n") + 1]
            entries = [json.loads(line) for line in whole.splitlines()]
            self._answers = {_text(entry["key"]): entry["answer"] for entry in entries}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"The rounds measured so far can't be read ({error}); move the file "
                f"away to measure anew. Received: {str(self._path)!r}"
            ) from error
        self._length = len(whole)

    def get(self, key: list) -> dict[str, Any] | None:
        """The answer of a key of plain values, if there is one."""
        return self._answers.get(_text(key))

    def put(self, key: list, answer: dict[str, Any]) -> None:
        """Keeps an answer, a dict of plain values."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"key": key, "answer": answer}).encode() + b"\n"
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
