"""Where the rules for operators are registered, and what they are made of."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from hetu.ops.kinds import Ints
from hetu.types import DType


class Known(NamedTuple):
    """What is known of a tensor: type, shape and, of one on the host, its elements."""

    dtype: DType
    shape: Ints
    array: np.ndarray | None = None

    @property
    def rank(self) -> int:
        """How many axes it has."""
        return len(self.shape)


Rule = Callable[..., Known | None]
"""Takes a node and what is known of its inputs, None for those that it leaves out.

Returns None, or raises `LookupError`, `ModelError`, `TypeError` or `ValueError`, where it does not
know the result: where the node fails, too.
"""

RULES: dict[str, tuple[int, Rule]] = {}
"""The rules by operators of ai.onnx, with the version that they hold from."""

LARGEST = 1 << 20
"""What has more elements on the host is left to torch."""


def rule(*op_types: str, since: int = 1) -> Callable[[Rule], Rule]:
    """Register a rule for operators with one output."""

    def register(function: Rule) -> Rule:
        RULES.update((op_type, (since, function)) for op_type in op_types)
        return function

    return register


def are_alike(*tensors: Known) -> bool:
    """Whether tensors are of one type, in which torch computes."""
    first = tensors[0].dtype
    return not first.is_widened and all(tensor.dtype is first for tensor in tensors)


def are_floats(*tensors: Known) -> bool:
    """Whether tensors are of one floating-point type, in which torch computes."""
    return tensors[0].dtype.is_float and are_alike(*tensors)


def is_axis(axis: int, rank: int) -> bool:
    """Whether an axis is one of a tensor's, counted from either end."""
    return -rank <= axis < rank


def broadcast(*tensors: Known) -> Ints:
    """The shape of what is computed from the tensors element by element."""
    return np.broadcast_shapes(*(tensor.shape for tensor in tensors))
