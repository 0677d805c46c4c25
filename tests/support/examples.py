"""Random calls of operators, for comparing each version of each operator with ONNX Runtime.

A family's file in `tests/versions` holds one function per operator:

    @example("Softmax")
    def softmax(random: Random, version: int) -> Call:
        x = random.floats(rank=random.integer(1, 4))
        return Call([x], {"axis": random.axis(x)})

It is called several times per version, each time with another `random`, and chooses shapes, types
and attributes that are valid in that version.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

RTOL, ATOL = 1e-4, 1e-5

Feed = np.ndarray | list[np.ndarray] | dict[Any, Any]


@dataclass
class Call:
    """An operator's inputs (None: left out, a list: a sequence, a dict: a map) and attributes.

    `constants` are the positions of inputs that are written into the model as initializers,
    `optionals` those of inputs whose type is optional. `shared` says which outputs ONNX Runtime
    wants in the memory of which inputs.
    Attribute values are Python numbers, strings, lists, numpy arrays, graphs or types.
    """

    inputs: Sequence[Feed | None]
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1
    constants: Sequence[int] = ()
    optionals: Sequence[int] = ()
    shared: dict[int, int] = field(default_factory=dict)
    rtol: float = RTOL
    atol: float = ATOL


@dataclass
class Random:
    """Draws shapes and values."""

    source: np.random.Generator

    def integer(self, low: int, high: int) -> int:
        """An integer, `high` included."""
        return int(self.source.integers(low, high, endpoint=True))

    def choice(self, *options: Any) -> Any:
        """One of the options."""
        return options[self.integer(0, len(options) - 1)]

    def shape(self, rank: int, high: int = 5) -> tuple[int, ...]:
        """Dimensions from 1 to `high`."""
        return tuple(self.integer(1, high) for _ in range(rank))

    def floats(
        self,
        *shape: int,
        rank: int | None = None,
        low: float = -3.0,
        high: float = 3.0,
        dtype: Any = np.float32,
    ) -> np.ndarray:
        """Uniform numbers of a given shape, or of a random one of a given rank."""
        dims = shape if rank is None else self.shape(rank)
        return self.source.uniform(low, high, dims).astype(dtype)

    def integers(
        self,
        *shape: int,
        rank: int | None = None,
        low: int = -5,
        high: int = 5,
        dtype: Any = np.int64,
    ) -> np.ndarray:
        """Integers, `high` included."""
        dims = shape if rank is None else self.shape(rank)
        return self.source.integers(low, high, dims, endpoint=True).astype(dtype)

    def bools(self, *shape: int) -> np.ndarray:
        """Random truth values."""
        return np.asarray(self.source.random(shape) < 0.5)

    def axis(self, x: np.ndarray, negative: bool = True) -> int:
        """An axis of `x`, counted from the front or, if `negative`, also from the back."""
        return self.integer(-x.ndim if negative else 0, x.ndim - 1)

    def broadcastable(self, shape: Sequence[int]) -> tuple[int, ...]:
        """A shape that broadcasts to `shape`: some dimensions 1, some leading ones left out."""
        dims = [1 if self.integer(0, 3) == 0 else dim for dim in shape]
        return tuple(dims[self.integer(0, len(dims)) if self.integer(0, 3) == 0 else 0 :])


Example = Callable[[Random, int], Call]
EXAMPLES: dict[tuple[str, str], Example] = {}


def example(op_type: str, domain: str = "") -> Callable[[Example], Example]:
    """Register the decorated function as the maker of calls of an operator."""

    def register(function: Example) -> Example:
        EXAMPLES[domain, op_type] = function
        return function

    return register
