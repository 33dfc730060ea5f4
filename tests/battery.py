"""What every network goes through, in one call each: its structure, and a
round trip through a file into a process that has Keras and not this package."""

import contextlib
import json
import os
import re
import subprocess
import sys

import keras
import numpy as np

_STOCK_KERAS = """
import json, sys
sys.modules["keras_effnet"] = None  # now importing it fails
import keras, numpy
for line in sys.stdin:
    model_path, input_path, output_path = json.loads(line)
    try:
        model = keras.saving.load_model(model_path)
        numpy.save(output_path, model(numpy.load(input_path), training=False))
        del model
        print("done", flush=True)
    except Exception as error:
        print(repr(error), flush=True)
"""


class StockKeras:
    """A process without this package, which loads models and runs them."""

    def __init__(self, process, folder):
        self._process = process
        self._folder = folder

    def start(self, model_path, pixels):
        """Begins a run, whose `outputs` must be fetched before the next."""
        np.save(self._folder / "inputs.npy", pixels)
        paths = (model_path, self._folder / "inputs.npy", self._folder / "outputs.npy")
        request = json.dumps([str(path) for path in paths])
        print(request, file=self._process.stdin, flush=True)

    def outputs(self):
        """Of the run that was started; `RuntimeError` where Keras refuses it."""
        answer = self._process.stdout.readline().strip()
        if answer != "done":
            stderr = (self._folder / "stderr.txt").read_text()[-3000:]
            raise RuntimeError(answer or stderr)
        return np.load(self._folder / "outputs.npy")


@contextlib.contextmanager
def stock_keras(folder):
    """Starts a `StockKeras`, which keeps its files in `folder`."""
    with open(folder / "stderr.txt", "w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-c", _STOCK_KERAS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        with process:
            yield StockKeras(process, folder)
            process.stdin.close()


def check_structure(model, spec, published):
    """Holds a network of the published size against the published numbers."""
    size = published.image_size
    assert model.name == spec.model_name
    assert model.input_shape == (None, size, size, 3)
    assert model.output_shape == (None, 1000)
    trainable = sum(np.prod(weight.shape) for weight in model.trainable_weights)
    assert trainable == published.trainable
    assert model.count_params() == published.total

    layers = {layer.name: layer for layer in model.layers}
    assert len(layers) == len(model.layers)
    for layer in model.layers:
        assert getattr(keras.layers, type(layer).__name__, None) is type(layer)
        if isinstance(layer, keras.layers.BatchNormalization):
            assert layer.momentum == (0.9 if spec.family == "v2" else 0.99)
            assert layer.epsilon == 1e-3
    assert layers["stem_conv"].filters == published.stem
    side = -(-size // 32)
    assert layers["top_activation"].output.shape == (None, side, side, published.top)
    assert layers["top_dropout"].rate == published.dropout
    check_drop_connect(model, spec, blocks=published.blocks, rate=0.2)


def check_drop_connect(model, spec, blocks, rate):
    """Drop-connect must grow linearly over the blocks that were built."""
    layers = {layer.name: layer for layer in model.layers}
    built = _blocks(model)
    assert len(built) == blocks
    for index, (stage, letters) in enumerate(built):
        name = f"block{stage}{letters}"
        drop = layers.pop(f"{name}_drop", None)
        if f"{name}_add" in layers and index > 0 and rate > 0:
            assert drop.rate == rate * index / blocks
            assert tuple(drop.noise_shape) == (None, 1, 1, 1)
        else:
            assert drop is None
        if letters != "a" and spec.stages[stage - 1].skip:
            assert f"{name}_add" in layers, "a repeated block keeps its shape"
    assert not [name for name in layers if name.endswith("_drop")]


def _blocks(model):
    """`(1, "a"), (1, "b"), ... (6, "z"), (6, "aa")`, whatever the graph's order."""
    names = [re.match(r"block(\d+)([a-z]+)_", layer.name) for layer in model.layers]
    found = {(int(name[1]), name[2]) for name in names if name}
    return sorted(found, key=lambda block: (block[0], len(block[1]), block[1]))


def check_saved(process, expected):
    """A model saved to `.keras` must predict the same bits without this package."""
    assert np.ptp(expected, axis=0).max() > 1e-3 * np.abs(expected).max()
    np.testing.assert_array_equal(process.outputs(), expected)
