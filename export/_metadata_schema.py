"""The flatbuffer tables that metadata in a .tflite file needs, read and written.

Only the tables and fields in use. `.tflite` files: tensorflow/lite/schema/
schema.fbs, identifier "TFL3". The metadata: tensorflow/lite/support/metadata/
metadata_schema.fbs (the same as mediapipe/tasks/metadata/metadata_schema.fbs),
identifier "M001".
"""

import struct

# Table -> its fields in the order of their slots. A type is a scalar, "string", a
# table, a vector "[...]", a union (a tuple of its tables; it takes two slots), or
# `None`: not looked into.
TABLES = {
    "Model": {
        "version": None,
        "operator_codes": None,
        "subgraphs": None,
        "description": None,
        "buffers": "[Buffer]",
        "metadata_buffer": None,
        "metadata": "[Metadata]",
    },
    "Buffer": {"data": "[ubyte]", "offset": "ulong"},
    "Metadata": {"name": "string", "buffer": "uint"},
    "ModelMetadata": {
        "name": "string",
        "description": "string",
        "version": "string",
        "subgraph_metadata": "[SubGraphMetadata]",
        "author": "string",
        "license": "string",
        "associated_files": "[AssociatedFile]",
        "min_parser_version": "string",
    },
    "SubGraphMetadata": {
        "name": "string",
        "description": "string",
        "input_tensor_metadata": "[TensorMetadata]",
        "output_tensor_metadata": "[TensorMetadata]",
    },
    "TensorMetadata": {
        "name": "string",
        "description": "string",
        "dimension_names": "[string]",
        "content": "Content",
        "process_units": "[ProcessUnit]",
        "stats": "Stats",
        "associated_files": "[AssociatedFile]",
    },
    "Content": {"content_properties": ("FeatureProperties", "ImageProperties")},
    "FeatureProperties": {},
    "ImageProperties": {"color_space": "byte"},
    "ProcessUnit": {"options": ("NormalizationOptions",)},
    "NormalizationOptions": {"mean": "[float]", "std": "[float]"},
    "Stats": {"max": "[float]", "min": "[float]"},
    "AssociatedFile": {"name": "string", "description": "string", "type": "byte"},
}

_SCALARS = {
    "byte": "b",
    "uint": "I",
    "ulong": "Q",
    "float": "f",
}


def read(data, table):
    """Reads the root table of a flatbuffer.

    Args:
        data: Bytes-like.
        table: A name in `TABLES`.

    Returns:
        A dict with every field of the table; those that are absent are `None`. A
        union is a dict of one table name to its dict; a vector of "ubyte" is a
        `memoryview`.

    Raises:
        ValueError: It points outside of itself.
    """
    reader = _Reader(data)
    return reader.table(table, reader.target(0))


class _Reader:
    def __init__(self, data):
        self.data = memoryview(data)

    def scalar(self, code, position):
        size = struct.calcsize(code)
        if not 0 <= position <= len(self.data) - size:
            raise ValueError(f"offset {position} is outside of the file")
        return struct.unpack_from("<" + code, self.data, position)[0]

    def target(self, position):
        return position + self.scalar("I", position)

    def table(self, name, position):
        slots = position - self.scalar("i", position)
        end = slots + self.scalar("H", slots)
        fields, slot = {}, slots + 4
        for field, kind in TABLES[name].items():
            union = isinstance(kind, tuple)
            fields[field] = None
            places = []
            for _ in range(1 + union):
                offset = self.scalar("H", slot) if slot < end else 0
                places.append(offset and position + offset)
                slot += 2
            if kind and all(places):
                read = self.union if union else self.value
                fields[field] = read(kind, *places)
        return fields

    def union(self, kind, type_position, position):
        member = self.scalar("B", type_position)
        if not 1 <= member <= len(kind):
            return None
        return {kind[member - 1]: self.value(kind[member - 1], position)}

    def value(self, kind, position):
        if kind in _SCALARS:
            return self.scalar(_SCALARS[kind], position)
        position = self.target(position)
        if kind == "string":
            return str(self.bytes(position), "utf-8")
        if kind == "[ubyte]":
            return self.bytes(position)
        if kind[0] == "[":
            return self.vector(kind[1:-1], position)
        return self.table(kind, position)

    def vector(self, kind, position):
        count = self.scalar("I", position)
        if count > (len(self.data) - position) // 4:
            raise ValueError(f"{count} elements do not fit into the file")
        # All elements in use are 4 bytes: offsets and "float".
        return [self.value(kind, position + 4 + 4 * i) for i in range(count)]

    def bytes(self, position):
        start = position + 4
        end = start + self.scalar("I", position)
        if end > len(self.data):
            raise ValueError(f"{end - start} bytes do not fit into the file")
        return self.data[start:end]


def write(builder, table, fields):
    """Writes a table.

    Args:
        builder: A `flatbuffers.Builder`.
        table: A name in `TABLES`.
        fields: A dict as `read` gives it, for a table of the metadata.

    Returns:
        The builder's offset of the table.
    """
    slots = []
    for field, kind in TABLES[table].items():
        value = fields.get(field)
        if isinstance(kind, tuple):
            member, content = next(iter(value.items())) if value else (None, None)
            slots.append(("byte", kind.index(member) + 1 if value else None))
            kind, value = member, content
        if value is not None and kind not in _SCALARS:
            value = _write_value(builder, kind, value)
        slots.append((kind, value))
    builder.StartObject(len(slots))
    for slot, (kind, value) in enumerate(slots):
        if value is None:
            continue
        if kind == "byte":
            builder.PrependInt8Slot(slot, value, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, value, 0)
    return builder.EndObject()


def _write_value(builder, kind, value):
    if kind == "string":
        return builder.CreateString(value)
    if kind[0] == "[":
        return _write_vector(builder, kind[1:-1], value)
    return write(builder, kind, value)


def _write_vector(builder, kind, values):
    prepend = builder.PrependFloat32
    if kind != "float":
        values = [_write_value(builder, kind, value) for value in values]
        prepend = builder.PrependUOffsetTRelative
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        prepend(value)
    return builder.EndVector()
