"""Checkpoints that something damaged give way to the ones before."""

import json
import types
import zipfile

import numpy as np
import pytest

from keras_effnet import files
from keras_effnet.errors import InputError
from keras_effnet.training import checkpoint
from keras_effnet.training import loop
from keras_effnet.training import run_folder

STATE = {
    "epoch": 1,
    "step": 0,
    "global_step": 3,
    "history": [],
    "best": None,
    "stopped": False,
}


def _flip(path, offset, bits):
    """Of the first entry's local header and of its line in the archive's directory."""
    data = bytearray(path.read_bytes())
    for start in (0, data.index(b"PK\x01\x02") + 2):
        data[start + offset] ^= bits
    path.write_bytes(data)


def _bit(data):
    return data[:200] + bytes([data[200] ^ 1]) + data[201:]


def _state(path, change):
    flat = files.read_arrays(path)
    state = change(json.loads(flat["state"].tobytes()))
    text = np.frombuffer(json.dumps(state).encode(), np.uint8)
    files.write_arrays(path, flat | {"state": text})


def _compressed(path):
    np.savez_compressed(path, **files.read_arrays(path))


DAMAGES = {
    "version": lambda path: _flip(path, 4, 0x80),
    "encryption": lambda path: _flip(path, 6, 1),
    "method": lambda path: _flip(path, 8, 0x21),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-90]),
    "one bit": lambda path: path.write_bytes(_bit(path.read_bytes())),
    "a bomb": _compressed,
    "no step": lambda p: _state(p, lambda s: {k: s[k] for k in s if k[0] != "g"}),
    "a list": lambda path: _state(path, lambda state: [state]),
    "text": lambda path: _state(path, lambda state: state | {"epoch": "1"}),
    "history": lambda path: _state(path, lambda state: state | {"history": [[1], 2]}),
    "best": lambda path: _state(path, lambda state: state | {"best": [1]}),
    "unknown": lambda path: _state(path, lambda state: state | {"more": 1}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_stepped_back_from(damage, tmp_path, caplog):
    variable = types.SimpleNamespace(shape=(3,), assign=lambda array: None)
    training = types.SimpleNamespace(
        model=types.SimpleNamespace(variables=[variable]),
        optimizer=types.SimpleNamespace(variables=[]),
        ema=None,
    )

    def use(arrays, state):
        loop.Training._restore(training, {"optimizer": [], **arrays}, state)

    for step in (3, 4):
        arrays = {"model": [np.ones(3, "float32")]}
        last = checkpoint.save(tmp_path, arrays, STATE | {"global_step": step})
    assert checkpoint.load_last(tmp_path, use)[1]["global_step"] == 4
    assert not caplog.text
    DAMAGES[damage](last)
    assert checkpoint.load_last(tmp_path, use)[1]["global_step"] == 3
    assert training.state.global_step == 3
    assert "going on from step-0000000003.npz" in caplog.text
    checkpoint.checkpoints(tmp_path)[0].unlink()
    with pytest.raises(InputError, match="No checkpoint can be read: step-") as caught:
        checkpoint.load_last(tmp_path, use)
    assert "\n" not in str(caught.value)


def test_the_best_weights_are_damaged(tmp_path):
    folder = types.SimpleNamespace(path=tmp_path)
    assert run_folder.RunFolder.read_best(folder) is None
    run_folder.RunFolder.write_best(folder, [np.eye(2)])
    np.testing.assert_array_equal(run_folder.RunFolder.read_best(folder), [np.eye(2)])
    with zipfile.ZipFile(tmp_path / "best.npz", "w") as archive:
        archive.writestr("0.npy", b"\x93NUMPY\x01\x00")
    with pytest.raises(InputError, match=r"best epoch are damaged.*best\.npz"):
        run_folder.RunFolder.read_best(folder)
