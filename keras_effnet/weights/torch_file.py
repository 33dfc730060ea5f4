"""PyTorch state dicts: `.pth`, `.pth.tar`, `.pt`, `.ckpt`, `.bin`, `.safetensors`."""

import argparse
import contextlib
import dataclasses
import warnings
import zipfile

import ml_dtypes
import numpy as np

from keras_effnet import files
from keras_effnet.errors import InputError
from keras_effnet.errors import explained
from keras_effnet.errors import needed
from keras_effnet.weights import torch_names
from keras_effnet.weights.blocks import blocks
from keras_effnet.weights.convention import TENSORFLOW
from keras_effnet.weights.convention import of_architecture
from keras_effnet.weights.keras_h5 import size_limit

# Where training scripts keep the state dict, the averaged one first: it is the
# one that is evaluated and published.
_NESTED = "state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model"
# And the name of the network, where they do: timm, Lightning.
_ARCHITECTURES = "arch", "architecture", "model_name", "model"
# What DistributedDataParallel, torch.compile and Lightning put before every name.
_PREFIXES = "module.", "_orig_mod.", "model.", "net.", "backbone."
_NO_SAFETENSORS = "A .safetensors file needs its library: pip install safetensors."
_UNREADABLE = (
    "The PyTorch file can't be read: it is damaged, or it holds more than tensors, "
    "which is refused (of a training checkpoint, save the state_dict alone)."
)
_DAMAGED = "The safetensors file can't be read, it may be cut off or damaged: {}."
_COUNTERS = ("num_batches_tracked", "n_averaged")
_TYPES = ("float64", "float32", "float16", "bfloat16")
_SAFETENSORS_TYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": ml_dtypes.bfloat16,
}


def read(path, model):
    """Reads a state dict as `importing.read`.

    A `.safetensors` file needs the safetensors library and no PyTorch. Any other is
    loaded by PyTorch with `weights_only=True`: nothing in it is executed. It may be a
    training checkpoint, whose averaged weights are taken if it has some. For whose
    networks, see `keras_effnet.weights.torch_names`.
    """
    if path.suffix == ".safetensors":
        state = _read_safetensors(path)
    else:
        state = _read_pickle(path, size_limit(model))
    return torch_names.to_keras(_without_prefix(state), blocks(model))


def convention(path):
    """The `Convention` of the names in a file and of the architecture that it, the
    `config.json` beside it or, less surely, its own name tells."""
    config = files.read_json(path.parent / "config.json") or {}
    told = [config.get("architecture")]
    if path.suffix == ".safetensors":
        names = _names_of_safetensors(path)
    elif not _is_packed(_records(path)):
        with _pickle(path, path.stat().st_size) as (state, architectures):
            names = list(state)
            told += architectures
    else:  # its names are in what unpacks to nobody knows how much
        return dataclasses.replace(TENSORFLOW, assumed=True)
    named = next((name for name in told if isinstance(name, str)), "")
    found = torch_names.convention(_without_prefix(dict.fromkeys(names)), named)
    if found.assumed and (guess := of_architecture(path.name)):
        return dataclasses.replace(guess, assumed=guess is not TENSORFLOW)
    return found


def _without_prefix(state):
    for prefix in _PREFIXES * 2:  # an average of a wrapped model is wrapped twice
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): state[name] for name in state}
    return state


def _is_counter(name):
    return name.rpartition(".")[2] in _COUNTERS


def _read_safetensors(path):
    safetensors = needed("safetensors", _NO_SAFETENSORS, str(path))
    with explained(_DAMAGED, path):
        tensors = safetensors.deserialize(path.read_bytes())
    return {
        name: _floats(name, tensor, path)
        for name, tensor in tensors
        if not _is_counter(name)
    }


def _names_of_safetensors(path):
    safetensors = needed("safetensors", _NO_SAFETENSORS, str(path))
    with explained(_DAMAGED, path), safetensors.safe_open(path, "numpy") as file:
        names = file.keys()
    return [name for name in names if not _is_counter(name)]


def _floats(name, tensor, path):
    kind = _SAFETENSORS_TYPES.get(tensor["dtype"])
    if kind is None:
        raise InputError(_not_floating(name, tensor["dtype"], path))
    array = np.frombuffer(tensor["data"], kind).reshape(tensor["shape"])
    with np.errstate(over="ignore"):
        return array.astype("float32", copy=False)


def _read_pickle(path, limit):
    with _pickle(path, limit) as (state, _):
        return {name: _to_numpy(name, tensor, path) for name, tensor in state.items()}


@contextlib.contextmanager
def _pickle(path, limit):
    """The state dict in a file, and what the file calls its network."""
    message = "PyTorch files need PyTorch: pip install 'keras-effnet[torch]'."
    torch = needed("torch", message, str(path))
    with explained(_UNREADABLE, path):
        content = _load(path, torch, limit)
        state = _state_dict(content)
        if not isinstance(state, dict) or not all(
            isinstance(name, str) and isinstance(value, torch.Tensor)
            for name, value in state.items()
        ):
            raise InputError(
                "The PyTorch file is no state dict: names and tensors, nothing else."
            )
        architectures = [] if state is content else _architectures(content)
        yield {n: t for n, t in state.items() if not _is_counter(n)}, architectures


def _architectures(checkpoint):
    """What timm's and Lightning's checkpoints, and such as are like them, call it."""
    asked = checkpoint.get("args")
    if isinstance(asked, argparse.Namespace):
        asked = vars(asked)
    places = checkpoint, asked, checkpoint.get("hyper_parameters")
    return [
        place.get(key)
        for place in places
        if isinstance(place, dict)
        for key in _ARCHITECTURES
    ]


def _records(path):
    """What an archive of PyTorch's lists; nothing of the format before it."""
    with explained(_UNREADABLE, path):
        if not zipfile.is_zipfile(path):
            return []
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()


def _is_packed(records):
    return any(record.compress_type != zipfile.ZIP_STORED for record in records)


def _load(path, torch, limit):
    records = _records(path)
    size = sum(record.file_size for record in records)
    if size > max(limit, path.stat().st_size):
        raise InputError(
            f"The PyTorch file unpacks to {size} bytes, and this network could not "
            f"need more than {limit}."
        )
    # PyTorch does not compare the checksums, and on demand writes none.
    if any(record.CRC for record in records):
        with zipfile.ZipFile(path) as archive:
            if archive.testzip():
                raise ValueError("a checksum differs")
    # Mapped, the file is not copied into memory; packed, it can't be.
    mapped = bool(records) and not _is_packed(records)
    # timm keeps the arguments of its command beside the weights.
    known = torch.serialization.safe_globals([argparse.Namespace])
    with warnings.catch_warnings(action="ignore"), known:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)


def _state_dict(content):
    if isinstance(content, dict):
        for key in _NESTED:
            if isinstance(content.get(key), dict) and content[key]:
                return content[key]
    return content


def _to_numpy(name, tensor, path):
    kind = str(tensor.dtype).removeprefix("torch.")
    if kind not in _TYPES:
        raise InputError(_not_floating(name, kind, path))
    # Strides of 0 make a tensor of any size out of one number.
    if tensor.nbytes > path.stat().st_size:
        raise ValueError(f"{name} is larger than the file")
    return tensor.detach().float().numpy()


def _not_floating(name, dtype, path):
    return (
        f"Weights are {', '.join(_TYPES)}, and the file's {name!r} is {dtype}. "
        f"Received: {str(path)!r}"
    )
