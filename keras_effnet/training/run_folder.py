"""The folder of a run: what was asked for, what came of it, and all between."""

import csv
import datetime
import errno
import importlib.metadata
import io
import json
import pathlib
import platform
import sys

from keras_effnet import files
from keras_effnet.errors import InputError
from keras_effnet.errors import explained
from keras_effnet.training.recipes import as_json

_PACKAGES = ("keras-effnet", "keras", "tensorflow", "numpy")
_ENVIRONMENT = "environment.json"
_HISTORY = "history.csv"
_EVENTS = "tensorboard/events.out.tfevents.0.run"
_BEST = "best.npz"


class RunFolder:
    """A run's folder, of a recipe and its data; nothing is written before `begin`.

    Where another recipe or other data were trained there, an `InputError` says so.
    `identity` tells apart what is trained: recipe, data, versions.
    """

    def __init__(self, path, recipe, source, validation):
        self.path = pathlib.Path(path)
        self.checkpoints = self.path / "checkpoints"
        self._recipe = as_json(recipe)
        self._data = _described(source, validation)
        self._photographs = validation.place and str(validation.place)
        self._versions = {n: importlib.metadata.version(n) for n in _PACKAGES}
        self.identity = json.dumps([self._recipe, self._data, self._versions])
        self._check("recipe.json", self._recipe, "recipe")
        self._check("data.json", self._data, "data")

    def begin(self):
        """Writes what the run is of, and removes what a killed writer left."""
        for place in (self.path, self.checkpoints, (self.path / _EVENTS).parent):
            files.remove_unfinished(place)
        environment = {
            "started": datetime.datetime.now(datetime.UTC).isoformat(),
            "command": sys.argv,
            "python": platform.python_version(),
            "machine": platform.platform(),
            # Where those that were held out are, for `--evaluate` with this folder.
            "photographs": self._photographs,
            "versions": self._versions,
        }
        self._write_json("recipe.json", self._recipe)
        self._write_json("data.json", self._data)
        self._write_json(_ENVIRONMENT, environment)

    @property
    def environment(self):
        """The text of `environment.json`, or an empty string."""
        path = self.path / _ENVIRONMENT
        return path.read_text("utf-8", "replace") if path.is_file() else ""

    def _check(self, name, wanted, what):
        path = self.path / name
        if not path.exists():
            return
        found = files.read_json(path)
        if found is None:
            raise InputError(f"The run's {name} can't be read. Received: {str(path)!r}")
        other = sorted(
            key
            for key in wanted.keys() | found.keys()
            if wanted.get(key) != found.get(key)
        )
        if other:
            raise InputError(
                f"The folder holds a run of another {what}, it differs in "
                f"{', '.join(other)}: name another folder, or delete this one. "
                f"Received: {str(self.path)!r}"
            )

    def _write_json(self, name, values):
        files.write_text(self.path / name, json.dumps(values, indent=2) + "\n")

    def write_history(self, rows):
        """Writes the history as CSV and for TensorBoard, anew each time: a run
        that was resumed has no epoch twice."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[-1]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        files.write_text(self.path / _HISTORY, text.getvalue())
        with files.replacing(self.path / _EVENTS) as path:
            _write_events(path, rows)

    def write_best(self, weights):
        """Keeps the weights of the best epoch so far."""
        arrays = {str(index): weight for index, weight in enumerate(weights)}
        files.write_arrays(self.path / _BEST, arrays)

    def read_best(self):
        """The weights of the best epoch, or `None`."""
        path = self.path / _BEST
        if not path.exists():
            return None
        message = (
            "The weights of the best epoch are damaged: {}; delete the file, and the "
            "run ends with those of its last."
        )
        with explained(message, path):
            return list(files.read_arrays(path).values())


def _described(source, validation):
    def one(split):
        return {
            "name": split.name,
            "images": split.count,
            "fingerprint": split.fingerprint,
            "broken": list(split.broken),
        }

    return {
        "class_names": list(source.class_names),
        "training": one(source),
        "validation": one(validation),
    }


def _write_events(path, rows):
    # tf.summary needs TensorBoard, which many who train don't have.
    import tensorflow as tf
    from tensorflow.core.util.event_pb2 import Event

    try:
        with tf.io.TFRecordWriter(str(path)) as writer:
            writer.write(Event(file_version="brain.Event:2").SerializeToString())
            for row in rows:
                event = Event(step=row["epoch"])
                for name, value in row.items():
                    event.summary.value.add(tag=name, simple_value=value)
                writer.write(event.SerializeToString())
    except tf.errors.OpError as error:
        # "PATH; No space left on device"
        raise OSError(errno.EIO, error.message.rpartition("; ")[2]) from error
