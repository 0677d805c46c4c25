"""The file beside a model that holds its large tensors: what goes into it, and its name."""

import os
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from io import FileIO
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError, EncodeError

from hetu.errors import LimitError, UsageError, show
from hetu.files import write_all, write_files
from hetu.ir import Tensor
from hetu.onnx.external import tensors_of
from hetu.onnx.proto import describe_tensor, write_data, write_tensor
from hetu.onnx.raw import raw_pieces, raw_size
from hetu.progress import Progress
from hetu.types import STRING

MAX_PROTO_BYTES = 2**31 - 1
"""What protobuf writes as one message."""

MAX_INSIDE_BYTES = 1 << 28
"""Weights beyond this go into a file of their own: those inside a model are in memory twice while
it is read, as a message and as arrays."""

MIN_OUTSIDE_BYTES = 1 << 10
"""Tensors below this, shapes and settings mostly, stay in the model, as with onnx's own tools."""

PAGE = 4096
CACHE_LINE = 64

ExternalData = bool | str | None
"""True: every weight and all large tensors; False: none; a file's name: as True, into that file;
None: those that came from such a file, and all once they are more than `MAX_INSIDE_BYTES`."""

Fetch = Callable[[], Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    fetch: Fetch
    size: int
    external: bool


class HeldData:
    """The data of a model's large tensors, kept back while the proto is made.

    A tensor of the proto with external data in `#3` stands for the fourth; it is how onnx's own
    `ModelContainer` does it, so that onnx can check and convert such a proto.
    """

    def __init__(self, external_data: ExternalData) -> None:
        self._choice = external_data
        self._held: list[_Held] = []

    def tensor(
        self, tensor: Tensor, fetch: Fetch, name: str | None = None, is_weight: bool = False
    ) -> onnx.TensorProto:
        """A tensor in protobuf, with its data held back where that is large.

        `fetch` gets the tensor once more when it is written: until then, a copy from another device
        need not be kept.
        """
        size = 0 if tensor.dtype is STRING else raw_size(tensor.shape, tensor.dtype)
        smallest = 1 if tensor.external or (is_weight and self._choice) else MIN_OUTSIDE_BYTES
        if size < smallest:
            return write_tensor(tensor, name)
        proto = describe_tensor(tensor, name)
        _set_external(proto, location=f"#{len(self._held)}")
        self._held.append(_Held(fetch, size, tensor.external))
        return proto

    def settle(self, model: onnx.ModelProto, location: str = "") -> "DataFile":
        """Give each held tensor of a model its data, in the model or in the file returned.

        Raises `LimitError` where more is to be in the model than protobuf can write.
        """
        held = [(proto, self._held[index]) for proto in tensors_of(model)
                if (index := _held_index(proto)) is not None]  # fmt: skip
        outside = self._outside({one for _, one in held})
        inside = sum(one.size for _, one in held if one not in outside)
        if inside > MAX_PROTO_BYTES:
            raise LimitError(
                f"weights of {inside} bytes do not go into one protobuf message (2 GiB); "
                "pass external_data=True"
            )
        file = DataFile(location)
        for proto, one in held:
            if one in outside:
                file.add(proto, one.fetch, one.size)
            else:
                _put_inside(proto, one.fetch())
        return file

    def _outside(self, held: set[_Held]) -> set[_Held]:
        if self._choice is not None:
            return held if self._choice else set()
        is_large = sum(one.size for one in held if not one.external) > MAX_INSIDE_BYTES
        return held if is_large else {one for one in held if one.external}


def _set_external(proto: onnx.TensorProto, **entries: object) -> None:
    proto.data_location = onnx.TensorProto.EXTERNAL
    del proto.external_data[:]
    for key, value in entries.items():
        proto.external_data.add(key=key, value=str(value))


def _put_inside(proto: onnx.TensorProto, tensor: Tensor) -> None:
    proto.ClearField("data_location")
    del proto.external_data[:]
    write_data(tensor, proto)


def _held_index(proto: onnx.TensorProto) -> int | None:
    is_held = proto.external_data and proto.external_data[0].value.startswith("#")
    return int(proto.external_data[0].value[1:]) if is_held else None


class DataFile:
    """The tensors of a data file and their places in it, found before any data is written."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.size = 0
        self._parts: list[tuple[int, Fetch]] = []

    def add(self, proto: onnx.TensorProto, fetch: Fetch, size: int) -> None:
        """Give a tensor the next place. Pages are kept apart, so that the file can be mapped."""
        alignment = PAGE if size >= PAGE else CACHE_LINE
        offset = -(-self.size // alignment) * alignment
        _set_external(proto, location=self.name, offset=offset, length=size)
        self._parts.append((offset, fetch))
        self.size = offset + size

    def write(self, file: FileIO) -> None:
        """Write the tensors one by one, each from the memory it is in."""
        with Progress(f"writing {self.name}", self.size) as progress:
            for offset, fetch in self._parts:
                tensor = fetch()
                file.seek(offset)
                for piece in raw_pieces(tensor.read(), tensor.dtype):
                    write_all(file, piece)
                    progress.advance(len(piece))


def write_model(
    path: Path, model: onnx.ModelProto, data: DataFile, external_data: ExternalData
) -> None:
    """Write a model and its data file in one commit, then remove the data file of the old model.

    That is done only where the model that was at `path` refers to it, no other model of the folder
    mentions it, and its name is one that `data_file_name` makes of these arguments.
    """
    content = _serialized(model)
    superseded = _superseded(path, external_data)
    parts = [(path.parent / data.name, data.write)] if data.size else []
    write_files([*parts, (path, partial(write_all, data=content))])
    for old in superseded:
        if not any(_mentions(other, old.name) for other in _other_models(path)):
            with suppress(OSError):
                old.unlink()


def _serialized(model: onnx.ModelProto) -> bytes:
    try:
        content = model.SerializeToString()
    except EncodeError as error:
        raise LimitError(f"the model is larger than the 2 GiB of protobuf: {error}") from error
    if len(content) > MAX_PROTO_BYTES:
        raise LimitError(f"the model takes {len(content)} bytes, protobuf writes 2 GiB at most")
    return content


def data_file_name(path: Path, external_data: ExternalData) -> str:
    """The name of a new data file for a model: the one given if it is free, else a unique one.

    What is there is never overwritten: the old model needs it until the new one is in its place.
    Raises `UsageError` for a name that is none.
    """
    if not isinstance(external_data, str):
        if external_data not in (None, True, False):
            raise UsageError(
                f"external_data is True, False, None or a name, not {show(external_data)}"
            )
        return _marked(f"{path.name}.data")
    if not _is_file_name(external_data) or external_data == path.name:
        raise UsageError(
            f"external_data: {show(external_data)} must be the name of a file beside the model"
        )
    is_free = not os.path.lexists(path.parent / external_data)
    return external_data if is_free else _marked(external_data)


def _is_file_name(name: str) -> bool:
    return name not in ("", ".", "..") and not name.startswith("#") and not set(name) & set("/\\\0")


def _marked(name: str) -> str:
    """The name with a part that makes it unique before its suffix."""
    stem, suffix = os.path.splitext(name)
    return f"{stem}.{secrets.token_hex(4)}{suffix}"


def _superseded(path: Path, external_data: ExternalData) -> list[Path]:
    """The data files that go when the model at `path` is replaced."""
    if not os.path.isfile(path):
        return []
    own = re.compile(_marked_pattern(f"{path.name}.data"))
    names = [name for name in os.listdir(path.parent) if own.fullmatch(name)]
    if isinstance(external_data, str):
        given = re.compile(f"{re.escape(external_data)}|{_marked_pattern(external_data)}")
        names += [name for name in os.listdir(path.parent) if given.fullmatch(name)]
    names = [name for name in names if _mentions(path, name)]
    used = _locations(path) if names else set()
    return [path.parent / name for name in names if name in used]


def _marked_pattern(name: str) -> str:
    stem, suffix = os.path.splitext(name)
    return rf"{re.escape(stem)}\.[0-9a-f]{{8}}{re.escape(suffix)}"


def _locations(path: Path) -> set[str]:
    """The files that the model at a path refers to."""
    try:
        model = onnx.ModelProto.FromString(path.read_bytes())
    except (OSError, DecodeError):
        return set()
    entries = (entry for tensor in tensors_of(model) for entry in tensor.external_data)
    return {entry.value for entry in entries if entry.key == "location"}


def _other_models(path: Path) -> list[Path]:
    suffixes = {".onnx", path.suffix}
    others = (other for other in path.parent.iterdir() if other.suffix in suffixes)
    return [other for other in others if other.name != path.name and other.is_file()]


def _mentions(path: Path, name: str) -> bool:
    """Whether a file contains a name; one that cannot be read may do so."""
    sought, tail = os.fsencode(name), b""
    try:
        with open(path, "rb") as file:
            while piece := file.read(1 << 24):
                if sought in tail + piece:
                    return True
                tail = piece[-len(sought) :]
    except OSError:
        return True
    return False
