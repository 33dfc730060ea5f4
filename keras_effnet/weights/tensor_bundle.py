"""TensorFlow's checkpoints (format V2) without TensorFlow.

Its own reader ends the process at a damaged one. An `.index` file is a sorted table as
LevelDB writes it (tensorflow/core/lib/io/format.cc, table_builder.cc) from names to
`BundleEntryProto`; `.data-00000-of-00001` has the arrays as they lie in memory
(tensorflow/core/protobuf/tensor_bundle.proto).
"""

import functools
import os
import struct

import ml_dtypes
import numpy as np

from keras_effnet import files

_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48
_INDEX_LIMIT = 2**26  # bytes; a checkpoint of EfficientNet-L2 has under a million
# Of DataType (tensorflow/core/framework/types.proto), those that weights have.
_TYPES = {1: "<f4", 2: "<f8", 14: ml_dtypes.bfloat16, 19: "<f2"}
_POLYNOMIAL = 0x82F63B78  # CRC-32C (Castagnoli), reflected


class TensorBundle:
    """The floating-point arrays of a checkpoint.

    Args:
        prefix: What the names of its files begin with, a string.

    Raises:
        OSError, ValueError: It can't be read or is damaged.
    """

    def __init__(self, prefix):
        self._prefix = prefix
        table = _table(files.read_bytes(f"{prefix}.index", _INDEX_LIMIT))
        header = _message(table.pop(b"", b""))
        self._shards = _one(header, 1)
        if _one(header, 2):
            raise ValueError("its numbers are big-endian")
        entries = {name.decode(): _message(data) for name, data in table.items()}
        self._entries = {n: e for n, e in entries.items() if _one(e, 1) in _TYPES}

    @property
    def names(self):
        """Of the arrays, a list of strings."""
        return list(self._entries)

    def read(self, name):
        """An array, whose checksum is compared."""
        entry = self._entries[name]
        if 7 in entry:
            raise ValueError(f"{name} is in several slices")
        dims = _message(_one(entry, 2, b"")).get(2, [])
        shape = tuple(_one(_message(dim), 1) for dim in dims)
        kind = np.dtype(_TYPES[_one(entry, 1)])
        shard, offset, size = (_one(entry, number) for number in (3, 4, 5))
        path = f"{self._prefix}.data-{shard:05d}-of-{self._shards:05d}"
        expected = kind.itemsize
        for dim in shape:
            expected *= dim
        if size != expected or offset + size > os.path.getsize(path):
            raise ValueError(f"{name} doesn't fit into the file")
        array = np.fromfile(path, kind, size // kind.itemsize, offset=offset)
        if _masked(array.view(np.uint8)) != _one(entry, 6):
            raise ValueError(f"the checksum of {name} differs")
        return array.reshape(shape)


def _table(data):
    """`{key: value}` of a sorted table."""
    if len(data) < _FOOTER or struct.unpack("<Q", data[-8:])[0] != _MAGIC:
        raise ValueError("it is no table of TensorFlow")
    footer = data[-_FOOTER:]
    _, at = _varint(footer, 0)
    _, at = _varint(footer, at)
    handle, _ = _handle(footer, at)
    found, total = {}, 0
    for _, value in _block(data, handle):
        handle, _ = _handle(value, 0)
        total += handle[1]
        if total > len(data):
            raise ValueError("its blocks are larger than the file")
        found.update(_block(data, handle))
    return found


def _handle(data, at):
    offset, at = _varint(data, at)
    size, at = _varint(data, at)
    return (offset, size), at


def _block(data, handle):
    """The keys and values of a block, whose keys leave out how they begin."""
    offset, size = handle
    end = offset + size
    if end + 5 > len(data) or size < 4:
        raise ValueError("a block is outside of the file")
    kind, checksum = struct.unpack_from("<BI", data, end)
    if kind:
        raise ValueError("it is compressed")
    if _masked(np.frombuffer(data, np.uint8, size + 1, offset)) != checksum:
        raise ValueError("the checksum of a block differs")
    (restarts,) = struct.unpack_from("<I", data, end - 4)
    end -= 4 * (restarts + 1)
    key = b""
    while offset < end:
        shared, at = _varint(data, offset)
        unshared, at = _varint(data, at)
        length, at = _varint(data, at)
        offset = at + unshared + length
        if shared > len(key) or offset > end:
            raise ValueError("an entry is longer than its block")
        key = key[:shared] + data[at : at + unshared]
        yield key, data[at + unshared : offset]


def _varint(data, at):
    value = 0
    for shift in range(0, 64, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number has no end")


def _message(data):
    """`{number: [values]}` of a protocol buffer: ints, or bytes."""
    fields, at = {}, 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(data, at)
        else:
            size = {1: 8, 5: 4}.get(kind)
            if kind == 2:
                size, at = _varint(data, at)
            if size is None or at + size > len(data):
                raise ValueError("an entry is damaged")
            value, at = data[at : at + size], at + size
            if kind != 2:
                value = int.from_bytes(value, "little")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _one(message, number, default=0):
    value = message.get(number, [default])[-1]
    if type(value) is not type(default):
        raise ValueError("an entry is damaged")
    return value


def _masked(data):
    """CRC-32C of bytes as TensorFlow writes it down (core/lib/hash/crc32c.h).

    Rows of bytes go through the table side by side; their sums are then joined, two
    at a time, by what as many zeros as the right one has would make of the left one.
    """
    width = 1 << max(6, (len(data).bit_length() + 1) // 2 - 1)  # bytes
    rows = 1 << max(0, (-(-len(data) // width) - 1).bit_length())
    # Zeros ahead of the data change nothing where the sum begins with zero.
    padded = np.zeros(rows * width, np.uint8)
    padded[rows * width - len(data) :] = data
    pairs = np.ascontiguousarray(padded.view("<u2").reshape(rows, -1).T)
    table, sums = _crc_table(16), np.zeros(rows, np.uint32)
    for pair in pairs:
        sums = table[(sums ^ pair) & 65535] ^ (sums >> 16)
    shift = _zeros(width)
    while len(sums) > 1:
        sums = _times(shift, sums[::2]) ^ sums[1::2]
        shift = _times(shift, shift)
    # It really begins, and ends, with all bits set.
    begin, power, count = np.array([0xFFFFFFFF], np.uint32), _zeros(1), len(data)
    while count:
        if count & 1:
            begin = _times(power, begin)
        power, count = _times(power, power), count >> 1
    crc = int(sums[0] ^ begin[0]) ^ 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@functools.cache
def _crc_table(bits):
    table = np.arange(1 << bits, dtype=np.uint32)
    for _ in range(bits):
        table = (table >> 1) ^ np.where(table & 1, np.uint32(_POLYNOMIAL), 0)
    return table.astype(np.uint32)


@functools.cache
def _zeros(count):
    """What `count` bytes of zero make of each of the 32 bits of a sum."""
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    for _ in range(count):
        bits = _crc_table(8)[bits & 255] ^ (bits >> 8)
    return bits


def _times(matrix, values):
    """A matrix of bits, its columns as numbers, times each of several numbers."""
    found = np.zeros_like(values)
    for bit in range(32):
        found ^= np.where(values >> np.uint32(bit) & 1, matrix[bit], np.uint32(0))
    return found
