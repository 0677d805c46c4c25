"""Attention of groups of query heads that share keys and values; which keys each query sees."""

import math
from dataclasses import dataclass

import torch
from torch.nn import functional as F  # noqa: N812

from hetu.errors import ModelError
from hetu.ops.ai_onnx.attention import rotary_embedding
from hetu.ops.kinds import Tensor
from hetu.ops.scaled_attention import scaled_attention


@dataclass(frozen=True, slots=True)
class Softmax:
    """How scores become weights.

    `sink` is the score, per head, of a key that all queries see and that has no value.
    """

    scale: float | None = None
    softcap: float = 0.0
    sink: Tensor | None = None


def by_heads(
    query: Tensor, key: Tensor | None, value: Tensor | None, heads: int, kv_heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    """(..., heads, length, size) of (..., length, heads * size).

    Without keys, the queries hold all three in a row.
    """
    counts = [heads, kv_heads, kv_heads]
    if key is None or value is None:
        both = query.unflatten(-1, (sum(counts), -1)).transpose(-3, -2)
        q, k, v = both.split(counts, -3)
        return q, k, v
    q, k, v = (
        x.unflatten(-1, (count, -1)).transpose(-3, -2)
        for x, count in zip((query, key, value), counts, strict=True)
    )
    return q, k, v


def normalized(x: Tensor, weight: Tensor | None, epsilon: float) -> Tensor:
    """Each head divided by its root mean square."""
    return x if weight is None else F.rms_norm(x, x.shape[-1:], weight, epsilon)


def rotated(
    x: Tensor, cos: Tensor | None, sin: Tensor | None, positions: Tensor, interleaved: bool
) -> Tensor:
    """(batch, heads, length, size) with as many of its numbers turned as the caches have pairs."""
    if cos is None or sin is None:
        raise ModelError("do_rotary needs cos_cache and sin_cache")
    # the positions of padding may lie beyond the cache
    places = positions.clamp(0, cos.shape[0] - 1)
    return rotary_embedding(
        x, cos, sin, places, interleaved=interleaved, rotary_embedding_dim=2 * cos.shape[-1]
    )


def visible_keys(positions: Tensor, totals: Tensor, size: int, causal: bool, window: int) -> Tensor:
    """Which of `size` keys each query sees, (batch, 1, queries, keys).

    `positions` are the queries', (batch, queries); `totals` says how many keys a sequence has.
    """
    keys = torch.arange(size, device=positions.device)
    ends = totals.reshape(-1, 1, 1, 1)
    visible = (keys < ends).expand(-1, -1, positions.shape[1], -1)
    queries = positions[:, None, :, None]
    if causal:
        visible = visible & (keys <= queries)
    if window > 0:
        visible = visible & (keys > queries - window)
    # padding sees something, so that there are no rows without numbers
    return visible | (queries >= ends)


def attended(
    q: Tensor, k: Tensor, v: Tensor, visible: Tensor, bias: Tensor | None, softmax: Softmax
) -> Tensor:
    """The values that queries see, weighed."""
    if softmax.softcap or softmax.sink is not None:
        y, _, _ = written_out(q, k, v, visible, bias, softmax)
        return y
    mask = visible if bias is None else _added(visible, bias, q.dtype)
    mask = mask.expand(*mask.shape[:2], q.shape[2], k.shape[2])
    return scaled_attention(q, k, v, mask, scale=softmax.scale or None)


def written_out(
    q: Tensor, k: Tensor, v: Tensor, visible: Tensor, bias: Tensor | None, softmax: Softmax
) -> tuple[Tensor, Tensor, Tensor]:
    """The result, and the scores before and after the softmax."""
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    scores = (q * (softmax.scale or 1 / math.sqrt(q.shape[-1]))) @ k.transpose(-1, -2)
    if softmax.softcap:
        scores = torch.tanh(scores / softmax.softcap) * softmax.softcap
    scores = scores + _added(visible, bias, q.dtype)
    logits = scores
    if softmax.sink is not None:
        column = softmax.sink.to(q.dtype).reshape(-1, 1, 1).expand(*scores.shape[:3], 1)
        logits = torch.cat((scores, column), -1)
    weights = logits.softmax(-1)[..., : scores.shape[-1]]
    return weights @ v, scores, weights


def _added(visible: Tensor, bias: Tensor | None, dtype: torch.dtype) -> Tensor:
    """What is added to the scores."""
    if bias is None:
        return torch.zeros_like(visible, dtype=dtype).masked_fill(~visible, -math.inf)
    bias = F.pad(bias, (0, visible.shape[-1] - bias.shape[-1]))
    return torch.where(visible, bias, -math.inf)
