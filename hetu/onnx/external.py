"""Reading tensor data beside the model file. Nothing outside of the model's folder is opened."""

import os
import stat
from collections.abc import Iterable, Iterator
from io import FileIO
from pathlib import Path

import numpy as np
import onnx

from hetu.errors import ExternalDataError, show
from hetu.onnx.array_reader import ArrayReader
from hetu.onnx.raw import check_raw_size, raw_size
from hetu.types import STRING, DType


class ExternalReader:
    """Reads tensors whose data lies in files of the model's `folder`, each once, into an array.

    The files are read, not mapped: whoever overwrites or cuts one later changes no weights. Raises
    `ExternalDataError` where a file is missing, lies outside of the folder, is no plain file with
    one name, or is too short.
    """

    def __init__(self, folder: Path | None, arrays: ArrayReader) -> None:
        self._folder = folder
        self._arrays = arrays
        self._paths: dict[str, Path] = {}

    def __call__(self, proto: onnx.TensorProto, element: DType) -> np.ndarray:
        """The array of a tensor."""
        what = f"external data of tensor {show(proto.name)}"
        if self._folder is None:
            raise ExternalDataError(
                f"{what}: a model given as bytes has no folder; pass the file's path"
            )
        if element is STRING:
            raise ExternalDataError(f"{what}: strings cannot be external")
        entries = {entry.key: entry.value for entry in proto.external_data}
        location, offset = entries.get("location", ""), _number(entries, "offset", 0, what)
        length = _number(entries, "length", raw_size(proto.dims, element), what)
        try:
            check_raw_size(length, proto.dims, element)
        except ValueError as error:
            raise ExternalDataError(f"{what}: {error}") from error
        if location not in self._paths:
            self._paths[location] = _locate(self._folder, location, what)
        path, what = self._paths[location], f"{what} in {show(location)}"
        file = self._arrays.opened(path, lambda: _opened(path, what))
        end, size = offset + length, os.fstat(file.fileno()).st_size
        if end > size:
            raise ExternalDataError(f"{what}: bytes up to {end} asked for, it has {size}")
        return self._arrays.read(file, offset, element, tuple(proto.dims), what)

    def settle(self) -> None:
        """Have read what all arrays contain."""
        self._arrays.settle()


def tensors_of(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """The tensors of a model that may have external data: initializers and attributes."""
    return tensors_in([model.graph, *model.functions])


def tensors_in(
    graphs: Iterable[onnx.GraphProto | onnx.FunctionProto],
) -> Iterator[onnx.TensorProto]:
    """The initializers and attributes in graphs and functions, at every depth."""
    pending = list(graphs)
    while pending:
        graph = pending.pop()
        if isinstance(graph, onnx.GraphProto):
            yield from graph.initializer
        for attribute in (attribute for node in graph.node for attribute in node.attribute):
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            pending.extend(attribute.graphs)
            if attribute.HasField("g"):
                pending.append(attribute.g)


def _number(entries: dict[str, str], key: str, default: int, what: str) -> int:
    text = entries.get(key, "")
    if not text:
        return default
    if not _is_natural(text):
        raise ExternalDataError(f"{what}: {key} {show(text)} is no number of bytes")
    return int(text)


def _is_natural(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20


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


def _opened(path: Path, what: str) -> FileIO:
    try:
        # Without O_NONBLOCK, opening a FIFO waits for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ExternalDataError(f"{what}: {error.strerror}") from error
    reason = _unfit(os.fstat(descriptor))
    if reason:
        os.close(descriptor)
        raise ExternalDataError(f"{what}: {reason}")
    return FileIO(descriptor)


def _unfit(status: os.stat_result) -> str | None:
    """Why a file cannot be what a model's data lies in."""
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    if status.st_nlink > 1:
        return "the file has other names (hard links)"
    return None
