"""Arithmetic, element by element with numpy's broadcasting."""

from functools import reduce

import torch

from hetu.ops import unsigned as uint64
from hetu.ops.broadcast import aligned
from hetu.ops.kinds import Any, Tensor
from hetu.ops.registry import op

LARGEST = torch.finfo(torch.float32).max


@op("Add", since=7, calls=torch.add)
def add(a: Tensor, b: Tensor) -> Tensor: ...


@op("Add")
def add_1(a: Tensor, b: Tensor, *, axis: int | None = None, broadcast: int = 0) -> Tensor:
    return add(a, aligned(a, b, axis, broadcast))


@op("Sub", since=7, calls=torch.sub)
def sub(a: Tensor, b: Tensor) -> Tensor: ...


@op("Sub")
def sub_1(a: Tensor, b: Tensor, *, axis: int | None = None, broadcast: int = 0) -> Tensor:
    return sub(a, aligned(a, b, axis, broadcast))


@op("Mul", since=7, calls=torch.mul)
def mul(a: Tensor, b: Tensor) -> Tensor: ...


@op("Mul")
def mul_1(a: Tensor, b: Tensor, *, axis: int | None = None, broadcast: int = 0) -> Tensor:
    return mul(a, aligned(a, b, axis, broadcast))


@op("Div", since=7)
def div(a: Tensor, b: Tensor, *, unsigned: bool = False) -> Tensor:
    if a.is_floating_point():
        return a / b
    return uint64.divide(a, b) if unsigned else torch.div(a, b, rounding_mode="trunc")


@op("Div")
def div_1(
    a: Tensor,
    b: Tensor,
    *,
    axis: int | None = None,
    broadcast: int = 0,
    unsigned: bool = False,
) -> Tensor:
    return div(a, aligned(a, b, axis, broadcast), unsigned=unsigned)


@op("Mod", since=10)
def mod(a: Tensor, b: Tensor, *, fmod: int = 0, unsigned: bool = False) -> Tensor:
    if unsigned:
        return a - uint64.divide(a, b) * b
    return torch.fmod(a, b) if fmod else torch.remainder(a, b)


@op("Pow", since=7)
def pow_(x: Tensor, y: Any) -> Tensor:
    if x.dtype == y.dtype:
        return torch.pow(x, y)
    common = _power_dtype(x, y)
    return torch.pow(x.to(common), y.to(common)).to(x.dtype)


def _power_dtype(x: Tensor, y: Tensor) -> torch.dtype:
    if x.is_floating_point():
        return torch.promote_types(x.dtype, y.dtype)
    return torch.float64 if y.is_floating_point() else torch.int64


@op("Pow")
def pow_1(x: Tensor, y: Tensor, *, axis: int | None = None, broadcast: int = 0) -> Tensor:
    return pow_(x, aligned(x, y, axis, broadcast))


@op("Neg", calls=torch.neg)
def neg(x: Tensor) -> Tensor: ...


@op("Abs")
def abs_(x: Tensor, *, unsigned: bool = False) -> Tensor:
    return x if unsigned else torch.abs(x)


@op("Sign", since=9)
def sign(input: Tensor, *, unsigned: bool = False) -> Tensor:
    if unsigned:
        return (input != 0).to(input.dtype)
    # torch gives 0 for NaN
    return torch.where(torch.isnan(input), input, torch.sign(input))


@op("Sqrt", calls=torch.sqrt)
def sqrt(x: Tensor) -> Tensor: ...


@op("Exp", calls=torch.exp)
def exp(input: Tensor) -> Tensor: ...


@op("Log", calls=torch.log)
def log(input: Tensor) -> Tensor: ...


@op("Erf", since=9)
def erf(input: Tensor) -> Tensor:
    # version 9 takes integers too, of which torch makes floats
    return torch.erf(input).to(input.dtype)


@op("Reciprocal", calls=torch.reciprocal)
def reciprocal(x: Tensor) -> Tensor: ...


@op("Floor", calls=torch.floor)
def floor(x: Tensor) -> Tensor: ...


@op("Ceil", calls=torch.ceil)
def ceil(x: Tensor) -> Tensor: ...


@op("Round", since=11, calls=torch.round)
def round_(x: Tensor) -> Tensor: ...


@op("Sum")
def sum_(*data_0: Tensor) -> Tensor:
    return reduce(torch.add, data_0)


@op("Mean")
def mean(*data_0: Tensor) -> Tensor:
    return reduce(torch.add, data_0) / len(data_0)


@op("Max")
def max_(*data_0: Tensor, unsigned: bool = False) -> Tensor:
    values = [uint64.ordered(x, unsigned) for x in data_0]
    return uint64.ordered(reduce(torch.maximum, values), unsigned)


@op("Min")
def min_(*data_0: Tensor, unsigned: bool = False) -> Tensor:
    values = [uint64.ordered(x, unsigned) for x in data_0]
    return uint64.ordered(reduce(torch.minimum, values), unsigned)


@op("Clip", since=11)
def clip(
    input: Tensor, min: Tensor | None = None, max: Tensor | None = None, *, unsigned: bool = False
) -> Tensor:
    if input.is_meta:  # where torch clamps in many steps of Python
        return torch.empty_like(input)
    if unsigned:
        lower = input if min is None else max_(input, min, unsigned=True)
        return lower if max is None else min_(lower, max, unsigned=True)
    if not input.is_floating_point():
        return input if min is None and max is None else torch.clamp(input, min, max)
    # a bound that is not given is the type's last finite number: infinity is beyond it
    last = torch.finfo(input.dtype).max
    if min is None and max is None:
        return torch.clamp(input, -last, last)
    lower = input.new_full((), -last) if min is None else min
    return torch.clamp(input, lower, input.new_full((), last) if max is None else max)


@op("Clip")
def clip_1(input: Tensor, *, min: float = -LARGEST, max: float = LARGEST) -> Tensor:
    return clip(input, _bound(input, min), _bound(input, max))


def _bound(x: Tensor, bound: float) -> Tensor:
    # made in float32 as the attribute is: bounds beyond float16 become infinite there
    return torch.full((), bound, device=x.device).to(x.dtype)
