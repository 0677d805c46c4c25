"""Attention without what particular operators add to it: by oneDNN where that is faster here."""

import math
from functools import lru_cache, partial
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812

from hetu.ops import native
from hetu.ops.kinds import Tensor
from hetu.ops.measure import is_much_faster

_LONG = 256
"""With more keys, oneDNN's library computes on few heads at a time, which some processors mind."""


def scaled_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    *,
    is_causal: bool = False,
    scale: float | None = None,
    has_empty: bool | None = False,
) -> Tensor:
    """`softmax(q @ k.T * scale + mask) @ v` of (batch, heads, length, size).

    Keys and values may have fewer heads, each for as many of the queries'. Where a mask is not of
    floats, it says which keys a query sees. Without a scale, it is `1 / sqrt(size)`. The results
    of queries that see no key are 0, if it may have (`has_empty`) such, or None says that this is
    not known. It is differentiable once.
    """
    if not has_empty and suits_library(k.shape[2] > _LONG):
        y = _by_library(q, k, v, mask, is_causal, scale, has_empty is None)
        if y is not None:
            return y
    is_grouped = q.shape[1] != k.shape[1]
    options = {"is_causal": is_causal, "scale": scale, "enable_gqa": is_grouped}
    if native.is_recording():
        return native.record_attention(q, k, v, mask, options)
    return F.scaled_dot_product_attention(q, k, v, mask, **options)


@lru_cache(2)
@torch.no_grad()
@native.unrecorded()
def suits_library(is_long: bool) -> bool:
    """Whether oneDNN is faster, with more than `_LONG` keys if it `is_long`; it is measured once.

    torch's kernel uses MKL, which is made for Intel's processors.
    """
    x = torch.full((1, 12, 2 * _LONG if is_long else _LONG // 2, 64), 0.5)
    if not (native.has_wide_products() and native.suits_attention(x)):
        return False
    usual = partial(F.scaled_dot_product_attention, x, x, x)
    return is_much_faster(usual, partial(native.attention, x, x, x, None, 0.125, False))


def _by_library(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    is_causal: bool,
    scale: float | None,
    may_be_empty: bool,
) -> Tensor | None:
    """The result; None where the library cannot compute it, or is slower."""
    if not native.suits_attention(q, k, v) or {q.ndim, k.ndim, v.ndim} != {4}:
        return None
    if mask is not None:
        if mask.ndim > 4:
            return None
        mask = _of_floats(mask)
        if not native.suits_attention(mask) or mask.requires_grad:
            return None
        if may_be_empty and mask.isneginf().any():
            return None
    if k.shape[1] != q.shape[1]:
        k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    trains = torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v))
    with torch.no_grad():
        made = native.attention(q, k, v, mask, scale, is_causal, trains)
    if made is None:
        return None
    return _Trained.apply(q, k, v, scale, *made) if trains else made[0]


def _of_floats(mask: Tensor) -> Tensor:
    """A mask (batch, heads, queries, keys) to be added, in which nothing is repeated."""
    mask = mask[(None,) * (4 - mask.ndim)]
    for axis in range(4):
        if not mask.stride(axis):
            mask = mask.narrow(axis, 0, 1)
    if mask.dtype is torch.bool:
        return torch.zeros(mask.shape).masked_fill(~mask, -math.inf)
    return mask


class _Trained(torch.autograd.Function):
    """A result that has been computed, with its gradients."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, scale: float, result: Tensor, weights: Tensor
    ) -> Tensor:
        ctx.save_for_backward(q, k, v, weights)
        ctx.scale = scale
        return result.view_as(result)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weights = ctx.saved_tensors
        gradients = native.attention_gradient(gradient, q, k, v, weights, ctx.scale)
        return *gradients, None, None, None
