"""Draws of numbers of every element type, for operators that work element by element."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.support.examples import Call, Random

FLOATS = (np.float32, np.float16, np.float64)
SIGNED = (np.int8, np.int16, np.int32, np.int64)
UNSIGNED = (np.uint8, np.uint16, np.uint32, np.uint64)
INTEGERS = (*SIGNED, *UNSIGNED)
NUMBERS = (*FLOATS, *INTEGERS)

SPECIAL = (np.nan, np.inf, -np.inf, 0.0, -0.0)


def shape(random: Random) -> tuple[int, ...]:
    """A shape of rank 0 to 4, now and then without elements."""
    dims = random.shape(random.integer(0, 4))
    return (*dims, 0) if random.integer(0, 9) == 0 else dims


def integers(random: Random, dims: Sequence[int], dtype: Any) -> np.ndarray:
    """Integers of the type's whole range."""
    size = int(np.prod(dims, dtype=np.int64))
    data = random.source.bytes(size * np.dtype(dtype).itemsize)
    return np.frombuffer(data, dtype).reshape(dims)


def numbers(
    random: Random, dims: Sequence[int], dtype: Any, low: float = -3.0, high: float = 3.0
) -> np.ndarray:
    """Integers of the type's whole range, or floats between `low` and `high`."""
    if np.dtype(dtype).kind in "iu":
        return integers(random, dims, dtype)
    return random.floats(*dims, low=low, high=high, dtype=dtype)


def with_special(random: Random, x: np.ndarray) -> np.ndarray:
    """The floats with some of them infinite, zero or NaN; integers as they are."""
    if x.dtype.kind != "f":
        return x
    special = random.source.choice(np.array(SPECIAL), x.shape).astype(x.dtype)
    return np.where(random.source.random(x.shape) < 0.2, special, x)


def close(
    inputs: Sequence[np.ndarray | None], attributes: dict[str, Any] | None = None, steps: int = 4
) -> Call:
    """A call whose results agree to `steps` roundings in the first input's type.

    ONNX Runtime evaluates most functions in float32 by polynomials that are off by a few roundings.
    """
    x = inputs[0]
    assert x is not None
    epsilon = float(np.finfo(x.dtype).eps) if x.dtype.kind == "f" else 0.0
    return Call(inputs, attributes or {}, rtol=steps * epsilon, atol=steps * epsilon)
