"""Checks what is fed and brings it into the form that the graph runs on."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from hetu.convert import to_torch
from hetu.errors import UsageError, show
from hetu.ir import Value
from hetu.runtime.ndarray import NDArray
from hetu.types import STRING, Dim, DType, MapType, OptionalType, SequenceType, TensorType, dtype


def convert_feed(value: Value, content: Any, device: torch.device) -> Any:
    """What the graph runs on for the feed `value`. Raises `UsageError` where it does not fit."""
    if _is_as_expected(content, value.type):
        return to_torch(content, device)
    return _convert(content, value.type, f"feed {show(value.name)}", value.casts, device)


def _is_as_expected(content: Any, expected: Any) -> bool:
    """Whether a feed is an array of the expected type: most are, and need no closer look."""
    if type(content) is not np.ndarray or type(expected) is not TensorType:
        return False
    element = expected.dtype
    return (
        element is not None
        and content.dtype is element.numpy
        and _fits(content.shape, expected.shape)
    )


def _convert(content: Any, expected: Any, what: str, casts: bool, device: torch.device) -> Any:
    match expected:
        case OptionalType(element):
            return None if content is None else _convert(content, element, what, casts, device)
        case SequenceType(element):
            if not isinstance(content, list | tuple):
                raise UsageError(f"{what}: expected a list, got {type(content).__name__}")
            return tuple(
                _convert(c, element, f"{what}[{i}]", casts, device) for i, c in enumerate(content)
            )
        case MapType(_, element):
            if not isinstance(content, Mapping):
                raise UsageError(f"{what}: expected a dict, got {type(content).__name__}")
            return _convert_map(content, element, what)
    if content is None:
        raise UsageError(f"{what}: expected {expected or 'a tensor'}, got None")
    if expected is None and isinstance(content, list | tuple) and _holds_arrays(content):
        return tuple(
            _convert(c, None, f"{what}[{i}]", casts, device) for i, c in enumerate(content)
        )
    return _convert_tensor(content, expected or TensorType(), what, casts, device)


def _convert_map(content: Mapping[Any, Any], element: Any, what: str) -> dict[Any, Any]:
    """A dict whose numbers are of the map's type, which Python's floats and ints do not tell."""
    if not isinstance(element, TensorType) or element.dtype in (None, STRING):
        return dict(content)
    try:
        return {key: element.dtype.numpy.type(number) for key, number in content.items()}
    except (TypeError, ValueError) as error:
        raise UsageError(f"{what}: expected numbers of type {element.dtype}: {error}") from error


def _holds_arrays(content: Sequence[Any]) -> bool:
    return any(isinstance(element, np.ndarray | torch.Tensor | NDArray) for element in content)


def _convert_tensor(
    content: Any, expected: TensorType, what: str, casts: bool, device: torch.device
) -> torch.Tensor | np.ndarray:
    if isinstance(content, NDArray):
        content = content.data
    if not isinstance(content, torch.Tensor):
        content = _to_array(content, expected, what, casts)
        content = to_torch(content, device)
    if isinstance(content, torch.Tensor) and content.layout is not torch.strided:
        content = content.to_dense()
    element = dtype(content.dtype)
    if expected.dtype is not None and element is not expected.dtype:
        if not casts or STRING in (element, expected.dtype):
            raise UsageError(f"{what}: expected {expected}, got {element}{list(content.shape)}")
        content = content.to(expected.dtype.torch)
    _check_shape(tuple(content.shape), expected, what, element)
    return content.to(device) if isinstance(content, torch.Tensor) else content


def _to_array(content: Any, expected: TensorType, what: str, casts: bool) -> np.ndarray:
    """An array; lists and numbers, which have no type of their own, take the expected one."""
    if type(content) is np.ndarray and expected.dtype is dtype(content.dtype):
        return content
    is_typed = isinstance(content, np.ndarray | np.generic)
    to_dense = getattr(content, "todense", None)
    if to_dense is not None:
        content, is_typed = np.asarray(to_dense()), True
    try:
        array = np.asarray(content)
        element = dtype(array.dtype)
        wanted = expected.dtype or element
        if element is wanted or STRING in (element, wanted) or (is_typed and not casts):
            return array
        if array.dtype.kind in "fc" and not wanted.is_float and not casts:
            raise UsageError(f"{what}: expected {expected}, got a list of {element}")
        return array.astype(wanted.numpy)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{what}: no array can be made of it: {error}") from error


def _check_shape(shape: tuple[int, ...], expected: TensorType, what: str, element: DType) -> None:
    if not _fits(shape, expected.shape):
        raise UsageError(f"{what}: expected {expected}, got {element}{list(shape)}")


def _fits(shape: tuple[int, ...], expected: tuple[Dim, ...] | None) -> bool:
    if expected is None:
        return True
    if len(shape) != len(expected):
        return False
    for want, have in zip(expected, shape, strict=True):
        if want != have and isinstance(want, int):
            return False
    return True
