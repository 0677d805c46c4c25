"""What several of the constructors are made of."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hetu.api.opset import version_for
from hetu.api.value import Value, constant, make
from hetu.types import BOOL, FLOAT32, INT32, INT64, DType

END = np.iinfo(np.int64).max
"""As the end of a slice: up to the last element."""


def is_opset(version: int, *inputs: Value) -> bool:
    """Whether a node with these inputs is made for an opset or a newer one."""
    return version_for("", inputs) >= version


def rank(value: Value) -> int | None:
    """How many dimensions a value has, where that is known."""
    return None if value.shape is None else len(value.shape)


def cast(content: Any, element: DType) -> Value:
    """A value or a constant in an element type."""
    if not isinstance(content, Value):
        return constant(content, element)
    return content if content.dtype is element else make("Cast", content, to=element)


def like(content: Any, other: Value) -> Value:
    """A value or a constant in the element type of another, float32 where that is unknown."""
    return cast(content, other.dtype or FLOAT32)


def as_mask(content: Any) -> Value:
    """True where a value is not zero."""
    return cast(content, BOOL)


def as_ids(content: Any) -> Value:
    """Integers from numbers of any type; fractions are cut off."""
    if isinstance(content, Value) and content.dtype in (INT32, INT64):
        return content
    return cast(content, INT64)


def filled(shape: Any, number: float, element: DType) -> Value:
    """A tensor of a shape, given as numbers or as a value, with the same number everywhere."""
    return make("ConstantOfShape", shape, value=np.full(1, number, element.numpy))


def dims(value: Value, *axes: int) -> Value:
    """The sizes of some dimensions, as a vector."""
    if value.shape is not None and all(isinstance(value.shape[axis], int) for axis in axes):
        return constant([value.shape[axis] for axis in axes], INT64)
    return make("Gather", make("Shape", value), constant(axes, INT64))


def clipped(value: Value, low: float | None = None, high: float | None = None) -> Value:
    """The value cut off at numbers."""
    if version_for("", [value]) < 11:
        return make("Clip", value, min=low, max=high)
    return make("Clip", value, *(None if b is None else like(b, value) for b in (low, high)))


def at_least_1d(value: Value) -> Value:
    """The value itself, or a vector of one element in place of a scalar."""
    return value if rank(value) else make("Expand", value, [1])


def without_scalar(value: Value, node: Value, n_dropped: int) -> Value:
    """What is left of `node` after some of its dimensions were dropped, at least a vector."""
    known = rank(node)
    return value if known is not None and known > n_dropped else at_least_1d(value)


def as_list(numbers: int | Sequence[int]) -> list[int]:
    """One number or several, as a list."""
    return [int(number) for number in np.atleast_1d(numbers)]
