"""Operators that pick, join and reduce along axes."""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from hetu.runtime.meta.rules import broadcast, made, rule


@rule("cat")
def _cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor | None:
    first = tensors[0]
    axis = dim % max(first.ndim, 1)
    shapes = {(t.shape[:axis], t.shape[axis + 1 :], t.dtype, t.is_meta, t.ndim) for t in tensors}
    if len(shapes) != 1 or not first.ndim:
        return None
    size = sum(tensor.shape[axis] for tensor in tensors)
    return made((*first.shape[:axis], size, *first.shape[axis + 1 :]), first.dtype)


@rule("index")
def _index(x: Tensor, indices: Sequence[Tensor | None]) -> Tensor | None:
    """Indices of neighbouring axes."""
    given = [axis for axis, index in enumerate(indices) if index is not None]
    tensors = [index for index in indices if index is not None]
    if not given or given[-1] - given[0] + 1 != len(given):
        return None
    if any(index.dtype not in (torch.int64, torch.int32) for index in tensors):
        return None
    return made((*x.shape[: given[0]], *broadcast(*tensors), *x.shape[given[-1] + 1 :]), x.dtype)


@rule("index_select")
def _index_select(x: Tensor, dim: int, index: Tensor) -> Tensor | None:
    if not x.ndim or index.ndim != 1:
        return None
    axis = dim % x.ndim
    return made((*x.shape[:axis], len(index), *x.shape[axis + 1 :]), x.dtype)


@rule("embedding")
def _embedding(weight: Tensor, indices: Tensor, *args: Any) -> Tensor | None:
    return made((*indices.shape, *weight.shape[1:]), weight.dtype) if weight.ndim == 2 else None


@rule("gather")
def _gather(x: Tensor, dim: int, index: Tensor, **options: Any) -> Tensor:
    return made(index.shape, x.dtype)


@rule("stack")
def _stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor | None:
    first = tensors[0]
    if len({(t.shape, t.dtype, t.is_meta) for t in tensors}) != 1:
        return None
    axis = dim % (first.ndim + 1)
    return made((*first.shape[:axis], len(tensors), *first.shape[axis:]), first.dtype)


@rule(
    "_fft_c2c", "flip", "index_add", "index_copy", "index_put", "nan_to_num", "roll", "scatter",
    "scatter_add", "scatter_reduce", "tril", "triu",
)  # fmt: skip
def _alike(x: Tensor, *args: Any, **options: Any) -> Tensor:
    return made(x.shape, x.dtype)


@rule("searchsorted")
def _places(numbers: Tensor, x: Any, *, out_int32: bool = False, **options: Any) -> Tensor | None:
    kind = torch.int32 if out_int32 else torch.int64
    return made(x.shape, kind) if isinstance(x, Tensor) else None


@rule("_cdist_forward")
def _distances(x: Tensor, y: Tensor, *args: Any) -> Tensor | None:
    is_plain = x.ndim == y.ndim == 2 and x.dtype is y.dtype and x.shape[1] == y.shape[1]
    return made((len(x), len(y)), x.dtype) if is_plain else None


@rule("sort")
def _sort(x: Tensor, *args: Any, **options: Any) -> tuple[Tensor, Tensor]:
    return made(x.shape, x.dtype), made(x.shape, torch.int64)


@rule("nonzero")
def _nonzero(x: Tensor) -> Tensor:
    """How many there are is not known; torch says so, too, but takes half a second to find out."""
    raise NotImplementedError("the shape of what nonzero returns depends on the elements")


@rule("repeat")
def _repeat(x: Tensor, repeats: Sequence[int]) -> Tensor | None:
    if len(repeats) < x.ndim:
        return None
    sizes = (*(1 for _ in range(len(repeats) - x.ndim)), *x.shape)
    return made((n * r for n, r in zip(sizes, repeats, strict=True)), x.dtype)


@rule("topk")
def _topk(x: Tensor, k: int, dim: int = -1, *args: Any) -> tuple[Tensor, Tensor] | None:
    if not x.ndim or k > x.shape[dim]:
        return None
    sizes = list(x.shape)
    sizes[dim] = k
    return made(sizes, x.dtype), made(sizes, torch.int64)


@rule("mean", "sum", "amax", "amin", "prod", "logsumexp")
def _reduced(
    x: Tensor, dim: Any = None, keepdim: Any = False, *, dtype: torch.dtype | None = None
) -> Tensor | None:
    sizes = _left(x, dim, keepdim) if x.is_floating_point() else None
    return None if sizes is None else made(sizes, dtype or x.dtype)


@rule("any", "all")
def _truth(x: Tensor, dim: Any = None, keepdim: Any = False) -> Tensor | None:
    sizes = _left(x, dim, keepdim) if x.dtype is not torch.uint8 else None
    return None if sizes is None else made(sizes, torch.bool)


@rule("linalg_vector_norm")
def _norm(
    x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *,
    dtype: torch.dtype | None = None,
) -> Tensor | None:  # fmt: skip
    return _reduced(x, dim, keepdim, dtype=dtype)


@rule("var", "std")
def _spread(
    x: Tensor, dim: Any = None, *args: Any, correction: Any = None, keepdim: bool = False
) -> Tensor | None:
    return None if args else _reduced(x, dim, keepdim)


@rule("var_mean", "std_mean")
def _spread_and_mean(x: Tensor, *args: Any, **options: Any) -> tuple[Tensor, Tensor] | None:
    found = _spread(x, *args, **options)
    return None if found is None else (found, made(found.shape, found.dtype))


def _left(x: Tensor, dim: Any, keepdim: Any) -> list[int] | None:
    """The sizes that a reduction leaves; None where it is not known to be one."""
    if isinstance(dim, str) or not isinstance(keepdim, bool):
        return None
    named = [dim] if isinstance(dim, int) else dim
    axes = range(x.ndim) if named is None or not len(named) else [axis % x.ndim for axis in named]
    if len(set(axes)) != len(axes) or (keepdim and not x.ndim) or not prod(x.shape):
        return None
    sizes = enumerate(x.shape)
    return [1 if axis in axes else size for axis, size in sizes if keepdim or axis not in axes]


@rule("cumprod", "cumsum", "logcumsumexp")
def _running(x: Tensor, dim: int, *, dtype: torch.dtype | None = None) -> Tensor | None:
    kind = dtype or (x.dtype if x.is_floating_point() else torch.int64)
    return None if x.is_complex() else made(x.shape, kind)


@rule(*(f"{kind}_pad{rank}d" for kind in ("reflection", "replication") for rank in (1, 2, 3)))
def _padded(x: Tensor, padding: Sequence[int]) -> Tensor | None:
    sizes = list(x.shape)
    for index, amount in enumerate(padding):
        sizes[-1 - index // 2] += amount
    return made(sizes, x.dtype) if min(sizes) > 0 else None


@rule("argmax", "argmin")
def _position(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor | None:
    if dim is None or not prod(x.shape) or not x.ndim:
        return None
    axis = dim % x.ndim
    return made((*x.shape[:axis], *((1,) * keepdim), *x.shape[axis + 1 :]), torch.int64)
