"""Products of matrices, and normalizations."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hetu.runtime.meta.rules import broadcast, made, rule


@rule("mm", "bmm")
def _product(a: Tensor, b: Tensor, **options: Any) -> Tensor | None:
    is_sound = a.dtype is b.dtype and a.shape[-1] == b.shape[-2] and a.shape[:-2] == b.shape[:-2]
    return made((*a.shape[:-1], b.shape[-1]), a.dtype) if is_sound and not options else None


@rule("addmm", "baddbmm")
def _product_plus(bias: Tensor, a: Tensor, b: Tensor, *args: Any, **options: Any) -> Tensor | None:
    product = _product(a, b) if bias.dtype is a.dtype else None
    if product is None or broadcast(bias, product) != product.shape:
        return None
    return product


@rule("mv")
def _matrix_vector(a: Tensor, b: Tensor) -> Tensor | None:
    is_sound = a.dtype is b.dtype and a.ndim == 2 and a.shape[1:] == b.shape
    return made(a.shape[:1], a.dtype) if is_sound else None


@rule("native_layer_norm")
def _layer_norm(
    x: Tensor, shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, epsilon: float
) -> tuple[Tensor, Tensor, Tensor] | None:
    rank = x.ndim - len(shape)
    if any(t is not None and t.dtype is not x.dtype for t in (weight, bias)):
        return None
    statistics = (*x.shape[:rank], *(1 for _ in shape))
    kept = torch.float32 if x.dtype in (torch.float16, torch.bfloat16) else x.dtype
    return made(x.shape, x.dtype), made(statistics, kept), made(statistics, kept)


@rule("native_group_norm")
def _group_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    batch: int,
    channels: int,
    positions: int,
    groups: int,
    epsilon: float,
) -> tuple[Tensor, Tensor, Tensor] | None:
    is_plain = x.dtype in (torch.float32, torch.float64) and _are_of(x.dtype, weight, bias)
    if not is_plain or not groups or channels % groups or x.shape[1] != channels:
        return None
    return made(x.shape, x.dtype), made((batch, groups), x.dtype), made((batch, groups), x.dtype)


@rule("native_batch_norm")
def _batch_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor | None,
    variance: Tensor | None,
    training: bool,
    *args: Any,
) -> tuple[Tensor, Tensor, Tensor] | None:
    given = weight, bias, mean, variance
    if x.dtype not in (torch.float32, torch.float64) or not _are_of(x.dtype, *given):
        return None
    if any(t is not None and t.shape != x.shape[1:2] for t in given):
        return None
    saved = made(x.shape[1:2] if training else (0,), x.dtype)
    return made(x.shape, x.dtype), saved, saved


def _are_of(dtype: torch.dtype, *tensors: Tensor | None) -> bool:
    return all(t is None or t.dtype is dtype for t in tensors)
