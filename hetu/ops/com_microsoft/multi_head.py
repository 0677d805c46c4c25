"""Attention of as many query heads as there are heads of keys and values: forms, masks, caches."""

import math
from collections.abc import Sequence

import torch

from hetu.errors import ModelError
from hetu.ops.kinds import Ints, Tensor
from hetu.ops.scaled_attention import scaled_attention


def projected(
    x: Tensor, weights: Tensor, bias: Tensor | None, heads: int, sizes: Ints | None
) -> Sequence[Tensor]:
    """Queries, keys and values by heads; x is (batch, length, size)."""
    qkv = x @ weights if bias is None else x @ weights + bias
    parts = qkv.split(list(sizes), -1) if sizes else qkv.chunk(3, -1)
    return [by_heads(part, heads) for part in parts]


def by_heads(x: Tensor, count: int) -> Tensor:
    """(batch, length, heads * size) as (batch, heads, length, size)."""
    return x.unflatten(-1, (count, -1)).transpose(1, 2)


def in_a_row(x: Tensor) -> Tensor:
    """The inverse of `by_heads`."""
    return x.transpose(1, 2).flatten(2)


def extended(past: Tensor | None, new: Tensor, length: int | None) -> tuple[Tensor, Tensor]:
    """All keys or values up to now, and the cache that holds them.

    They are the same, but where `length` says how much of a cache with a size of its own is filled.
    """
    if past is None:
        return new, new
    if length is None:
        total = torch.cat((past, new), 2)
        return total, total
    total = torch.cat((past[:, :, :length], new), 2)
    return total, torch.cat((total, past[:, :, total.shape[2] :]), 2)


def by_beams(cache: Tensor, indirection: Tensor | None) -> Tensor:
    """A cache (batch * beams, heads, length, size) with each beam's history put together.

    `indirection`, (batch, beams, length), says which beam a token of a beam comes from.
    """
    if indirection is None:
        return cache
    batch, beams = indirection.shape[:2]
    first = torch.arange(batch, device=cache.device)[:, None, None] * beams
    rows = (first + indirection[..., : cache.shape[2]]).flatten(0, 1).long()
    places = torch.arange(cache.shape[2], device=cache.device)
    return cache.transpose(1, 2)[rows, places].transpose(1, 2)


def score_bias(
    q: Tensor,
    k: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    filter_value: float,
    is_causal: bool,
) -> Tensor | None:
    """What is added to the scores; None where that is nothing."""
    q_length, total = q.shape[2], k.shape[2]
    if mask is not None:
        value = max(filter_value, torch.finfo(q.dtype).min)
        hidden = ~_unmasked(mask, q.shape[0], q_length, total)
        padding = torch.zeros_like(hidden, dtype=q.dtype).masked_fill(hidden, value)
        bias = padding if bias is None else bias + padding
    if is_causal and q_length > 1:
        future = q.new_ones(q_length, total, dtype=torch.bool).triu(total - q_length + 1)
        bias = q.new_zeros(()) if bias is None else bias
        bias = torch.where(future, -math.inf, bias)
    return bias


def _unmasked(mask: Tensor, batch: int, q_length: int, total: int) -> Tensor:
    """Which keys count, as (batch, 1, 1 or queries, keys), from any form that masks come in.

    Those of one dimension hold the ends of the sequences; twice as many, their starts too; what
    follows the ends in (3 * batch + 2) only helps other kernels.
    """
    if mask.ndim == 1:
        keys = torch.arange(total, device=mask.device)
        visible = keys < mask[:batch, None]
        if len(mask) == 2 * batch:
            visible = visible & (keys >= mask[batch:, None])
        return visible[:, None, None]
    if mask.ndim == 4:
        return mask[:, :, total - q_length : total, :total] > 0
    return mask[:, None, None] > 0 if mask.ndim == 2 else mask[:, None] > 0


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float | None) -> Tensor:
    """The values, weighed by how well keys fit queries."""
    if bias is not None:
        bias = bias.to(q.dtype).expand(*q.shape[:3], k.shape[2])
    return scaled_attention(q, k, v, bias, scale=scale or None, has_empty=None)


def scaled_scores(q: Tensor, k: Tensor, scale: float | None) -> Tensor:
    """How well keys fit queries, before the softmax."""
    return (q * (scale or 1 / math.sqrt(q.shape[-1]))) @ k.transpose(-1, -2)


def separated(
    query: Tensor, key: Tensor | None, value: Tensor | None, heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values by heads, from any form that they come in.

    With three dimensions they are (batch, length, heads * size), with four they are by heads
    already, with five they are several in one: (batch, length, heads, 2 or 3, size).
    """
    if key is None:
        packed = query if query.ndim == 5 else query.unflatten(-1, (3, heads, -1)).transpose(2, 3)
        q, k, v = packed.transpose(1, 2).unbind(3)
        return q, k, v
    q = by_heads(query, heads)
    if key.ndim == 5:
        k, v = key.transpose(1, 2).unbind(3)
        return q, k, v
    if value is None:
        raise ModelError("there are keys, but no values")
    k, v = (x if x.ndim == 4 else by_heads(x, heads) for x in (key, value))
    return q, k, v


def biased(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor, is_cached: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """With the biases of the projections, which keys and values from a cache have already."""
    heads = q.shape[1]
    sizes = [heads * x.shape[-1] for x in (q, k, v)]
    of_q, of_k, of_v = (part.reshape(heads, 1, -1) for part in bias.split(sizes))
    return (q + of_q, k, v) if is_cached else (q + of_q, k + of_k, v + of_v)
