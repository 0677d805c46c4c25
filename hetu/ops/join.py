"""Joins values of any type, in the form they are stored in: tensors, and arrays of strings."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from hetu.ops.autocast import exactly
from hetu.types import DTYPES

_BITS_ONLY = frozenset(e.torch for e in DTYPES if e.torch is not None and e.bits < 8)
"""Types that torch holds but cannot copy."""


def stack(values: Sequence[Any], axis: int = 0) -> Any:
    """Values of one shape along a new axis."""
    return _join(values, axis, np.stack, torch.stack)


def concat(values: Sequence[Any], axis: int = 0) -> Any:
    """Values one after another along an axis that they have."""
    return _join(values, axis, np.concatenate, torch.cat)


def _join(
    values: Sequence[Any], axis: int, of_arrays: Callable[..., Any], of_tensors: Callable[..., Any]
) -> Any:
    if isinstance(values[0], np.ndarray):
        return of_arrays(values, axis)
    stored = values[0].dtype
    if stored in _BITS_ONLY:
        return of_tensors([value.view(torch.uint8) for value in values], axis).view(stored)
    return exactly(lambda *tensors: of_tensors(tensors, axis), *values)
