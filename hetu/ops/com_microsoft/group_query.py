"""Attention of groups of heads over a cache, as generating language models have it."""

from dataclasses import dataclass

import torch

from hetu.ops.com_microsoft.caches import Form, stored
from hetu.ops.com_microsoft.grouped import (
    Softmax,
    attended,
    by_heads,
    normalized,
    rotated,
    visible_keys,
    written_out,
)
from hetu.ops.kinds import Any, Tensor
from hetu.ops.registry import op
from hetu.types import dtype


@op("GroupQueryAttention", domain="com.microsoft", fixed=("k_scale", "v_scale"))
def group_query_attention(
    query: Tensor, key: Tensor | None, value: Tensor | None,
    past_key: Any | None, past_value: Any | None, seqlens_k: Any, total_sequence_length: int,
    cos_cache: Tensor | None = None, sin_cache: Tensor | None = None,
    position_ids: Any | None = None, attention_bias: Tensor | None = None,
    head_sink: Tensor | None = None, k_scale: Tensor | None = None, v_scale: Tensor | None = None,
    q_norm_weight: Tensor | None = None, k_norm_weight: Tensor | None = None,
    query_seqlens: Any | None = None, *,
    causal: bool = True, do_rotary: bool = False, k_norm_epsilon: float | None = None,
    k_quant_type: str = "NONE", kv_cache_bit_width: int | None = None, kv_num_heads: int,
    local_window_size: int = -1, num_heads: int, q_norm_epsilon: float | None = None,
    qk_norm_epsilon: float = 1e-6, qk_output: int = 0, rotary_interleaved: bool = False,
    scale: float | None = None, sliding_window_cache: bool = False, smooth_softmax: int = -1,
    softcap: float = 0.0, v_quant_type: str = "NONE",
) -> tuple[Tensor, Any | None, Any | None, Tensor | None]:  # fmt: skip
    q, k, v = by_heads(query, key, value, num_heads, kv_num_heads)
    q = normalized(q, q_norm_weight, q_norm_epsilon or qk_norm_epsilon)
    k = normalized(k, k_norm_weight, k_norm_epsilon or qk_norm_epsilon)
    totals = seqlens_k.reshape(-1).long() + 1
    starts = _starts(totals, q.shape[2], total_sequence_length, query_seqlens)
    positions = starts[:, None] + torch.arange(q.shape[2], device=q.device)
    if do_rotary:
        places = positions if position_ids is None else position_ids
        q, k = (rotated(x, cos_cache, sin_cache, places, rotary_interleaved) for x in (q, k))
    window = local_window_size if sliding_window_cache else 0
    cache = _Cache(positions, totals, total_sequence_length, window)
    bits = kv_cache_bit_width
    k, present_key = cache.extended(past_key, k, Form(k_quant_type, k_scale, bits))
    v, present_value = cache.extended(past_value, v, Form(v_quant_type, v_scale, bits))
    visible = visible_keys(positions, totals, k.shape[2], causal, local_window_size)
    if head_sink is None and smooth_softmax == 1:
        head_sink = q.new_zeros(num_heads)
    inputs = q, k, v, visible, attention_bias, Softmax(scale, softcap, head_sink)
    y, *scores = written_out(*inputs) if qk_output else (attended(*inputs),)
    shown = torch.where(visible, scores[qk_output - 1], 0) if qk_output else None
    shown = None if shown is None else shown[..., :total_sequence_length]
    return y.transpose(1, 2).flatten(2), present_key, present_value, shown


def _starts(totals: Tensor, length: int, most: int, counts: Tensor | None) -> Tensor:
    """How many tokens of each sequence were there before these; none where it begins."""
    if counts is not None:
        return totals - counts
    return torch.zeros_like(totals) if length == most else totals - length


@dataclass(frozen=True, slots=True)
class _Cache:
    """Where new keys and values go.

    `totals` counts the tokens of each sequence with the new ones; `window`, if not 0, says how many
    of them a cache that forgets keeps at least.
    """

    positions: Tensor
    totals: Tensor
    size: int
    window: int

    def extended(self, past: Tensor | None, new: Tensor, form: Form) -> tuple[Tensor, Tensor]:
        """All keys or values, each at its position, and the cache that holds them."""
        element = dtype(torch.int8) if past is None else dtype(past.dtype)
        old = None if past is None else form.read(past).to(new.dtype)
        steps = form.rounded(new, element)
        if not self.window or old is None:
            steps = held = stored(old, steps, self.positions, self.size)
        else:
            capacity, starts = old.shape[2], self.positions[:, 0]
            old = _moved(old, starts - _resident(starts, capacity, self.window), self.size)
            steps = stored(old, steps, self.positions, self.size + new.shape[2])
            forgotten = self.totals - _resident(self.totals, capacity, self.window)
            held = _moved(steps, -forgotten, capacity)
        return (steps * form.spread(new)).to(new.dtype), form.written(held, element)


def _moved(x: Tensor, by: Tensor, size: int) -> Tensor:
    """`size` rows of (batch, heads, length, size), each sequence moved up; zero beyond its ends."""
    places = torch.arange(size, device=x.device) - by[:, None]
    is_inside = (places >= 0) & (places < x.shape[2])
    rows = places.clamp(0, x.shape[2] - 1)[:, None, :, None].expand(-1, x.shape[1], -1, x.shape[3])
    return x.gather(2, rows) * is_inside[:, None, :, None]


def _resident(totals: Tensor, capacity: int, window: int) -> Tensor:
    """How many tokens a cache that forgets holds after so many."""
    at_once = capacity - window + 1
    over = (totals - capacity).clamp(min=0)
    return totals - at_once * over.add(at_once - 1).div(at_once, rounding_mode="floor")
