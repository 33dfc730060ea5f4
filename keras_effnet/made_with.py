"""Which photographs a model was made with, by digests that travel with it.

A digest is of a photograph's encoded bytes: a copy has the same, under any name and in
any folder; one that was resized or saved anew is another photograph.
"""

import base64
import hashlib
from typing import Any

import numpy as np

# Of SHA-256: among a million photographs two are alike by chance once in 10^7 times.
_BYTES = 8
_TYPE = np.dtype("<u8")


def digest(data: bytes) -> int:
    """The digest of a photograph's encoded bytes, from 1; 0 is for what has none."""
    return int.from_bytes(hashlib.sha256(data).digest()[:_BYTES], "little") or 1


def united(*several: np.ndarray | None) -> np.ndarray | None:
    """Digests as a model carries them, uint64, each once, in order; `None` of nothing
    but `None`, where it is not known what a model was made with."""
    known = [np.asarray(each, _TYPE) for each in several if each is not None]
    if not known:
        return None
    found = np.unique(np.concatenate(known))
    found = found[found != 0]
    return found if len(found) else None


def packed(digests: np.ndarray | None) -> bytes:
    """Digests as bytes, 8 each."""
    return b"" if digests is None else digests.astype(_TYPE).tobytes()


def unpacked(data: bytes) -> np.ndarray | None:
    """What `packed` made bytes of; a `ValueError` where that can't be."""
    return united(np.frombuffer(data, _TYPE)) if data else None


def as_text(digests: np.ndarray | None) -> str | None:
    """Digests for JSON."""
    return base64.b64encode(packed(digests)).decode() or None


def from_text(text: Any) -> np.ndarray | None:
    """What `as_text` made text of; `None` for what it can't have made."""
    try:
        return unpacked(base64.b64decode(text, validate=True))
    except (TypeError, ValueError):
        return None
