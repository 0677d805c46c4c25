"""Reads arrays from files: large ones together at the end, in several threads.

Most of the time goes into copying and into new pages of memory, in which the system needs no GIL.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import FileIO
from math import prod
from pathlib import Path
from typing import Self

import numpy as np

from hetu.errors import ExternalDataError, LimitError
from hetu.onnx.raw import raw_size, read_into, unpacked
from hetu.pages import populate, reserve
from hetu.progress import Progress
from hetu.threads import share
from hetu.types import DType

_SMALL = 1 << 16
"""Arrays of at most so many bytes are read at once."""

_PIECE = 1 << 20
"""Elements that are read at a time: a multiple of 8, so that sub-byte ones end with a byte.

Fewer than are written at a time (`raw.PIECE`), for threads to share.
"""

_LARGE = 1 << 22
"""Bytes that are worth another thread."""

_THREADS = min(4, os.cpu_count() or 1)
"""Two are 1.7 times as fast as one; memory soon takes no more."""

_MOST_FILES = 64
"""Files that are open at a time: some models have one for each tensor."""


class ArrayReader:
    """Reads arrays, whose contents are there when the reader is left, or after `settle`.

    Raises `ExternalDataError` for data that cannot be read, and `LimitError` where there is no
    memory for it.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._pending: list[_Piece] = []
        self._files: dict[Path, FileIO] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.settle()
        finally:
            self._close()

    def opened(self, path: Path, open_file: Callable[[], FileIO]) -> FileIO:
        """The file at a path, which stays open for what is to be read of it."""
        if path not in self._files:
            if len(self._files) == _MOST_FILES:
                self.settle()
            self._files[path] = open_file()
        return self._files[path]

    def read(
        self, file: FileIO, offset: int, element: DType, shape: tuple[int, ...], what: str
    ) -> np.ndarray:
        """The array whose data starts at an offset of a file; `what` names it in errors."""
        size = raw_size(shape, element)
        self._progress.expect(size)
        try:
            array = reserve(prod(shape) * element.numpy.itemsize).view(element.numpy)
        except MemoryError as error:
            raise LimitError(f"{what}: there is no memory for its {size} bytes") from error
        pieces = _pieces(file, offset, element, array, what)
        if size > _SMALL:
            self._pending += pieces
        else:
            self._read(pieces)
        return array.reshape(shape)

    def settle(self) -> None:
        """Read what is still to be read."""
        helpers = sum(piece.size for piece in self._pending) // _LARGE
        share(self._pending, self._read, min(1 + helpers, _THREADS))
        self._pending.clear()
        self._close()

    def _read(self, pieces: Iterator["_Piece"]) -> None:
        for piece in pieces:
            piece.read()
            self._progress.advance(piece.size)

    def _close(self) -> None:
        while self._files:
            self._files.popitem()[1].close()


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of an array, and where its data lies; `what` names the array in errors."""

    file: FileIO
    offset: int
    element: DType
    part: np.ndarray
    what: str

    @property
    def size(self) -> int:
        """The bytes that it takes in the file."""
        return raw_size(self.part.shape, self.element)

    def read(self) -> None:
        """Fill the part."""
        try:
            self._fill()
        except EOFError as error:
            raise ExternalDataError(f"{self.what}: the file shrank while it was read") from error
        except OSError as error:
            raise ExternalDataError(f"{self.what}: {error.strerror}") from error

    def _fill(self) -> None:
        if self.element.bits >= 8:
            populate(self.part)
            read_into(self.file, self.offset, self.part.view(np.uint8).data)
        else:
            data = bytearray(self.size)
            read_into(self.file, self.offset, memoryview(data))
            self.part[:] = unpacked(data, self.element, self.part.shape)


def _pieces(
    file: FileIO, offset: int, element: DType, flat: np.ndarray, what: str
) -> Iterator[_Piece]:
    for begin in range(0, flat.size, _PIECE):
        part = flat[begin : begin + _PIECE]
        yield _Piece(file, offset + raw_size((begin,), element), element, part, what)
