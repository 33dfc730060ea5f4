"""The published weight files on this computer: fetched once, verified each time."""

import contextlib
import functools
import os
import pathlib
import re
import sys
import urllib.parse
from collections.abc import Iterator

import filelock

from keras_effnet import files
from keras_effnet.errors import InputError
from keras_effnet.weights.table import WeightSet


def cache_folder() -> pathlib.Path:
    """The folder of all files: `models/keras_effnet` in `files.keras_home()`."""
    return files.keras_home() / "models" / "keras_effnet"


def path_of(weight_set: WeightSet) -> pathlib.Path:
    """Where the file of a set is, or will be: the cache, its source, its URL's whole
    path, since a source has files of one name in several folders."""
    return cache_folder() / _place(weight_set)


def is_cached(weight_set: WeightSet) -> bool:
    """Whether the file of a set is on this computer; its hash is not looked at."""
    return path_of(weight_set).is_file()


def fetch(weight_set: WeightSet, progress: bool = True) -> pathlib.Path:
    """The file of a set, downloaded if it isn't here yet, and verified.

    What is cached needs no network. Two processes that ask at once download once.
    Mirrors go first: `$KERAS_EFFNET_MIRROR` holds base addresses, separated by spaces,
    below which files lie as in `cache_folder()`. Where a set has no hash, the sha256 of
    the first download is kept beside the file, in `<file>.sha256` as `sha256sum` writes
    it, and checked from then on.
    """
    path = path_of(weight_set)
    if not path.is_file():
        # It brings requests, a tenth of a second that most runs can do without.
        from keras_effnet.weights.download import download

        urls = [*_mirrors(weight_set), weight_set.url]
        with _locked(path):
            # Another process may have finished it meanwhile.
            if not path.is_file():
                check = functools.partial(_ensure_hash, weight_set)
                return download(urls, path, check, progress)
    verify(weight_set)
    return path


def is_published(path: pathlib.Path, weight_set: WeightSet) -> bool:
    """Whether a file that lies anywhere is that of a set, by its published hash."""
    if not weight_set.hash or path.name != weight_set.file or not path.is_file():
        return False
    algorithm, _, digits = weight_set.hash.partition(":")
    return files.checksum(path, algorithm).startswith(digits)


def known_hash(weight_set: WeightSet) -> str:
    """What a file of a set is compared with, and since when; a line of text."""
    if weight_set.hash:
        algorithm, _, digits = weight_set.hash.partition(":")
        part = f", its first {4 * len(digits)} bits" * (len(digits) < 32)
        return f"{algorithm}:{digits}, published{part}"
    record = _record(path_of(weight_set))
    if record.is_file():
        return f"sha256:{record.read_text().split()[0]}, of the first download here"
    return "not published; the first download's is recorded"


def verify(weight_set: WeightSet) -> str:
    """Checks a cached file, and gives the hash found, `"md5:<hex>"` or
    `"sha256:<hex>"`."""
    path = path_of(weight_set)
    if not path.is_file():
        raise InputError(
            f"The file of {weight_set.model} {weight_set.name!r} is not in the cache. "
            f"Received: {str(path)!r}"
        )
    return _ensure_hash(weight_set, path)


def _place(weight_set: WeightSet) -> pathlib.PurePosixPath:
    address = urllib.parse.urlsplit(weight_set.url).path.strip("/")
    return pathlib.PurePosixPath(weight_set.source, address)


def _mirrors(weight_set: WeightSet) -> list[str]:
    bases = os.environ.get("KERAS_EFFNET_MIRROR", "")
    for base in bases.split():
        if not base.startswith(("http://", "https://")):
            raise InputError(
                "KERAS_EFFNET_MIRROR holds addresses that start with http:// or "
                f"https://, separated by spaces. Received: {bases!r}"
            )
    return [f"{base.rstrip('/')}/{_place(weight_set)}" for base in bases.split()]


@contextlib.contextmanager
def _locked(path: pathlib.Path) -> Iterator[None]:
    """One process at a time may download a file; the others are told to wait."""
    name = pathlib.Path(f"{path}.lock")
    lock = filelock.FileLock(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            sys.stderr.write(f"Another process downloads {path.name}: waiting for it\n")
            lock.acquire()
    except OSError as error:
        raise InputError(
            f"The cache can't be written to: {error.strerror}. Let KERAS_HOME name "
            f"another folder. Received: {str(path)!r}"
        ) from error
    try:
        yield
    finally:
        # While it is held: who waits for a file that is gone takes a new one.
        name.unlink(missing_ok=True)
        lock.release()


def _record(path: pathlib.Path) -> pathlib.Path:
    return pathlib.Path(f"{path}.sha256")


def _recorded(path: pathlib.Path) -> str:
    """The hash that an earlier call wrote down; empty where none did."""
    try:
        text = _record(path).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    digest = text.partition(" ")[0]
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise InputError(
            "The record of a file's hash is damaged; delete it and the next use "
            f"writes it anew. Received: {str(_record(path))!r}"
        )
    return f"sha256:{digest}"


def _ensure_hash(weight_set: WeightSet, file: pathlib.Path) -> str:
    """As `verify`, of a file or of a part that shall become it; writes the hash down
    where there is nothing to check."""
    path = path_of(weight_set)
    with files.told("The file can't be read", path):
        expected = weight_set.hash or _recorded(path)
        algorithm, _, digits = (expected or "sha256:").partition(":")
        digest = files.checksum(file, algorithm)
    found = f"{algorithm}:{digest}"
    if not digest.startswith(digits.lower()):
        where = "published"
        if not weight_set.hash:
            where = f"recorded in {_record(path)} from its first download"
        again = " Delete the file and it is downloaded again." if file == path else ""
        raise InputError(
            f"The file has the hash {found}, and {expected} is {where}.{again} "
            f"Received: {str(path)!r}"
        )
    if not expected:
        # A cache that can't be written to is read all the same.
        with contextlib.suppress(InputError):
            files.write_text(_record(path), f"{digest}  {path.name}\n")
    return found
