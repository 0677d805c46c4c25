"""Pickles of numeric arrays and plain containers, and of nothing else.

A pickle is a program; this runs those that only build dicts, lists, tuples, sets, numbers, strings
and numpy arrays of numbers or strings. Numpy's own constructors are not called, since they trust
what a pickle says of types and shapes: arrays are made of the bytes by code here.
"""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from hetu.errors import UsageError, show
from hetu.gzipped import read_bytes

_KINDS = "biufcSU"
"""Numpy's letters for booleans, numbers and strings."""


def load(path: Path) -> Any:
    """What a pickle holds; it may be gzipped, and be one that Python 2 wrote.

    Python 2 did not tell bytes and text apart: its strings become text, a character for each byte.
    Raises `UsageError` where the file is broken or holds anything but arrays and containers.
    """
    content = read_bytes(path)
    try:
        return loads(content)
    except Exception as error:  # a broken pickle can raise about everything
        raise UsageError(f"{show(str(path))} is no pickle of arrays: {error}") from error


def loads(content: bytes) -> Any:
    """What the bytes of a pickle stand for."""
    return _finished(_Unpickler(io.BytesIO(content), encoding="latin1").load(), {})


class _Type:
    """Stands for a dtype: pickles make one first and then set its byte order."""

    __slots__ = ("dtype",)

    def __init__(self, code: Any) -> None:
        self.dtype = np.dtype(_text(code))
        if self.dtype.kind not in _KINDS:
            raise pickle.UnpicklingError(f"arrays of type {show(code)} are not accepted")

    def __setstate__(self, state: Any) -> None:
        _, order, subarray, names, fields = state[:5]
        if not (subarray is names is fields is None):
            raise pickle.UnpicklingError("structured arrays are not accepted")
        self.dtype = self.dtype.newbyteorder(_text(order))


class _Array:
    """Stands for an array: pickles make an empty one first and then set its contents."""

    __slots__ = ("array",)

    def __init__(self, array: np.ndarray | None = None) -> None:
        self.array = array

    def __setstate__(self, state: Any) -> None:
        shape, element, is_fortran, content = state[-4:]
        self.array = _decoded(content, element, shape, "F" if is_fortran else "C")


class _Unpickler(pickle.Unpickler):
    """Knows the few names that arrays and containers need.

    They stand for bound methods and built-in types, which a pickle can call but not alter.
    """

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        module = module_name.replace("numpy.core", "numpy._core").replace("__builtin__", "builtins")
        match module, global_name:
            case "numpy", "ndarray":
                return "ndarray"
            case "numpy", "dtype":
                return self._dtype
            case "numpy._core.multiarray", "_reconstruct":
                return self._reconstruct
            case "numpy._core.multiarray", "scalar":
                return self._scalar
            case "numpy._core.numeric", "_frombuffer":
                return self._frombuffer
            case "_codecs", "encode":
                return self._encode
            case "builtins", "bytes":
                return self._no_bytes
            case "builtins", "set":
                return set
            case "builtins", "frozenset":
                return frozenset
        raise pickle.UnpicklingError(f"it uses {show(f'{module_name}.{global_name}')}")

    def _dtype(self, code: Any, align: Any = False, copy: Any = False) -> _Type:
        return _Type(code)

    def _reconstruct(self, subtype: Any, shape: Any, code: Any) -> _Array:
        return _Array()

    def _scalar(self, element: Any, content: Any) -> Any:
        return _decoded(content, element, (), "C")[()]

    def _frombuffer(
        self, content: Any, element: Any, shape: Any, order: str, axes: Any = None
    ) -> _Array:
        if order != "K":
            return _Array(_decoded(content, element, shape, order))
        return _Array(_decoded(content, element, shape, "C").transpose(axes))

    def _encode(self, text: str, encoding: str) -> bytes | bytearray:
        return _bytes(text)

    def _no_bytes(self) -> bytes:
        return b""


def _decoded(content: Any, element: Any, shape: Any, order: Any) -> np.ndarray:
    """A new array, in native byte order; the bytes are as many as its shape and type say."""
    if not isinstance(element, _Type):
        raise pickle.UnpicklingError("an array without a type")
    flat = np.frombuffer(_bytes(content), element.dtype)
    return flat.reshape(shape, order=order).astype(element.dtype.newbyteorder("="))


def _bytes(content: Any) -> bytes | bytearray:
    if isinstance(content, str):
        return content.encode("latin1")
    if not isinstance(content, bytes | bytearray):
        raise pickle.UnpicklingError("an array of objects")
    return content


def _text(content: Any) -> Any:
    return content.decode("ascii") if isinstance(content, bytes) else str(content)


def _finished(content: Any, done: dict[int, Any]) -> Any:
    """The arrays and types in the place of what stands for them; what is shared is made once."""
    if id(content) not in done:
        done[id(content)] = _replaced(content, done)
    return done[id(content)]


def _replaced(content: Any, done: dict[int, Any]) -> Any:
    match content:
        case _Array(array=None):
            raise pickle.UnpicklingError("an array without contents")
        case _Array():
            return content.array
        case _Type():
            return content.dtype
        case dict():
            return {key: _finished(value, done) for key, value in content.items()}
        case list():
            return [_finished(value, done) for value in content]
        case tuple():
            return tuple(_finished(value, done) for value in content)
    return content
