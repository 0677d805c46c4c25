"""Reads a model file whose large tensors stay in the file until each is read into its array.

protobuf would have all of them in memory twice: in the file's bytes and in the message.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from typing import NamedTuple

import numpy as np
import onnx

from hetu.errors import show
from hetu.onnx.array_reader import ArrayReader
from hetu.onnx.proto import TensorReader
from hetu.onnx.raw import check_raw_size, read_into
from hetu.types import STRING, DType

LARGE_FILE = 1 << 22
"""Bytes of a file from which on it is looked through, which takes time for each node."""

LARGE = 1 << 16
"""Bytes from which on a tensor's data stays in such a file."""

_GRAPH, _INITIALIZER = 7, 5
_NAME, _RAW_DATA, _DATA_LOCATION = 8, 9, 14
"""Numbers of the fields of ModelProto, GraphProto and TensorProto."""

_VARINT, _DELIMITED = 0, 2
_SIZES = {1: 8, 5: 4}
"""The kinds of fields, and the sizes of those that have one size."""

_IS_INSIDE = bytes([_DATA_LOCATION << 3 | _VARINT, onnx.TensorProto.DEFAULT])
_IS_EXTERNAL = bytes([_DATA_LOCATION << 3 | _VARINT, onnx.TensorProto.EXTERNAL])

Places = dict[str, tuple[int, int]]
"""Where the data of a tensor is: offset and length, by the tensor's name."""


@dataclass(frozen=True, slots=True)
class InFile:
    """The data that stayed in an open model file."""

    file: FileIO
    places: Places

    def reader(self, external: TensorReader, arrays: ArrayReader) -> TensorReader:
        """What reads these tensors' arrays and leaves all others to `external`."""
        return _Reader(self, external, arrays)


@dataclass(frozen=True, slots=True)
class _Reader:
    in_file: InFile
    external: TensorReader
    arrays: ArrayReader

    def __call__(self, proto: onnx.TensorProto, element: DType) -> np.ndarray:
        """The array of a tensor. Raises `ValueError` where its data does not fit type and shape."""
        if proto.external_data or proto.name not in self.in_file.places:
            return self.external(proto, element)
        offset, length = self.in_file.places[proto.name]
        if element is STRING:
            raise ValueError("strings have no raw data")
        check_raw_size(length, proto.dims, element)
        what = f"data of tensor {show(proto.name)}"
        return self.arrays.read(self.in_file.file, offset, element, tuple(proto.dims), what)

    def settle(self) -> None:
        """Have read what all arrays contain."""
        self.arrays.settle()


def without_large_data(file: FileIO) -> tuple[bytes, InFile] | None:
    """A model without the data of its large initializers, and that data.

    These initializers are marked as external, with no location. None where there are none, or where
    the file is not written as models are: protobuf, which reads it from its start, tells then
    whether it is a model at all.
    """
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode) or status.st_size < LARGE_FILE:
        return None
    try:
        parts, places = _strip_model(_Source(file, status.st_size))
    except (_UnusualError, EOFError):
        places = {}
    return (b"".join(parts), InFile(file, places)) if places else None


class _UnusualError(Exception):
    """The file is no message of the wire format, or one that nothing writes."""


class _Source:
    """Bytes of a file by position, read in blocks, so that headers cost no system call each."""

    _BLOCK = 1 << 12
    _HEADER = 20
    """The longest tag and length."""

    def __init__(self, file: FileIO, size: int) -> None:
        self.size = size
        self._file = file
        self._begin = 0
        self._block = b""

    def header(self, position: int) -> bytes:
        """What a field at a position starts with, and maybe less than that at the file's end."""
        index = position - self._begin
        if not 0 <= index <= len(self._block) - self._HEADER:
            self._begin, index = position, 0
            self._block = os.pread(self._file.fileno(), self._BLOCK, position)
        return self._block[index : index + self._HEADER]

    def read(self, begin: int, end: int) -> bytes:
        """The bytes between two positions."""
        index, size = begin - self._begin, end - begin
        if 0 <= index <= len(self._block) - size:
            return self._block[index : index + size]
        data = bytearray(size)
        read_into(self._file, begin, memoryview(data))
        return bytes(data)


class _Field(NamedTuple):
    """A field of a message: its tag starts at `begin`, its content at `content`."""

    number: int
    kind: int
    begin: int
    content: int
    end: int


def _fields(source: _Source, begin: int, end: int) -> Iterator[_Field]:
    """The fields of the message that lies between two positions."""
    position = begin
    while position < end:
        header = source.header(position)
        tag, size = _varint(header, 0)
        kind = tag & 7
        length = _SIZES.get(kind, 0)
        if kind == _DELIMITED:
            length, size = _varint(header, size)
        elif kind == _VARINT:
            size = _varint(header, size)[1]
        elif not length:
            raise _UnusualError
        content = position + size
        after = content + length
        if after > end:
            raise _UnusualError
        yield _Field(tag >> 3, kind, position, content, after)
        position = after


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A number, and the position after it."""
    if position < len(data) and data[position] < 128:  # as nearly all are
        return data[position], position + 1
    number = shift = 0
    for index in range(position, len(data)):
        byte = data[index]
        number |= (byte & 127) << shift
        if byte < 128:
            return number, index + 1
        shift += 7
    raise _UnusualError


def _strip_model(source: _Source) -> tuple[list[bytes], Places]:
    places: Places = {}
    parts: list[bytes] = []
    for field in _fields(source, 0, source.size):
        if field.number == _GRAPH and field.kind == _DELIMITED:
            parts.append(_message(_GRAPH, _strip_graph(source, field, places)))
        else:
            parts.append(source.read(field.begin, field.end))
    return parts, places


def _strip_graph(source: _Source, graph: _Field, places: Places) -> bytes:
    parts: list[bytes] = []
    kept = graph.content
    for field in _fields(source, graph.content, graph.end):
        is_large = field.end - field.content >= LARGE
        if field.number != _INITIALIZER or field.kind != _DELIMITED or not is_large:
            continue
        tensor = _strip_tensor(source, field, places)
        if tensor is not None:
            parts += [source.read(kept, field.begin), _message(_INITIALIZER, tensor)]
            kept = field.end
    return b"".join([*parts, source.read(kept, graph.end)])


def _strip_tensor(source: _Source, tensor: _Field, places: Places) -> bytes | None:
    """A tensor without its data; None where that is not one large piece, or has no name."""
    fields = list(_fields(source, tensor.content, tensor.end))
    data = [field for field in fields if field.number == _RAW_DATA and field.kind == _DELIMITED]
    names = [field for field in fields if field.number == _NAME]
    locations = [field for field in fields if field.number == _DATA_LOCATION]
    is_external = any(source.read(field.begin, field.end) != _IS_INSIDE for field in locations)
    if len(data) != 1 or len(names) != 1 or is_external:
        return None
    if data[0].end - data[0].content < LARGE:
        return None
    try:
        name = source.read(names[0].content, names[0].end).decode()
    except UnicodeDecodeError:
        return None
    if name in places:
        raise _UnusualError
    places[name] = data[0].content, data[0].end - data[0].content
    rest = [source.read(field.begin, field.end) for field in fields if field is not data[0]]
    return b"".join([*rest, _IS_EXTERNAL])


def _message(number: int, content: bytes) -> bytes:
    """A message as a field of another."""
    return _as_varint(number << 3 | _DELIMITED) + _as_varint(len(content)) + content


def _as_varint(number: int) -> bytes:
    data = bytearray()
    while number > 127:
        data.append(number & 127 | 128)
        number >>= 7
    return bytes([*data, number])
