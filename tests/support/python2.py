"""Pickles as Python 2 wrote them, in which the published MNIST and CIFAR files are."""

import struct
from typing import Any

import numpy as np


def dumps(content: Any) -> bytes:
    """Protocol 2, with Python 2's `str` for text and for the bytes of arrays."""
    return b"\x80\x02" + _code(content) + b"."


def _code(content: Any) -> bytes:
    match content:
        case None:
            return b"N"
        case bool():
            return b"\x88" if content else b"\x89"
        case int():
            return b"J" + struct.pack("<i", content)
        case str() | bytes():
            data = content.encode("latin1") if isinstance(content, str) else content
            return b"T" + struct.pack("<i", len(data)) + data
        case list():
            return b"](" + b"".join(map(_code, content)) + b"e"
        case tuple():
            return b"(" + b"".join(map(_code, content)) + b"t"
        case dict():
            return b"}(" + b"".join(_code(k) + _code(v) for k, v in content.items()) + b"u"
        case np.ndarray():
            return _array(content)
    raise TypeError(type(content))


def _array(array: np.ndarray) -> bytes:
    empty = b"cnumpy\nndarray\n" + _code((0,)) + _code("b")
    make = b"cnumpy.core.multiarray\n_reconstruct\n(" + empty + b"tR"
    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    data = array.tobytes("F" if fortran else "C")
    state = _code(1) + _code(array.shape) + _dtype(array.dtype) + _code(fortran) + _code(data)
    return make + b"(" + state + b"tb"


def _dtype(dtype: np.dtype) -> bytes:
    order = "|" if dtype.itemsize == 1 else ">" if dtype.str.startswith(">") else "<"
    make = b"cnumpy\ndtype\n" + _code((dtype.str[1:], 0, 1)) + b"R"
    size = (dtype.itemsize, dtype.alignment) if dtype.kind in "SU" else (-1, -1)
    return make + _code((3, order, None, None, None, *size, 0)) + b"b"
