"""Arrays as the little-endian bytes of a file, in pieces, so that no array is held twice."""

import math
import os
from collections.abc import Iterable, Iterator
from io import FileIO

import numpy as np
import onnx
from onnx import numpy_helper

from hetu.pages import empty
from hetu.types import DType

PIECE = 1 << 22
"""Elements to a piece: a multiple of 8, so that pieces of sub-byte elements end with a byte."""


def raw_size(shape: Iterable[int], element: DType) -> int:
    """The bytes that a tensor takes in a file; elements of less than a byte share bytes."""
    return (math.prod(shape) * element.bits + 7) // 8


def check_raw_size(size: int, shape: Iterable[int], element: DType) -> None:
    """Raise `ValueError` where so many bytes are not what a tensor takes."""
    if size != raw_size(shape, element):
        takes = raw_size(shape, element)
        raise ValueError(f"{size} bytes given, {list(shape)} of {element} takes {takes}")


def read_raw(data: bytes, element: DType, shape: tuple[int, ...]) -> np.ndarray:
    """An array, with memory of its own, of the bytes of a file."""
    if element.bits < 8:
        return unpacked(data, element, shape)
    array = empty(len(data))
    array[:] = np.frombuffer(data, np.uint8)
    return array.view(element.numpy).reshape(shape)


def unpacked(data: bytes | bytearray, element: DType, shape: tuple[int, ...]) -> np.ndarray:
    """An array of bytes that several elements share."""
    proto = onnx.TensorProto(data_type=element.code, dims=shape, raw_data=bytes(data))
    return numpy_helper.to_array(proto)


def read_into(file: FileIO, offset: int, target: memoryview) -> None:
    """Fill memory from an offset of a file. Raises `EOFError` where that is too short."""
    while target:
        count = os.preadv(file.fileno(), [target], offset)
        if not count:
            raise EOFError("the data is too short")
        target, offset = target[count:], offset + count


def raw_pieces(array: np.ndarray, element: DType) -> Iterator[memoryview]:
    """The inverse of `read_raw`: views of the array's own memory where its layout allows."""
    # A slice of `reshape` is a view, but of a strided array `reshape` would copy everything.
    flat = array.reshape(-1) if array.flags.c_contiguous else array.flat
    for start in range(0, array.size, PIECE):
        piece = flat[start : start + PIECE].astype(element.numpy, copy=False)
        if element.bits >= 8:
            yield piece.view(np.uint8).data
        else:
            yield memoryview(numpy_helper.from_array(piece).raw_data)
