"""Values between numpy and torch, and between the form stored and the form computed in."""

from functools import cache

import numpy as np
import torch

from hetu.types import STRING, DType, dtype

_SAME_SIZE = {1: np.uint8, 2: np.uint16}

SHARED_TYPES = {
    np.dtype(getattr(np, name)): getattr(torch, name)
    for name in (
        "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16",
        "uint32", "uint64", "complex64", "complex128",
    )
} | {np.dtype(np.bool_): torch.bool}  # fmt: skip
"""The types of numpy that torch has itself."""

_SHARED_BY_TORCH = frozenset(SHARED_TYPES.values())

_HOST = (None, torch.device("cpu"))


def is_extension(element: DType) -> bool:
    """Whether numpy itself does not know the type, so that torch takes its bits only."""
    return element.numpy.type.__module__ == "ml_dtypes"


def to_torch(array: np.ndarray, device: torch.device | None = None) -> torch.Tensor | np.ndarray:
    """A tensor on the array's own memory where that can be; string arrays stay numpy arrays."""
    if array.dtype in SHARED_TYPES and array.flags.carray and device in _HOST:
        try:
            return torch.from_numpy(array)
        except ValueError:  # torch does not take its strides
            pass
    element = dtype(array.dtype)
    if element is STRING:
        return array if array.dtype == object else array.astype(object)
    if not array.dtype.isnative:
        array = array.astype(element.numpy)
    if not array.flags.c_contiguous:
        array = np.ascontiguousarray(array)
    elif not array.flags.aligned or not _is_regular(array):
        array = array.copy()
    if element.name in ("int4", "int2"):  # ml_dtypes leaves the upper bits open
        array = array.astype(np.int8)
    elif is_extension(element):
        array = array.view(_SAME_SIZE[array.itemsize])
    if not array.flags.writeable:
        array = array.copy()
    tensor = torch.from_numpy(array)
    if device is not None and device.type != "cpu":
        tensor = tensor.to(device)
    return tensor if tensor.dtype == element.torch else tensor.view(element.torch)  # pyright: ignore


def _is_regular(array: np.ndarray) -> bool:
    """Whether torch takes the array's strides.

    numpy calls an axis of one element contiguous whatever its stride.
    """
    return all(stride >= 0 and not stride % array.itemsize for stride in array.strides)


def to_numpy(value: torch.Tensor | np.ndarray) -> np.ndarray:
    """The array of a tensor, in numpy's or ml_dtypes' type for it."""
    if isinstance(value, np.ndarray):
        return value
    if value.dtype in _SHARED_BY_TORCH and value.layout is torch.strided:
        return value.numpy(force=True)
    if value.is_sparse:
        value = value.to_dense()
    element = dtype(value.dtype)
    if element.name in ("int4", "int2"):
        return value.view(torch.int8).numpy(force=True).astype(element.numpy)
    if is_extension(element):
        bits = torch.uint8 if element.numpy.itemsize == 1 else torch.uint16
        return value.detach().view(bits).numpy(force=True).view(element.numpy)
    return value.numpy(force=True)


def copied(value: torch.Tensor) -> torch.Tensor:
    """A copy with memory of its own; torch has none for the types that are mere tags."""
    if dtype(value.dtype).bits < 8:
        return value.view(torch.uint8).clone().view(value.dtype)
    return value.detach().clone()


def widen(value: torch.Tensor) -> torch.Tensor:
    """A tensor of a type that torch cannot compute in, as the type it can (`DType.compute`)."""
    element = dtype(value.dtype)
    if value.dtype is element.compute:
        return value
    if element.name in ("int4", "int2"):
        return value.view(torch.int8).to(element.compute)
    if element.name in ("uint4", "uint2"):
        return value.view(torch.uint8).to(element.compute)
    if element.bits < 8:
        return _decoded(element).to(value.device)[value.view(torch.uint8).long()]
    return value.to(element.compute)


def narrow(value: torch.Tensor, element: DType) -> torch.Tensor:
    """The inverse of `widen`: integers wrap, floats round to nearest even."""
    if element.name in ("int4", "int2", "uint4", "uint2"):
        return _wrap(value, element).view(element.torch)  # pyright: ignore
    if element.bits < 8:
        rounded = value.detach().cpu().numpy().astype(element.numpy)
        return to_torch(rounded, value.device)  # pyright: ignore[reportReturnType]
    return value.to(element.torch)


def _wrap(value: torch.Tensor, element: DType) -> torch.Tensor:
    count = 1 << element.bits
    value = torch.remainder(value, count)
    if element.name.startswith("uint"):
        return value.to(torch.uint8)
    return torch.where(value >= count // 2, value - count, value).to(torch.int8)


@cache
def _decoded(element: DType) -> torch.Tensor:
    codes = np.arange(1 << element.bits, dtype=np.uint8).view(element.numpy)
    return torch.from_numpy(codes.astype(np.float32))
