"""Reductions along axes, positions of extremes, cumulative sums and products."""

import math
from collections.abc import Callable

import torch

from hetu.ops import unsigned as uint64
from hetu.ops.kinds import Indices, Ints, Tensor
from hetu.ops.registry import op


def _reduced_axes(data: Tensor, axes: Ints | None, noop: bool = False) -> Ints:
    """The axes to reduce, in descending order and from the front."""
    if not axes:
        return () if noop else tuple(reversed(range(data.ndim)))
    if not data.ndim:  # ONNX Runtime takes 0 and -1 for axes of a scalar
        return ()
    return tuple(sorted({axis % data.ndim for axis in axes}, reverse=True))


def _sum(data: Tensor, axes: Ints, keepdims: bool) -> Tensor:
    # torch takes an empty tuple for all axes
    return torch.sum(data, axes, keepdims, dtype=data.dtype) if axes else data


def _real(data: Tensor, unsigned: bool) -> Tensor:
    """Integers as float64; floats as they are."""
    if data.is_floating_point():
        return data
    real = data.double()
    return torch.where(data < 0, real + 2.0**64, real) if unsigned else real


@op("ReduceSum", since=13)
def reduce_sum(
    data: Tensor,
    axes: Ints | None = None,
    *,
    keepdims: bool = True,
    noop_with_empty_axes: bool = False,
) -> Tensor:
    return _sum(data, _reduced_axes(data, axes, noop_with_empty_axes), keepdims)


@op("ReduceSum")
def reduce_sum_1(data: Tensor, *, axes: Ints | None = None, keepdims: bool = True) -> Tensor:
    return reduce_sum(data, axes, keepdims=keepdims)


@op("ReduceMean", since=18)
def reduce_mean(
    data: Tensor,
    axes: Ints | None = None,
    *,
    keepdims: bool = True,
    noop_with_empty_axes: bool = False,
    unsigned: bool = False,
) -> Tensor:
    reduced = _reduced_axes(data, axes, noop_with_empty_axes)
    if not reduced:
        return data
    if data.is_floating_point():
        return torch.mean(data, reduced, keepdims)
    total = _sum(data, reduced, keepdims)
    # the mean of no integers is left open
    count = torch.full_like(total, max(1, math.prod(data.shape[axis] for axis in reduced)))
    if unsigned:
        return uint64.divide(total, count)
    return torch.div(total, count, rounding_mode="trunc")


@op("ReduceMean")
def reduce_mean_1(
    data: Tensor, *, axes: Ints | None = None, keepdims: bool = True, unsigned: bool = False
) -> Tensor:
    return reduce_mean(data, axes, keepdims=keepdims, unsigned=unsigned)


@op("ReduceProd", since=18)
def reduce_prod(
    data: Tensor,
    axes: Ints | None = None,
    *,
    keepdims: bool = True,
    noop_with_empty_axes: bool = False,
) -> Tensor:
    for axis in _reduced_axes(data, axes, noop_with_empty_axes):
        data = torch.prod(data, axis, keepdims, dtype=data.dtype)
    return data


@op("ReduceProd")
def reduce_prod_1(data: Tensor, *, axes: Ints | None = None, keepdims: bool = True) -> Tensor:
    return reduce_prod(data, axes, keepdims=keepdims)


@op("ReduceSumSquare", since=18)
def reduce_sum_square(
    data: Tensor,
    axes: Ints | None = None,
    *,
    keepdims: bool = True,
    noop_with_empty_axes: bool = False,
) -> Tensor:
    return _sum(data * data, _reduced_axes(data, axes, noop_with_empty_axes), keepdims)


@op("ReduceSumSquare")
def reduce_sum_square_1(data: Tensor, *, axes: Ints | None = None, keepdims: bool = True) -> Tensor:
    return reduce_sum_square(data, axes, keepdims=keepdims)


@op("ReduceL1", since=18)
def reduce_l1(
    data: Tensor,
    axes: Ints | None = None,
    *,
    keepdims: bool = True,
    noop_with_empty_axes: bool = False,
    unsigned: bool = False,
) -> Tensor:
    reduced = _reduced_axes(data, axes, noop_with_empty_axes)
    if data.is_floating_point() and reduced:
        return torch.linalg.vector_norm(data, 1, reduced, keepdims)
    return _sum(data if unsigned else data.abs(), reduced, keepdims)


@op("ReduceL1")
def reduce_l1_1(
    data: Tensor, *, axes: Ints | None = None, keepdims: bool = True, unsigned: bool = False
) -> Tensor:
    return reduce_l1(data, axes, keepdims=keepdims, unsigned=unsigned)


@op("ReduceL2", since=18)
def reduce_l2(
    data: Tensor,
    axes: Ints | None = None,
    *,
    keepdims: bool = True,
    noop_with_empty_axes: bool = False,
    unsigned: bool = False,
) -> Tensor:
    reduced = _reduced_axes(data, axes, noop_with_empty_axes)
    if not data.is_floating_point():
        squares = _real(_sum(data * data, reduced, keepdims), unsigned)
        return squares.sqrt().to(data.dtype)
    return torch.linalg.vector_norm(data, 2, reduced, keepdims) if reduced else data.abs()


@op("ReduceL2")
def reduce_l2_1(
    data: Tensor, *, axes: Ints | None = None, keepdims: bool = True, unsigned: bool = False
) -> Tensor:
    return reduce_l2(data, axes, keepdims=keepdims, unsigned=unsigned)


@op("ReduceLogSum", since=18)
def reduce_log_sum(
    data: Tensor,
    axes: Ints | None = None,
    *,
    keepdims: bool = True,
    noop_with_empty_axes: bool = False,
    unsigned: bool = False,
) -> Tensor:
    total = _sum(data, _reduced_axes(data, axes, noop_with_empty_axes), keepdims)
    return _real(total, unsigned).log().to(data.dtype)


@op("ReduceLogSum")
def reduce_log_sum_1(
    data: Tensor, *, axes: Ints | None = None, keepdims: bool = True, unsigned: bool = False
) -> Tensor:
    return reduce_log_sum(data, axes, keepdims=keepdims, unsigned=unsigned)


@op("ReduceLogSumExp", since=18)
def reduce_log_sum_exp(
    data: Tensor,
    axes: Ints | None = None,
    *,
    keepdims: bool = True,
    noop_with_empty_axes: bool = False,
    unsigned: bool = False,
) -> Tensor:
    reduced = _reduced_axes(data, axes, noop_with_empty_axes)
    if not reduced:
        return data
    return torch.logsumexp(_real(data, unsigned), reduced, keepdims).to(data.dtype)


@op("ReduceLogSumExp")
def reduce_log_sum_exp_1(
    data: Tensor, *, axes: Ints | None = None, keepdims: bool = True, unsigned: bool = False
) -> Tensor:
    return reduce_log_sum_exp(data, axes, keepdims=keepdims, unsigned=unsigned)


@op("ReduceMax", since=18)
def reduce_max(
    data: Tensor,
    axes: Ints | None = None,
    *,
    keepdims: bool = True,
    noop_with_empty_axes: bool = False,
    unsigned: bool = False,
) -> Tensor:
    reduced = _reduced_axes(data, axes, noop_with_empty_axes)
    return _extreme(torch.amax, data, reduced, keepdims, unsigned, _bounds(data.dtype)[0])


@op("ReduceMax")
def reduce_max_1(
    data: Tensor, *, axes: Ints | None = None, keepdims: bool = True, unsigned: bool = False
) -> Tensor:
    return reduce_max(data, axes, keepdims=keepdims, unsigned=unsigned)


@op("ReduceMin", since=18)
def reduce_min(
    data: Tensor,
    axes: Ints | None = None,
    *,
    keepdims: bool = True,
    noop_with_empty_axes: bool = False,
    unsigned: bool = False,
) -> Tensor:
    reduced = _reduced_axes(data, axes, noop_with_empty_axes)
    return _extreme(torch.amin, data, reduced, keepdims, unsigned, _bounds(data.dtype)[1])


@op("ReduceMin")
def reduce_min_1(
    data: Tensor, *, axes: Ints | None = None, keepdims: bool = True, unsigned: bool = False
) -> Tensor:
    return reduce_min(data, axes, keepdims=keepdims, unsigned=unsigned)


def _bounds(element: torch.dtype) -> tuple[float, float]:
    """The least and the greatest value of a type."""
    if element.is_floating_point:
        return -torch.inf, torch.inf
    if element is torch.bool:
        return False, True
    info = torch.iinfo(element)
    return info.min, info.max


def _extreme(
    function: Callable[..., Tensor],
    data: Tensor,
    axes: Ints,
    keepdims: bool,
    unsigned: bool,
    of_nothing: float,
) -> Tensor:
    if not axes:
        return data
    if any(data.shape[axis] == 0 for axis in axes):
        # one element along every empty axis, which torch.amax refuses
        shape = [1 if i in axes else size for i, size in enumerate(data.shape)]
        data = data.new_full(shape, of_nothing)
    else:
        data = uint64.ordered(data, unsigned)
    return uint64.ordered(function(data, axes, keepdims), unsigned)


@op("ArgMax", since=12)
def arg_max(
    data: Tensor,
    *,
    axis: int = 0,
    keepdims: bool = True,
    select_last_index: bool = False,
    unsigned: bool = False,
) -> Indices:
    return _position(torch.argmax, data, axis, keepdims, select_last_index, unsigned)


@op("ArgMax")
def arg_max_1(
    data: Tensor, *, axis: int = 0, keepdims: bool = True, unsigned: bool = False
) -> Indices:
    return arg_max(data, axis=axis, keepdims=keepdims, unsigned=unsigned)


@op("ArgMin", since=12)
def arg_min(
    data: Tensor,
    *,
    axis: int = 0,
    keepdims: bool = True,
    select_last_index: bool = False,
    unsigned: bool = False,
) -> Indices:
    return _position(torch.argmin, data, axis, keepdims, select_last_index, unsigned)


@op("ArgMin")
def arg_min_1(
    data: Tensor, *, axis: int = 0, keepdims: bool = True, unsigned: bool = False
) -> Indices:
    return arg_min(data, axis=axis, keepdims=keepdims, unsigned=unsigned)


def _position(
    function: Callable[..., Tensor],
    data: Tensor,
    axis: int,
    keepdims: bool,
    select_last_index: bool,
    unsigned: bool,
) -> Tensor:
    """Where the extreme is; `function` finds its first occurrence."""
    data = uint64.ordered(data, unsigned)
    if not select_last_index:
        return function(data, axis, keepdims)
    return data.shape[axis] - 1 - function(data.flip(axis), axis, keepdims)


@op("CumSum", since=11)
def cum_sum(x: Tensor, axis: int, *, exclusive: bool = False, reverse: bool = False) -> Tensor:
    return _cumulative(torch.cumsum, x, axis, 0, exclusive, reverse)


@op("CumProd", since=26)
def cum_prod(x: Tensor, axis: int, *, exclusive: bool = False, reverse: bool = False) -> Tensor:
    return _cumulative(torch.cumprod, x, axis, 1, exclusive, reverse)


def _cumulative(
    function: Callable[..., Tensor],
    x: Tensor,
    axis: int,
    identity: int,
    exclusive: bool,
    reverse: bool,
) -> Tensor:
    if reverse:
        flipped = _cumulative(function, x.flip(axis), axis, identity, exclusive, False)
        return flipped.flip(axis)
    if exclusive:
        axis, size = axis % x.ndim, x.shape[axis]
        first = x.new_full((*x.shape[:axis], 1, *x.shape[axis + 1 :]), identity)
        x = torch.cat([first, x], axis).narrow(axis, 0, size)
    return function(x, axis, dtype=x.dtype)
