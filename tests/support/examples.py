"""Random calls of operators, for comparing each version of each operator with ONNX Runtime.

A family's file in `tests/versions` holds one function per operator:

    @example("Softmax")
    def softmax(random: Random, version: int) -> Call:
        x = random.floats(rank=random.integer(1, 4))
        return Call([x], {"axis": random.axis(x)})

It is called several times per version, each time with another `random`, and chooses shapes, types
and attributes that are valid in that version. Hypothesis makes the choices, so that it can look for
the simplest call that fails.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies
from hypothesis.strategies import DataObject

RTOL, ATOL = 1e-4, 1e-5

Feed = np.ndarray | list[np.ndarray] | dict[Any, Any]


@dataclass
class Call:
    """An operator's inputs (None: left out, a list: a sequence, a dict: a map) and attributes.

    `constants` are the positions of inputs that are written into the model as initializers,
    `optionals` those of inputs whose type is optional. `shared` says which outputs ONNX Runtime
    wants in the memory of which inputs.
    Attribute values are Python numbers, strings, lists, numpy arrays, graphs or types.
    `later` is a later version and the call that means the same in it: ONNX Runtime runs that where
    it does not have the version itself.
    """

    inputs: Sequence[Feed | None]
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1
    constants: Sequence[int] = ()
    optionals: Sequence[int] = ()
    shared: dict[int, int] = field(default_factory=dict)
    rtol: float = RTOL
    atol: float = ATOL
    later: "tuple[int, Call] | None" = None


class Random:
    """Draws shapes and attributes, and makes numbers for tensors.

    `source` is for contents of tensors alone: to hypothesis, each is one number, its seed.
    """

    def __init__(self, data: DataObject) -> None:
        self._data = data
        self.source = np.random.default_rng(data.draw(strategies.integers(0, 2**16 - 1)))

    def integer(self, low: int, high: int) -> int:
        """An integer, `high` included."""
        return self._data.draw(strategies.integers(low, high))

    def permutation(self, count: int) -> list[int]:
        """The integers below `count` in any order."""
        return self._data.draw(strategies.permutations(range(count)))

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
ALWAYS = 10**6
EXAMPLES: dict[tuple[str, str], dict[int, Example]] = {}


def example(op_type: str, domain: str = "", before: int = ALWAYS) -> Callable[[Example], Example]:
    """Register the decorated function as the maker of calls of an operator.

    One for the versions `before` some version goes before one for all.
    """

    def register(function: Example) -> Example:
        EXAMPLES.setdefault((domain, op_type), {})[before] = function
        return function

    return register


def find_example(domain: str, op_type: str, version: int) -> Example | None:
    """The maker of calls of an operator in a version, if there is one."""
    makers = EXAMPLES.get((domain, op_type), {})
    return makers.get(min((before for before in makers if before > version), default=0))
