"""Attention of groups of heads over a cache, as generating language models have it."""

import math

import torch
from torch.nn import functional as F  # noqa: N812

from hetu.errors import ModelError, UnsupportedError
from hetu.ops.ai_onnx.attention import rotary_embedding as rotate
from hetu.ops.kinds import Any, Tensor
from hetu.ops.registry import op


@op("GroupQueryAttention", domain="com.microsoft")
def group_query_attention(
    query: Tensor,
    key: Tensor | None,
    value: Tensor | None,
    past_key: Tensor | None,
    past_value: Tensor | None,
    seqlens_k: Any,
    total_sequence_length: int,
    cos_cache: Tensor | None = None,
    sin_cache: Tensor | None = None,
    position_ids: Any | None = None,
    attention_bias: Tensor | None = None,
    head_sink: Tensor | None = None,
    k_scale: Tensor | None = None,
    v_scale: Tensor | None = None,
    q_norm_weight: Tensor | None = None,
    k_norm_weight: Tensor | None = None,
    query_seqlens: Any | None = None,
    *,
    causal: bool = True,
    do_rotary: bool = False,
    k_norm_epsilon: float | None = None,
    k_quant_type: str = "NONE",
    kv_cache_bit_width: int | None = None,
    kv_num_heads: int,
    local_window_size: int = -1,
    num_heads: int,
    q_norm_epsilon: float | None = None,
    qk_norm_epsilon: float = 1e-6,
    qk_output: int = 0,
    rotary_interleaved: bool = False,
    scale: float | None = None,
    sliding_window_cache: bool = False,
    smooth_softmax: int = -1,
    softcap: float = 0.0,
    v_quant_type: str = "NONE",
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    if sliding_window_cache or (k_quant_type, v_quant_type) != ("NONE", "NONE"):
        raise UnsupportedError("com.microsoft.GroupQueryAttention with a window or quantized cache")
    q, k, v = _separated(query, key, value, num_heads, kv_num_heads)
    q = _normalized(q, q_norm_weight, q_norm_epsilon or qk_norm_epsilon)
    k = _normalized(k, k_norm_weight, k_norm_epsilon or qk_norm_epsilon)
    totals = seqlens_k.reshape(-1).long() + 1
    starts = _starts(totals, q.shape[2], total_sequence_length, query_seqlens)
    positions = starts[:, None] + torch.arange(q.shape[2], device=q.device)
    if do_rotary:
        places = positions if position_ids is None else position_ids
        q, k = (_rotated(x, cos_cache, sin_cache, places, rotary_interleaved) for x in (q, k))
    k = _stored(past_key, k, positions, total_sequence_length)
    v = _stored(past_value, v, positions, total_sequence_length)
    visible = _visible(positions, totals, k.shape[2], causal, local_window_size)
    if head_sink is None and smooth_softmax == 1:
        head_sink = q.new_zeros(num_heads)
    if softcap or head_sink is not None or qk_output:
        y, *weights = _written_out(q, k, v, visible, attention_bias, scale, softcap, head_sink)
        scores = weights[qk_output - 1] if qk_output else None
    else:
        y, scores = _native(q, k, v, visible, attention_bias, scale), None
    return y.transpose(1, 2).flatten(2), k, v, scores


def _separated(
    query: Tensor, key: Tensor | None, value: Tensor | None, heads: int, kv_heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values by heads; without keys, the queries hold all three in a row."""
    if key is None or value is None:
        q, k, v = (
            query.unflatten(-1, (heads + 2 * kv_heads, -1))
            .transpose(1, 2)
            .split([heads, kv_heads, kv_heads], 1)
        )
        return q, k, v
    counts = (heads, kv_heads, kv_heads)
    q, k, v = (
        x.unflatten(-1, (count, -1)).transpose(1, 2)
        for x, count in zip((query, key, value), counts, strict=True)
    )
    return q, k, v


def _normalized(x: Tensor, weight: Tensor | None, epsilon: float) -> Tensor:
    return x if weight is None else F.rms_norm(x, x.shape[-1:], weight, epsilon)


def _starts(totals: Tensor, length: int, most: int, counts: Tensor | None) -> Tensor:
    """How many tokens of each sequence were there before these; none where it begins."""
    if counts is not None:
        return totals - counts
    return torch.zeros_like(totals) if length == most else totals - length


def _rotated(
    x: Tensor, cos: Tensor | None, sin: Tensor | None, positions: Tensor, interleaved: bool
) -> Tensor:
    if cos is None or sin is None:
        raise ModelError("do_rotary needs cos_cache and sin_cache")
    # the positions of padding may lie beyond the cache
    places = positions.clamp(0, cos.shape[0] - 1)
    size = 2 * cos.shape[-1]
    return rotate(x, cos, sin, places, interleaved=interleaved, rotary_embedding_dim=size)


def _stored(past: Tensor | None, new: Tensor, positions: Tensor, total: int) -> Tensor:
    """The cache with the new keys or values at their positions, zero where there are none."""
    filled = 0 if past is None else past.shape[2]
    shape = (new.shape[0], new.shape[1], max(total, filled), new.shape[3])
    cache = new.new_zeros(shape)
    if past is not None:
        kept = torch.arange(filled, device=new.device) < positions[:, :1]
        cache = F.pad(past * kept[:, None, :, None], (0, 0, 0, shape[2] - filled))
    rows = torch.arange(len(new), device=new.device)[:, None]
    written = cache.transpose(1, 2).index_put((rows, positions), new.transpose(1, 2))
    return written.transpose(1, 2)


def _visible(positions: Tensor, totals: Tensor, size: int, causal: bool, window: int) -> Tensor:
    """Which keys each query sees, (batch, 1, queries, keys)."""
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


def _bias(visible: Tensor, bias: Tensor | None, dtype: torch.dtype) -> Tensor:
    """What is added to the scores."""
    if bias is None:
        return torch.zeros_like(visible, dtype=dtype).masked_fill(~visible, -math.inf)
    bias = F.pad(bias, (0, visible.shape[-1] - bias.shape[-1]))
    return torch.where(visible, bias, -math.inf)


def _native(
    q: Tensor, k: Tensor, v: Tensor, visible: Tensor, bias: Tensor | None, scale: float | None
) -> Tensor:
    mask = visible if bias is None else _bias(visible, bias, q.dtype)
    mask = mask.expand(*mask.shape[:2], q.shape[2], k.shape[2])
    is_grouped = q.shape[1] != k.shape[1]
    return F.scaled_dot_product_attention(q, k, v, mask, scale=scale or None, enable_gqa=is_grouped)


def _written_out(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    visible: Tensor,
    bias: Tensor | None,
    scale: float | None,
    softcap: float,
    sink: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The result, and the scores before and after the softmax.

    A sink is the score, per head, of a key that all queries see and that has no value.
    """
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    scores = (q * (scale or 1 / math.sqrt(q.shape[-1]))) @ k.transpose(-1, -2)
    scores = torch.tanh(scores / softcap) * softcap if softcap else scores
    scores = scores + _bias(visible, bias, q.dtype)
    logits = scores
    if sink is not None:
        column = sink.to(q.dtype).reshape(-1, 1, 1).expand(*scores.shape[:3], 1)
        logits = torch.cat((scores, column), -1)
    weights = logits.softmax(-1)[..., : scores.shape[-1]]
    return weights @ v, scores, weights
