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


@rule("flip", "roll", "tril", "triu")
def _moved(x: Tensor, *args: Any) -> Tensor:
    return made(x.shape, x.dtype)


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


@rule("mean", "sum", "amax", "amin")
def _reduced(
    x: Tensor, dim: Any = None, keepdim: Any = False, *, dtype: torch.dtype | None = None
) -> Tensor | None:
    if not x.is_floating_point() or isinstance(dim, str) or not isinstance(keepdim, bool):
        return None
    axes = range(x.ndim) if dim is None or not len(dim) else [axis % x.ndim for axis in dim]
    if len(set(axes)) != len(axes) or (keepdim and not x.ndim) or not prod(x.shape):
        return None
    sizes = enumerate(x.shape)
    kept = [1 if axis in axes else size for axis, size in sizes if keepdim or axis not in axes]
    return made(kept, dtype or x.dtype)


@rule("argmax", "argmin")
def _position(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor | None:
    if dim is None or not prod(x.shape) or not x.ndim:
        return None
    axis = dim % x.ndim
    return made((*x.shape[:axis], *((1,) * keepdim), *x.shape[axis + 1 :]), torch.int64)
