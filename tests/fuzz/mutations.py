"""Files changed at random, the same way for the same seed."""

import io
import json
import struct
import warnings
import zipfile

import numpy as np

from keras_effnet.export import flatbuffer
from keras_effnet.weights import tensor_bundle

_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1)
# What JSON may hold that nobody expects; texts of JSON.
_VALUES = (
    *("null", "true", "-1", "0", "1e308", "1e999", "NaN", "0.5", "4294967296", "1e17"),
    *("[]", "{}", "[[]]"),
    *('"x"', '"\\ud800"', '"\\u0000"', '"$\\\\frac{"'),
    *("1" + "0" * 400, "1" * 5000, "[" * 5000 + "]" * 5000, f'"{"y" * 10**5}"'),
    '{"a":' * 90 + "1" + "}" * 90,
)


def of_bytes(data, random):
    """Bits, numbers, pieces: one to eight changes."""
    data = bytearray(data)
    for _ in range(1 << random.integers(4)):
        size = len(data) if random.integers(2) else min(len(data), 400)  # headers
        place = int(random.integers(size + 1))
        piece = int(random.integers(1, 1 + min(300, len(data) + 1)))
        match random.integers(7):
            case 0:
                data[place : place + 1] = bytes([random.integers(256)])
            case 1 if place < len(data):
                data[place] ^= 1 << int(random.integers(8))
            case 2:
                order = "<>"[random.integers(2)]
                number = _NUMBERS[random.integers(len(_NUMBERS))]
                data[place : place + 4] = struct.pack(f"{order}I", number)
            case 3:
                del data[place : place + piece]
            case 4:
                data[place:place] = data[place : place + piece]
            case 5:
                data[place : place + piece] = random.bytes(piece)
            case 6 if random.integers(4) == 0:
                del data[place:]
    return bytes(data)


def of_json(data, random):
    """A value in it becomes another, or its text is changed."""
    if random.integers(3) == 0:
        return of_bytes(data, random)
    content = json.loads(data)
    places = []

    def walk(value):
        inside = value.items() if isinstance(value, dict) else enumerate(value)
        for key, child in inside:
            places.append((value, key))
            if isinstance(child, dict | list):
                walk(child)

    walk(content)
    for _ in range(1 + random.integers(2)):
        if places:
            parent, key = places[random.integers(len(places))]
            if isinstance(parent, dict) and random.integers(4) == 0:
                parent.pop(key, None)
            else:
                parent[key] = "@@"
    text = json.dumps(content)
    while '"@@"' in text:
        text = text.replace('"@@"', _VALUES[random.integers(len(_VALUES))], 1)
    return text.encode()


def of_zip(data, random):
    """An entry is changed and packed again, with the right checksum."""
    if random.integers(3) == 0:
        return of_bytes(data, random)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = [(each, archive.read(each)) for each in archive.infolist()]
    chosen = int(random.integers(len(entries)))
    name, content = entries[chosen]
    change = of_json if name.filename.endswith(".json") else of_bytes
    entries[chosen] = (name, change(content, random))
    if random.integers(8) == 0:
        entries.append(entries[chosen])
    if random.integers(8) == 0:
        del entries[random.integers(len(entries))]
    kinds = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
    target = io.BytesIO()
    with (
        warnings.catch_warnings(action="ignore"),
        zipfile.ZipFile(target, "w", kinds[random.choice([0, 0, 0, 1, 2])]) as archive,
    ):
        for each, content in entries:
            archive.writestr(each.filename, content)
    return target.getvalue()


def of_tflite(data, random):
    """A number somewhere in its tables becomes another."""
    if random.integers(3) == 0:
        return of_bytes(data, random)
    model = flatbuffer.unpack(data)
    graph = model.subgraphs[0]
    for _ in range(1 + random.integers(3)):
        pools = (graph.operators, graph.tensors, model.operatorCodes, [graph])
        pool = pools[random.integers(4)]
        thing = pool[random.integers(len(pool))]
        thing = (
            getattr(thing, ("quantization", "builtinOptions")[random.integers(2)], 0)
            or thing
        )
        fields = [n for n, v in vars(thing).items() if _numeric(v)]
        if not fields:
            continue
        name = fields[random.integers(len(fields))]
        value = getattr(thing, name)
        number = int(random.choice([0, 1, -1, 3, 7, 127, 255, 1000, 2**20, 2**31 - 1]))
        if np.ndim(value):
            value = np.array(value)
            value[random.integers(len(value))] = number
        else:
            value = number % 128 if abs(value) < 128 else number
        setattr(thing, name, value)
    try:
        return flatbuffer.pack(model)
    except (ValueError, TypeError, OverflowError, struct.error):  # it has no such type
        return of_bytes(data, random)


def _numeric(value):
    if isinstance(value, list | np.ndarray):
        return len(value) > 0 and isinstance(value[0], int | float | np.number)
    return isinstance(value, int | float)


def of_bundle(data, random):
    """An `.index` file of a TensorFlow checkpoint, with right checksums."""
    if random.integers(3) == 0:
        return of_bytes(data, random)
    table = tensor_bundle._table(data)
    keys = list(table)
    for _ in range(1 + random.integers(8)):
        key = keys[random.integers(len(keys))]
        table[key] = of_bytes(table[key], random)
    return bundle_index(table)


def bundle_index(table):
    """The bytes of an `.index` file of one block."""

    def block(entries, at):
        rows = (
            b"\0" + _varint(len(key)) + _varint(len(value)) + key + value
            for key, value in entries
        )
        data = b"".join(rows) + struct.pack("<II", 0, 1)
        sealed = tensor_bundle._masked(np.frombuffer(data + b"\0", np.uint8))
        return data + struct.pack("<BI", 0, sealed), _varint(at) + _varint(len(data))

    data, handle = block(table.items(), 0)
    index, place = block([(b"~", handle)], len(data))
    footer = (_varint(0) * 2 + place).ljust(40, b"\0")
    return data + index + footer + struct.pack("<Q", tensor_bundle._MAGIC)


def _varint(number):
    low, high = number & 127, number >> 7
    return bytes([low | 128]) + _varint(high) if high else bytes([low])
