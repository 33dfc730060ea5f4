"""One file over HTTP: resumed after a cut, checked, then renamed into place.

Built on requests; pooch and `keras.utils.get_file` download too, but
neither resumes a cut download nor locks out a second process.
"""

import contextlib
import errno
import itertools
import json
import os
import pathlib
import re
import shutil
import time
import urllib.parse

import requests
import requests.adapters
import urllib3

from keras_effnet import files
from keras_effnet import notes
from keras_effnet.errors import InputError
from keras_effnet.progress import bar
from keras_effnet.report.text import printable

ATTEMPTS = 5
PAUSE = 0.5  # seconds before the second attempt, doubled for each further one
_CHUNK = 1 << 16
_FIRST = 16
_CUT = "The connection was cut."
_ELSEWHERE = "Free some space, or let KERAS_HOME name another folder."

_ZIP = b"PK\x03\x04"
_STARTS = {
    ".h5": (b"\x89HDF\r\n\x1a\n",),
    ".hdf5": (b"\x89HDF\r\n\x1a\n",),
    ".gz": (b"\x1f\x8b",),
    ".tgz": (b"\x1f\x8b",),
    ".keras": (_ZIP,),
    ".whl": (_ZIP,),
    ".zip": (_ZIP,),
    # PyTorch's archives, and the bare pickles that it wrote before 1.6.
    ".bin": (_ZIP, b"\x80"),
    ".pt": (_ZIP, b"\x80"),
    ".pth": (_ZIP, b"\x80"),
}


class _Failed(Exception):
    """An address doesn't serve the file; the message is a sentence."""


class _Unreachable(_Failed):
    """The server gave no answer."""


class _Cut(_Failed):
    """The answer ended early; asking again may bring the rest."""


def download(urls, target, check, progress=True, timeout=30):
    """Downloads a file from the first address that serves it, that of an earlier part
    first.

    The bytes go to `<target>.part`. When the connection is cut they stay, with what the
    server said about the file in `<target>.part.json`, and a later call asks for the
    rest alone, unless the file has changed meanwhile.

    `check` is called with a path, and raises `InputError` where the file is not the
    expected one; `timeout` is in seconds without a byte, or without a connection.
    """
    target = pathlib.Path(target).absolute()
    part = _Part(target)
    urls = list(urls)
    failures = {}
    with _Session() as session:
        # For statuses that pass alone: our own attempts resume, these would not.
        retry = urllib3.Retry(
            total=3,
            connect=0,
            read=False,
            status_forcelist=(429, 500, 502, 503, 504),
            backoff_factor=PAUSE,
            raise_on_status=False,
            # A server may ask to be left alone for hours.
            respect_retry_after_header=False,
        )
        for scheme in ("http://", "https://"):
            session.mount(scheme, requests.adapters.HTTPAdapter(max_retries=retry))
        origin = part.record().get("url")
        for url in sorted(urls, key=lambda url: url != origin):
            try:
                _receive(session, url, part, progress, timeout)
                _check(part, check)
            except _Failed as failure:
                failures[url] = failure
                continue
            with _writing(part):
                os.replace(part.path, target)
            part.discard()
            return target
    raise InputError(_failure(failures, urls, target))


def _failure(failures, urls, target):
    by_hand = ""
    if any(isinstance(failure, _Unreachable) for failure in failures.values()):
        by_hand = (
            f"To do without a connection, get {urls[-1]} by other means and save it "
            f"as {target}. "
        )
    if len(failures) == 1:
        [(url, failure)] = failures.items()
        return f"{failure} {by_hand}Received: {url!r}"
    reasons = " ".join(f"{url}: {failure}" for url, failure in failures.items())
    return f"No address served the file. {reasons} {by_hand}Received: {urls!r}"


class _Session(requests.Session):
    """Where it began with encryption, it is not led on to where there is none."""

    def get_redirect_target(self, response):
        target = super().get_redirect_target(response)
        if target and response.url.lower().startswith("https:"):
            scheme = urllib.parse.urlsplit(target).scheme.lower()
            if scheme not in ("", "https"):
                raise _Failed(f"The server leads on from https to {scheme}.")
        return target


class _Part:
    """The bytes that have come so far, and what asking for the rest takes."""

    def __init__(self, target):
        self.target = target
        self.path = pathlib.Path(f"{target}.part")
        self._record = pathlib.Path(f"{target}.part.json")

    @property
    def size(self):
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def resumable(self):
        return self.size > 0 and self._record.exists()

    def record(self):
        """`{"url": ..., "validator": ..., "total": ...}`; empty: start again."""
        record = files.read_json(self._record)
        if record is None and self._record.exists():
            notes.damaged(self._record)
        return record or {}

    def begin(self, url, validator, total):
        # In this order: a record never describes bytes of another file.
        self._record.unlink(missing_ok=True)
        self.path.write_bytes(b"")
        if validator:
            record = {"url": url, "validator": validator, "total": total}
            self._record.write_text(json.dumps(record), encoding="utf-8")

    @contextlib.contextmanager
    def kept_if_resumable(self):
        try:
            yield
        except BaseException:
            if not self.resumable:
                self.discard()
            raise

    def discard(self):
        self.path.unlink(missing_ok=True)
        self._record.unlink(missing_ok=True)


def _receive(session, url, part, progress, timeout):
    """Brings the part to its full length, in as many attempts as are allowed."""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE * 2 ** (attempt - 1))
        try:
            with part.kept_if_resumable():
                return _request(session, url, part, progress, timeout)
        except (_Cut, _Unreachable) as failure:
            # A server that is gone after it had been there: a cut too.
            if not attempt and isinstance(failure, _Unreachable):
                raise
            reason = failure
    if not part.resumable:
        raise _Cut(f"{reason} The same command starts again.")
    total = part.record()["total"]
    of_total = f" of {_megabytes(total)}" if total else ""
    raise _Cut(
        f"The download stopped after {_megabytes(part.size)}{of_total} MB. {reason} "
        "The same command resumes it."
    )


def _request(session, url, part, progress, timeout):
    """One request for what is missing of the part."""
    record, size = part.record(), part.size
    total = record.get("total")
    if record.get("url") != url:
        size = 0
    if size and size == total:
        return
    headers = {"Accept-Encoding": "identity"}
    if size:
        headers |= {"Range": f"bytes={size}-", "If-Range": record["validator"]}
    with _answer(session, url, headers, timeout) as response:
        if size and not _continues(response, record, size):
            part.discard()
            raise _Cut("The file on the server has changed.")
        pieces = _pieces(response, timeout)
        if response.status_code == 200:
            size, total = 0, _length(response)
            first = _first(pieces)
            _ensure_kind(first, response, part.target.suffix)
            pieces = itertools.chain([first], pieces)
        _ensure_space(part, size, total)
        with _writing(part):
            if not size:
                part.begin(url, _validator(response), total)
            options = {"initial": size, "unit_scale": True, "leave": True}
            shown = bar(None, part.target.name, "B", total, progress, **options)
            with open(part.path, "ab") as file, shown:
                for piece in pieces:
                    file.write(piece)
                    shown.update(len(piece))
    # A server may send less of a range than it was asked for.
    if total is not None and part.size < total:
        raise _Cut(_CUT)


@contextlib.contextmanager
def _answer(session, url, headers, timeout):
    try:
        response = session.get(url, headers=headers, stream=True, timeout=timeout)
    except requests.Timeout as error:
        raise _Unreachable(_no_answer(timeout)) from error
    # Some of urllib3's own pass through requests.
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        if isinstance(error.args[0], urllib3.exceptions.ProtocolError):
            raise _Cut(_CUT) from error
        raise _Unreachable(f"There is no connection: {_reason(error)}.") from error
    with response:
        expected = (200, 206, 416) if "Range" in headers else (200,)
        if response.status_code not in expected:
            raise _Failed(
                f"The server answered {response.status_code} "
                f"{printable(response.reason or '')}."
            )
        yield response


def _pieces(response, timeout):
    """The body as it is on the server, in pieces as they arrive."""
    try:
        while piece := response.raw.read1(_CHUNK, decode_content=False):
            yield piece
    except urllib3.exceptions.ReadTimeoutError as error:
        raise _Cut(_no_answer(timeout)) from error
    except urllib3.exceptions.HTTPError as error:
        raise _Cut(_CUT) from error


def _first(pieces):
    """Enough of the body to tell what it is."""
    first = b""
    while len(first) < _FIRST and (piece := next(pieces, None)):
        first += piece
    return first


def _ensure_kind(first, response, suffix):
    right = first.startswith(_STARTS[suffix]) if suffix in _STARTS else None
    if suffix == ".safetensors":
        # The header's length in eight bytes, then the header, which is JSON.
        right = first[8:9] == b"{"
    page = "text/html" in response.headers.get("Content-Type", "").lower()
    page = page or first.lstrip().lower().startswith((b"<!doctype", b"<html"))
    if page and not right:
        raise _Failed("The server sent a web page, not the file.")
    if right is False:
        raise _Failed(f"The server sent something else than a {suffix} file.")


def _continues(response, record, size):
    """Whether an answer to a Range request can be appended, or is a whole one."""
    if response.status_code == 206:
        # A server may honour Range and ignore If-Range.
        validator = _validator(response)
        found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        return bool(
            found and int(found[1]) == size and validator in (None, record["validator"])
        )
    return response.status_code == 200


def _validator(response):
    """What If-Range takes, where the server gives it: a strong ETag or a date."""
    etag = response.headers.get("ETag", "W/")
    if not etag.startswith("W/"):
        return etag
    return response.headers.get("Last-Modified")


def _length(response):
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _ensure_space(part, size, total):
    free = shutil.disk_usage(part.target.parent).free
    if total is not None and total - size > free:
        raise InputError(
            f"The download needs {_megabytes(total - size)} MB, and "
            f"{_megabytes(free)} MB are free at {part.target.parent}. "
            f"{_ELSEWHERE} Received: {str(part.target)!r}"
        )


@contextlib.contextmanager
def _writing(part):
    """Turns what the file system refuses into one line, and clears the part."""
    try:
        yield
    except OSError as error:
        part.discard()
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise InputError(
            f"The download can't be written: {error.strerror}. "
            f"{_ELSEWHERE + ' ' if full else ''}Received: {str(part.target)!r}"
        ) from error


def _check(part, check):
    try:
        check(part.path)
    except InputError as error:
        part.discard()
        raise _Failed(str(error).partition(" Received: ")[0]) from error


def _reason(error):
    """What the operating system says, below the layers of requests and urllib3."""
    cause = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return " ".join(str(error).split())


def _no_answer(timeout):
    return f"The server sent nothing for {timeout:g} seconds."


def _megabytes(count):
    return f"{count / 1e6:.1f}"
