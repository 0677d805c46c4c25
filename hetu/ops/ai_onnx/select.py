"""Choosing parts of a tensor: slices, masks, the largest or unique elements, triangles, one-hot."""

import torch

from hetu.ops.indices import from_start
from hetu.ops.kinds import Any, Indices, Ints, Mask, Tensor
from hetu.ops.registry import op
from hetu.ops.unsigned import ordered


@op("Slice", since=10)
def slice_(
    data: Tensor, starts: Ints, ends: Ints, axes: Ints | None = None, steps: Ints | None = None
) -> Tensor:
    axes = tuple(range(len(starts))) if axes is None else axes
    steps = (1,) * len(starts) if steps is None else steps
    index, reversed_axes = [slice(None)] * data.ndim, []
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        chosen = _steps(start, end, step, data.shape[axis])
        if step < 0:
            reversed_axes.append(axis)
            chosen = chosen[::-1]
        index[axis] = slice(chosen.start, max(chosen.start, chosen.stop), chosen.step)
    sliced = data[tuple(index)]
    return sliced.flip(reversed_axes) if reversed_axes else sliced


def _steps(start: int, end: int, step: int, size: int) -> range:
    """The indices that a slice takes.

    Backward from before the beginning is from the first element; in Python, it is nothing.
    """
    start, end = (bound + size if bound < 0 else bound for bound in (start, end))
    if step > 0:
        return range(min(max(start, 0), size), min(max(end, 0), size), step)
    return range(min(max(start, 0), size - 1), min(max(end, -1), size - 1), step)


@op("Slice")
def slice_1(data: Tensor, *, ends: Ints, starts: Ints, axes: Ints | None = None) -> Tensor:
    return slice_(data, starts, ends, axes)


@op("DynamicSlice")
def dynamic_slice(data: Tensor, starts: Ints, ends: Ints, axes: Ints | None = None) -> Tensor:
    """The experimental operator that became Slice."""
    return slice_(data, starts, ends, axes)


@op("OneHot", since=11, fixed=("values",))
def one_hot(indices: Any, depth: int, values: Tensor, *, axis: int = -1) -> Tensor:
    return one_hot_9(from_start(indices, depth), depth, values, axis=axis)


@op("OneHot", since=9, fixed=("values",))
def one_hot_9(indices: Any, depth: int, values: Tensor, *, axis: int = -1) -> Tensor:
    classes = torch.arange(depth, device=indices.device)
    is_on = (indices.long().unsqueeze(-1) == classes).movedim(-1, axis)
    return torch.where(is_on, values[1], values[0])


@op("NonZero", since=9)
def non_zero(x: Tensor) -> Indices:
    return x.nonzero().T


@op("Compress", since=9)
def compress(input: Tensor, condition: Mask, *, axis: int | None = None) -> Tensor:
    if axis is None:
        input, axis = input.reshape(-1), 0
    return input.index_select(axis, condition.nonzero().reshape(-1))


@op("TopK", since=10)
def top_k(
    x: Tensor,
    k: int,
    *,
    axis: int = -1,
    largest: int = 1,
    sorted: int = 1,
    unsigned: bool = False,
) -> tuple[Tensor, Indices]:
    axis %= x.ndim
    if x.dtype in (torch.int64, torch.float64):
        keys = ordered(x.detach(), unsigned)
        order = torch.sort(keys, dim=axis, descending=bool(largest), stable=True).indices
        indices = order.narrow(axis, 0, k)
    else:
        keys = _distinct_keys(x.detach(), axis, bool(largest))
        indices = keys.topk(k, dim=axis, largest=bool(largest), sorted=True).indices
    return x.gather(axis, indices), indices


def _distinct_keys(x: torch.Tensor, axis: int, largest: bool) -> torch.Tensor:
    """Integers in the order of the values, equal values ordered so that lower indices come first.

    `torch.topk` leaves open which of several equal elements it takes; a stable sort of everything
    takes ten times as long.
    """
    if x.is_floating_point():
        bits = (x.float() + 0.0).view(torch.int32)  # -0.0 + 0.0 is 0.0
        x = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    ranks = torch.arange(x.shape[axis], device=x.device)
    ranks = ranks.reshape(-1, *(1,) * (x.ndim - axis - 1))
    return (x.long() << 32) + (ranks.flip(0) if largest else ranks)


@op("TopK")
def top_k_1(x: Tensor, *, k: int, axis: int = -1) -> tuple[Tensor, Indices]:
    return top_k(x, k, axis=axis)


@op("Unique", since=11)
def unique(
    x: Tensor, *, axis: int | None = None, sorted: int = 1, unsigned: bool = False
) -> tuple[Tensor, Indices | None, Indices | None, Indices | None]:
    if axis is None:
        x, axis = x.reshape(-1), 0
    keys, dim = (
        (ordered(x.detach(), unsigned), axis) if x.numel() else (x.new_zeros(x.shape[axis]), 0)
    )
    _, inverse, counts = torch.unique(keys, return_inverse=True, return_counts=True, dim=dim)
    positions = torch.arange(inverse.shape[0], device=x.device)
    last = torch.full_like(counts, inverse.shape[0])
    first = last.scatter_reduce(0, inverse, positions, "amin")
    if not sorted:
        first, order = first.sort()
        inverse, counts = order.argsort()[inverse], counts[order]
    return x.index_select(axis, first), first, inverse, counts


@op("Trilu", since=14)
def trilu(input: Tensor, k: int = 0, *, upper: int = 1) -> Tensor:
    return torch.triu(input, k) if upper else torch.tril(input, k)
