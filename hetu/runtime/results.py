"""Results that belong to the caller alone, in the types that the graph states."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from hetu.convert import copied, narrow
from hetu.ir import Value


def storage(tensor: torch.Tensor) -> int:
    """What two tensors share if writing to one may change the other."""
    return 0 if tensor.is_sparse else tensor.untyped_storage().data_ptr()


def storages(values: Iterable[Any]) -> set[int]:
    """The storages of the tensors among some values, inside of sequences too."""
    found: set[int] = set()
    for value in values:
        if isinstance(value, torch.Tensor):
            found.add(storage(value))
        elif isinstance(value, np.ndarray):
            found.add(id(value))
        elif isinstance(value, tuple):
            found |= storages(value)
    return found


def independent(value: Any, *shared: set[int]) -> Any:
    """The value, copied where it lies in one of the storages `shared`."""
    if isinstance(value, torch.Tensor):
        place = storage(value)
    elif isinstance(value, np.ndarray):
        place = id(value)
    elif isinstance(value, tuple):
        return tuple(independent(element, *shared) for element in value)
    else:
        return value
    for storages in shared:
        if place in storages:
            return copied(value) if isinstance(value, torch.Tensor) else value.copy()
    return value


def as_declared(result: Any, value: Value) -> Any:
    """The result in its value's type: quantized numbers that carry a gradient are floats."""
    element = value.dtype
    if element is None or not isinstance(result, torch.Tensor) or not result.requires_grad:
        return result
    if element.is_float or element.compute is None:
        return result
    return narrow(result.detach().to(element.compute), element)
