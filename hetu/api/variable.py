"""Feeds and variables."""

from typing import Any, Protocol

import numpy as np

from hetu import ir
from hetu.api.value import Value
from hetu.errors import UsageError, show
from hetu.types import DType, TensorType
from hetu.types import dtype as find_dtype


class Initializer(Protocol):
    """What makes the first values of variables of one shape."""

    def recipe(self, element: DType) -> ir.Recipe:
        """How to make a value of an element type."""
        ...


def Variable(  # noqa: N802
    name: str,
    value: Any = None,
    initializer: Initializer | None = None,
    trainable: bool = True,
    dtype: Any = np.float32,
    ctx: Any = None,
) -> Value:
    """A variable that starts as `value` (cast to `dtype`) or by `initializer`, else a feed.

    Of variables only those of a float type can train. What is fed is cast to `dtype`. `ctx` has no
    effect: the executor decides where its variables lie. Raises `UsageError`.
    """
    element = find_dtype(dtype)
    if value is not None and initializer is not None:
        raise UsageError(f"variable {show(name)}: give a value or an initializer, not both")
    if value is None and initializer is None:
        return Value(name, TensorType(element), casts=True)
    data = _recipe(name, initializer, element) if initializer else _tensor(name, value, element)
    return Value(name, data.type, data=data, trainable=trainable and element.is_float)


placeholder_op = Variable


def _tensor(name: str, value: Any, element: DType) -> ir.Tensor:
    """A copy of the value, so that what the caller does to theirs does not matter."""
    try:
        return ir.Tensor(np.asarray(value).astype(element.numpy))
    except (TypeError, ValueError) as error:
        raise UsageError(f"variable {show(name)}: no {element} array: {error}") from error


def _recipe(name: str, initializer: Any, element: DType) -> ir.Recipe:
    if not hasattr(initializer, "recipe"):
        raise UsageError(f"variable {show(name)}: {show(initializer)} is no initializer")
    return initializer.recipe(element)
