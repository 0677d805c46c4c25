"""Comparison, selection, logic and bits, element by element with numpy's broadcasting."""

import torch

from hetu.ops import unsigned as uint64
from hetu.ops.autocast import together
from hetu.ops.broadcast import aligned
from hetu.ops.kinds import Mask, Tensor
from hetu.ops.registry import op


@op("Equal", since=7)
def equal(a: Tensor, b: Tensor) -> Mask:
    return a == b


@op("Equal")
def equal_1(a: Tensor, b: Tensor, *, axis: int | None = None, broadcast: int = 0) -> Mask:
    return equal(a, aligned(a, b, axis, broadcast))


@op("Less", since=7)
def less(a: Tensor, b: Tensor, *, unsigned: bool = False) -> Mask:
    return uint64.ordered(a, unsigned) < uint64.ordered(b, unsigned)


@op("Less")
def less_1(a: Tensor, b: Tensor, *, axis: int | None = None, broadcast: int = 0) -> Mask:
    return less(a, aligned(a, b, axis, broadcast))


@op("Greater", since=7)
def greater(a: Tensor, b: Tensor, *, unsigned: bool = False) -> Mask:
    return uint64.ordered(a, unsigned) > uint64.ordered(b, unsigned)


@op("Greater")
def greater_1(a: Tensor, b: Tensor, *, axis: int | None = None, broadcast: int = 0) -> Mask:
    return greater(a, aligned(a, b, axis, broadcast))


@op("LessOrEqual", since=12)
def less_or_equal(a: Tensor, b: Tensor, *, unsigned: bool = False) -> Mask:
    return uint64.ordered(a, unsigned) <= uint64.ordered(b, unsigned)


@op("GreaterOrEqual", since=12)
def greater_or_equal(a: Tensor, b: Tensor, *, unsigned: bool = False) -> Mask:
    return uint64.ordered(a, unsigned) >= uint64.ordered(b, unsigned)


@op("IsInf", since=10)
def is_inf(x: Tensor, *, detect_negative: bool = True, detect_positive: bool = True) -> Mask:
    if detect_negative and detect_positive:
        return torch.isinf(x)
    if detect_negative:
        return torch.isneginf(x)
    return torch.isposinf(x) if detect_positive else torch.zeros_like(x, dtype=torch.bool)


@op("IsNaN", since=9, calls=torch.isnan)
def is_nan(x: Tensor) -> Mask: ...


@op("Where", since=9)
def where(condition: Mask, x: Tensor, y: Tensor) -> Tensor:
    # Of a single number, torch would take its type from the other side: masks become infinite.
    return torch.where(condition, *together(x, y))


@op("And", since=7)
def and_(a: Tensor, b: Tensor) -> Mask:
    return a & b


@op("And")
def and_1(a: Tensor, b: Tensor, *, axis: int | None = None, broadcast: int = 0) -> Mask:
    return and_(a, aligned(a, b, axis, broadcast))


@op("Or", since=7)
def or_(a: Tensor, b: Tensor) -> Mask:
    return a | b


@op("Or")
def or_1(a: Tensor, b: Tensor, *, axis: int | None = None, broadcast: int = 0) -> Mask:
    return or_(a, aligned(a, b, axis, broadcast))


@op("Xor", since=7)
def xor(a: Tensor, b: Tensor) -> Mask:
    return a ^ b


@op("Xor")
def xor_1(a: Tensor, b: Tensor, *, axis: int | None = None, broadcast: int = 0) -> Mask:
    return xor(a, aligned(a, b, axis, broadcast))


@op("Not")
def not_(x: Tensor) -> Mask:
    return ~x


@op("BitwiseAnd", since=18)
def bitwise_and(a: Tensor, b: Tensor) -> Tensor:
    return a & b


@op("BitwiseOr", since=18)
def bitwise_or(a: Tensor, b: Tensor) -> Tensor:
    return a | b


@op("BitwiseXor", since=18)
def bitwise_xor(a: Tensor, b: Tensor) -> Tensor:
    return a ^ b


@op("BitwiseNot", since=18)
def bitwise_not(x: Tensor) -> Tensor:
    return ~x


@op("BitShift", since=11)
def bit_shift(x: Tensor, y: Tensor, *, direction: str, unsigned: bool = False) -> Tensor:
    if direction == "LEFT":
        return x << y
    return uint64.shift_right(x, y) if unsigned else x >> y
