"""Archives from elsewhere, unpacked without trust in what they say."""

import contextlib
import gzip
import pathlib
import tarfile
import tempfile
import zlib

from keras_effnet.errors import InputError

_MAX_MEMBERS = 1000
_PIECE = 2**20  # bytes read at once


@contextlib.contextmanager
def unpacked(path, wanted, limit):
    """A temporary folder with those files of a `.tar.gz` whose names, without their
    folders, match `wanted`; gone when the block ends.

    The archive is read once, from front to back. Nothing is unpacked outside of the
    folder. A damaged archive is refused, and one with a link, a device, a name that
    leads out of the folder or more than `limit` bytes in all.
    """
    try:
        temporary = tempfile.TemporaryDirectory(prefix="keras-effnet-")
    except OSError as error:
        raise InputError(_message(error, path)) from error
    with temporary as name:
        folder = pathlib.Path(name)
        try:
            _unpack(path, folder, wanted, limit)
        except InputError:
            raise
        except (
            OSError,
            EOFError,
            ValueError,
            OverflowError,
            zlib.error,
            tarfile.TarError,
        ) as error:
            raise InputError(_message(error, path)) from error
        yield folder


class _InPieces(gzip.GzipFile):
    """Never reads much at once: `tarfile` would read a name of terabytes."""

    def read(self, size=-1):
        if not 0 <= size <= _PIECE:
            raise tarfile.ReadError("a header of an absurd size")
        return super().read(size)


def _unpack(path, folder, wanted, limit):
    total = 0
    with _InPieces(path) as file, tarfile.open(fileobj=file, mode="r:") as archive:
        for number, member in enumerate(archive):
            total += member.size
            reason = _refused(member)
            if number >= _MAX_MEMBERS or total > limit:
                reason = "more than a checkpoint has"
            if reason:
                raise InputError(
                    f"The archive is refused: its member {member.name[:100]!r} is "
                    f"{reason}. Received: {str(path)!r}"
                )
            place = pathlib.PurePosixPath(member.name)
            if member.isreg() and wanted.fullmatch(place.name):
                _write(archive.extractfile(member), folder / place)
        # To the very end, where the checksum stands.
        if len(file.read(_PIECE)) == _PIECE:
            raise tarfile.ReadError("a damaged header")


def leads_out(name):
    """Whether an entry of this name would be written outside of the folder."""
    place = pathlib.PureWindowsPath(name)  # knows both / and \
    return bool(place.anchor) or ".." in place.parts


def _refused(member):
    if leads_out(member.name):
        return "named to be written elsewhere"
    if not (member.isreg() or member.isdir()) or member.issparse():
        return "neither a plain file nor a folder"
    if member.size < 0:
        return "of a negative size"
    return None


def _write(source, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "xb") as target:
        while piece := source.read(_PIECE):
            target.write(piece)


def _message(error, path):
    if isinstance(error, OSError) and error.strerror:
        reason = f"{error.strerror}; TMPDIR names the folder to unpack it in"
    else:
        reason = "it is cut off or damaged"
    return f"The archive can't be unpacked: {reason}. Received: {str(path)!r}"
