"""Tensor data beside the model file. Nothing outside of the model's folder is ever opened."""

import os
import stat
from io import RawIOBase
from pathlib import Path

import numpy as np
import onnx

from hetu.errors import ExternalDataError, show
from hetu.onnx.proto import unpack
from hetu.types import DType


def read_external(folder: Path | None, proto: onnx.TensorProto, element: DType) -> np.ndarray:
    """The array of a tensor whose data lies in a file of the model's `folder`, read once.

    Raises `ExternalDataError` where the file is missing, lies outside of the folder, is no plain
    file with one name, or is too short.
    """
    what = f"external data of tensor {show(proto.name)}"
    if folder is None:
        raise ExternalDataError(
            f"{what}: a model given as bytes has no folder; pass the file's path"
        )
    entries = {entry.key: entry.value for entry in proto.external_data}
    location = entries.get("location", "")
    count = int(np.prod(proto.dims, dtype=np.int64))
    expected = (count * element.bits + 7) // 8
    offset = _number(entries, "offset", 0, what)
    length = _number(entries, "length", expected, what)
    if length != expected:
        raise ExternalDataError(
            f"{what}: {length} bytes given, {list(proto.dims)} of {element} takes {expected}"
        )
    data = _read(_locate(folder, location, what), offset, length, f"{what} in {show(location)}")
    return unpack(data, element, tuple(proto.dims))


def _number(entries: dict[str, str], key: str, default: int, what: str) -> int:
    text = entries.get(key, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit():
        raise ExternalDataError(f"{what}: {key} {show(text)} is no natural number")
    return int(text)


def _locate(folder: Path, location: str, what: str) -> Path:
    """The file's path, with every way out of the folder ruled out."""
    relative = Path(location)
    if not location or "\0" in location or relative.is_absolute() or ".." in relative.parts:
        raise ExternalDataError(
            f"{what}: location {show(location)} must be a path inside the model's folder"
        )
    path = folder.resolve() / relative
    if path.resolve() != path:
        raise ExternalDataError(f"{what}: location {show(location)} is or contains a symbolic link")
    return path


def _read(path: Path, offset: int, length: int, what: str) -> bytearray:
    try:
        # Without O_NONBLOCK, opening a FIFO waits for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ExternalDataError(f"{what}: {error.strerror}") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise ExternalDataError(f"{what}: not a regular file")
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        if status.st_nlink != 1:
            raise ExternalDataError(f"{what}: the file has other names (hard links)")
        if offset + length > status.st_size:
            raise ExternalDataError(
                f"{what}: bytes {offset} to {offset + length} asked for, it has {status.st_size}"
            )
        file.seek(offset)
        data = bytearray(length)
        _read_fully(file, memoryview(data), what)
    return data


def _read_fully(file: RawIOBase, target: memoryview, what: str) -> None:
    while target:
        count = file.readinto(target)
        if not count:
            raise ExternalDataError(f"{what}: the file shrank while it was read")
        target = target[count:]
