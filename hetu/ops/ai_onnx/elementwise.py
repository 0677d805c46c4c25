"""Arithmetic, comparison, logic and bits, element by element with numpy's broadcasting."""

from hetu.ops.kinds import Mask, Tensor
from hetu.ops.registry import op


@op("Add", since=7)
def add(a: Tensor, b: Tensor) -> Tensor:
    return a + b


@op("Equal", since=7)
def equal(a: Tensor, b: Tensor) -> Mask:
    return a == b
