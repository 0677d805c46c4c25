"""What a case of one of Hetu's operators is, and data for it."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from hetu.api import hetu_ops
from hetu.api.value import Value

RANDOM = np.random.default_rng(0)


def f(*shape: int, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    return RANDOM.uniform(low, high, shape).astype(np.float32)


def p(*shape: int) -> np.ndarray:
    """Probabilities along the last axis."""
    x = np.exp(f(*shape))
    return x / x.sum(-1, keepdims=True)


def i(*numbers: Any, element: Any = np.int64) -> np.ndarray:
    return np.array(numbers, element)


class Case:
    """A constructor with its inputs and options, and an oracle from torch tensors to a tensor.

    Inputs go to the parameters that no option names, in their order. `constant` are the positions
    of float inputs that gradients do not flow to.
    """

    def __init__(
        self,
        name: str,
        inputs: tuple[np.ndarray, ...],
        oracle: Callable[..., Any],
        constant: tuple[int, ...] | None = (),
        make: Callable[..., Value] | None = None,
        oldest: int = 13,
        **options: Any,
    ) -> None:
        self.name, self.inputs, self.oracle, self.oldest = name, inputs, oracle, oldest
        self._make, self._options = make, options
        floats = [k for k, x in enumerate(inputs) if x.dtype == np.float32]
        self.variables = [] if constant is None else [k for k in floats if k not in constant]

    def make(self, values: list[Value]) -> Value:
        if self._make is not None:
            return self._make(*values)
        constructor = getattr(hetu_ops, self.name)
        free = [n for n in inspect.signature(constructor).parameters if n not in self._options]
        return constructor(**dict(zip(free, values, strict=False)), **self._options)


def case(name: str, *inputs: np.ndarray, to: Callable[..., Any], **options: Any) -> Case:
    return Case(name, inputs, to, **options)


X, Y = f(3, 4), f(3, 4)
AWAY = np.where(np.abs(X) < 0.1, 0.5, X).astype(np.float32)
POSITIVE = f(3, 4, low=0.3, high=3)
HOLES = X * (RANDOM.random((3, 4)) < 0.6).astype(np.float32)
IMAGE = f(2, 3, 7, 6)
