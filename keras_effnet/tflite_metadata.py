"""What a .tflite file says of itself: name, licence, normalisation and labels.

The TFLite metadata that Task Library and MediaPipe Tasks read: a flatbuffer among the
file's buffers, and the labels as a zip after its end. Only the tables and fields in use
are known here. `.tflite` files: tensorflow/lite/schema/schema.fbs, identifier "TFL3".
The metadata: tensorflow/lite/support/metadata/metadata_schema.fbs (the same as
mediapipe/tasks/metadata/metadata_schema.fbs), identifier "M001".
"""

import io
import os
import pathlib
import struct
import zipfile

from keras_effnet import files
from keras_effnet.errors import InputError
from keras_effnet.errors import explained

# `MetadataPopulator.METADATA_FIELD_NAME` of both libraries.
ENTRY = "TFLITE_METADATA"
IDENTIFIER = b"M001"
TENSOR_AXIS_LABELS = 2  # AssociatedFileType
# Table -> its fields in the order of their slots. A type is a scalar, "string", a
# table, a vector "[...]", a union (a tuple of its tables; it takes two slots), or
# `None`: not looked into.
TABLES = {
    "Model": {
        "version": None,
        "operator_codes": None,
        "subgraphs": "[SubGraph]",
        "description": None,
        "buffers": "[Buffer]",
        "metadata_buffer": None,
        "metadata": "[Metadata]",
    },
    # Of a graph nothing is used here: it is counted.
    "SubGraph": {
        "tensors": "[Tensor]",
        "inputs": None,
        "outputs": None,
        "operators": "[Operator]",
    },
    "Tensor": {"shape": None, "type": None, "buffer": None, "name": "string"},
    "Operator": {},
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

SCALARS = {"byte": "b", "uint": "I", "ulong": "Q", "float": "f"}


def check_file(path: str | os.PathLike) -> pathlib.Path:
    """Tells a .tflite file from anything else before LiteRT sees it.

    Raises:
        InputError: There is no such file, or it is no .tflite file.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise InputError(f"There is no such .tflite file. Received: {str(path)!r}")
    with files.told("The file can't be read", path), open(path, "rb") as file:
        header = file.read(8)
    if header[4:] != b"TFL3":
        raise InputError(
            "This is no .tflite file: its identifier is not 'TFL3'. "
            f"Received: {str(path)!r}"
        )
    return path


def read_metadata(source: str | os.PathLike | bytes) -> dict | None:
    """Reads the metadata of a .tflite file, whoever wrote it.

    Args:
        source: Path of the file, or its bytes.

    Returns:
        A dict with `name`, `description`, `version`, `author` and `licence`
        (strings), `mean` and `std` of the first input (lists of floats) and
        `class_names` of the first output (a list of strings), each of them `None`
        where it is absent. `None` for a file without metadata.

    Raises:
        InputError: There is no such file, it is no .tflite file, or is damaged.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        received, data = "bytes", bytes(source)
    else:
        path = check_file(source)
        received, data = str(source), path.read_bytes()
    model = read_model(data, received)
    with explained("The file's metadata is damaged: {}.", received):
        found = [entry for entry in model["metadata"] or [] if entry["name"] == ENTRY]
        if not found:
            return None
        buffer = model["buffers"][found[0]["buffer"]]["data"]
        if bytes(buffer[4:8]) != IDENTIFIER:
            raise ValueError("its identifier is not 'M001'")
        return _as_dict(read_table(buffer, "ModelMetadata"), data)


def _as_dict(fields, data):
    def first(key):
        graphs = fields["subgraph_metadata"] or [{}]
        return next(iter(graphs[0].get(key) or []), {})

    options = [
        unit["options"]["NormalizationOptions"]
        for unit in first("input_tensor_metadata").get("process_units") or []
        if unit["options"]
    ]
    labels = [
        file["name"]
        for file in first("output_tensor_metadata").get("associated_files") or []
        if file["type"] == TENSOR_AXIS_LABELS
    ]
    names = _read_labels(data, labels[0]) if labels else None
    normalisation = options[0] if options else {"mean": None, "std": None}
    texts = ("name", "description", "version", "author")
    return {
        **{key: fields[key] for key in texts},
        "licence": fields["license"],
        **normalisation,
        "class_names": names,
    }


def _read_labels(data, name):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
            # The other readers refuse them too.
            raise ValueError(f"{name} is compressed")
        return files.zip_entry(archive, name, len(data)).decode("utf-8").splitlines()


def read_model(data: bytes, received: str) -> dict:
    if data[4:8] != b"TFL3":
        raise InputError(
            "This is no .tflite file: its identifier is not 'TFL3'. "
            f"Received: {received!r}"
        )
    with explained("The .tflite file is damaged: {}.", received):
        return read_table(data, "Model")


def read_table(data: bytes | memoryview, table: str) -> dict:
    """Every field of a flatbuffer's root table, a name in `TABLES`.

    Those that are absent are `None`. A union is a dict of one table name to its dict; a
    vector of "ubyte" is a `memoryview`.

    Raises:
        ValueError: It points outside of itself, or so often to the same place that
            what it holds is much more than its bytes.
    """
    reader = _Reader(data)
    return reader.table(table, reader.target(0))


class _Reader:
    def __init__(self, data):
        self.data = memoryview(data)
        self.left = 4 * len(data) + 1000

    def count(self, size):
        """Tables and texts may be shared; a file that is only that never ends."""
        self.left -= size
        if self.left < 0:
            raise ValueError("it points to the same places over and over")

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
        self.count(4)
        if kind in SCALARS:
            return self.scalar(SCALARS[kind], position)
        position = self.target(position)
        if kind == "string":
            text = self.bytes(position)
            self.count(len(text))
            return str(text, "utf-8")
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
