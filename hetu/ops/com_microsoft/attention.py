"""Attention as ONNX Runtime fuses it: projections, caches, padding, rotary positions."""

import math
from collections.abc import Sequence

import torch
from torch.nn import functional as F  # noqa: N812

from hetu.errors import ModelError, UnsupportedError
from hetu.ops.ai_onnx.attention import rotary_embedding as rotate
from hetu.ops.com_microsoft.packing import pack, unpack
from hetu.ops.kinds import Any, Ints, Tensor
from hetu.ops.registry import op

DOMAIN = "com.microsoft"


@op("Attention", domain=DOMAIN)
def attention(
    input: Tensor,
    weights: Tensor,
    bias: Tensor | None = None,
    mask_index: Any | None = None,
    past: Tensor | None = None,
    attention_bias: Tensor | None = None,
    past_sequence_length: int | None = None,
    *,
    do_rotary: bool = False,
    mask_filter_value: float = -10000.0,
    num_heads: int,
    past_present_share_buffer: bool = False,
    qkv_hidden_sizes: Ints | None = None,
    rotary_embedding_dim: int = 0,
    scale: float | None = None,
    unidirectional: bool = False,
) -> tuple[Tensor, Tensor | None]:
    if do_rotary:
        raise UnsupportedError("com.microsoft.Attention with do_rotary")
    q, k, v = _projected(input, weights, bias, num_heads, qkv_hidden_sizes)
    length = past_sequence_length if past_present_share_buffer else None
    k, present_k = _extended(None if past is None else past[0], k, length)
    v, present_v = _extended(None if past is None else past[1], v, length)
    added = _added(q, k, mask_index, attention_bias, mask_filter_value, unidirectional)
    present = torch.stack((present_k, present_v)) if k.shape == v.shape else None
    return _packed(_attended(q, k, v, added, scale)), present


def _projected(
    x: Tensor, weights: Tensor, bias: Tensor | None, heads: int, sizes: Ints | None
) -> Sequence[Tensor]:
    """Queries, keys and values by heads; x is (batch, length, size)."""
    qkv = x @ weights if bias is None else x @ weights + bias
    parts = qkv.split(list(sizes), -1) if sizes else qkv.chunk(3, -1)
    return [_heads(part, heads) for part in parts]


def _heads(x: Tensor, count: int) -> Tensor:
    """(batch, length, heads * size) as (batch, heads, length, size)."""
    return x.unflatten(-1, (count, -1)).transpose(1, 2)


def _packed(x: Tensor) -> Tensor:
    """The inverse of `_heads`."""
    return x.transpose(1, 2).flatten(2)


def _extended(past: Tensor | None, new: Tensor, length: int | None) -> tuple[Tensor, Tensor]:
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


def _added(
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


def _attended(q: Tensor, k: Tensor, v: Tensor, added: Tensor | None, scale: float | None) -> Tensor:
    if added is not None:
        added = added.to(q.dtype).expand(*q.shape[:3], k.shape[2])
    return F.scaled_dot_product_attention(q, k, v, added, scale=scale or None)


def _scores(q: Tensor, k: Tensor, scale: float | None) -> Tensor:
    return (q * (scale or 1 / math.sqrt(q.shape[-1]))) @ k.transpose(-1, -2)


@op("MultiHeadAttention", domain=DOMAIN)
def multi_head_attention(
    query: Tensor,
    key: Tensor | None = None,
    value: Tensor | None = None,
    bias: Tensor | None = None,
    key_padding_mask: Any | None = None,
    attention_bias: Tensor | None = None,
    past_key: Tensor | None = None,
    past_value: Tensor | None = None,
    past_sequence_length: int | None = None,
    cache_indirection: Any | None = None,
    *,
    mask_filter_value: float = -10000.0,
    num_heads: int,
    scale: float | None = None,
    unidirectional: bool = False,
    n_outputs: int,
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    _check_one_beam(cache_indirection)
    q, k, v = _separated(query, key, value, num_heads)
    if bias is not None:
        q, k, v = _biased(q, k, v, bias, key is not None and key.ndim == 4)
    k, present_k = _extended(past_key, k, past_sequence_length)
    v, present_v = _extended(past_value, v, past_sequence_length)
    added = _added(q, k, key_padding_mask, attention_bias, mask_filter_value, unidirectional)
    scores = None
    if n_outputs > 3:
        scores = _scores(q, k, scale)
        scores = scores if added is None else scores + added
    return _packed(_attended(q, k, v, added, scale)), present_k, present_v, scores


def _check_one_beam(cache_indirection: Tensor | None) -> None:
    if cache_indirection is not None:
        raise UnsupportedError("attention over a cache that beams share: cache_indirection")


def _separated(
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
    q = _heads(query, heads)
    if key.ndim == 5:
        k, v = key.transpose(1, 2).unbind(3)
        return q, k, v
    if value is None:
        raise ModelError("there are keys, but no values")
    k, v = (x if x.ndim == 4 else _heads(x, heads) for x in (key, value))
    return q, k, v


def _biased(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor, is_cached: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """With the biases of the projections, which keys and values from a cache have already."""
    heads = q.shape[1]
    sizes = [heads * x.shape[-1] for x in (q, k, v)]
    of_q, of_k, of_v = (part.reshape(heads, 1, -1) for part in bias.split(sizes))
    return (q + of_q, k, v) if is_cached else (q + of_q, k + of_k, v + of_v)


@op("RotaryEmbedding", domain=DOMAIN)
def rotary_embedding(
    input: Tensor,
    position_ids: Any,
    cos_cache: Tensor,
    sin_cache: Tensor,
    *,
    interleaved: bool = False,
    is_packed_batching: bool = False,
    num_heads: int = 0,
    rotary_embedding_dim: int = 0,
    scale: float = 1.0,
) -> Tensor:
    size = 2 * cos_cache.shape[-1]
    heads = num_heads or (input.shape[-1] // size if input.ndim == 3 else 0)
    if position_ids.ndim == 1:  # one number: where all sequences start
        steps = torch.arange(input.shape[1 if input.ndim == 3 else 2], device=input.device)
        position_ids = (position_ids + steps).expand(input.shape[0], -1)
    return rotate(
        input, cos_cache, sin_cache, position_ids, interleaved=interleaved, num_heads=heads,
        rotary_embedding_dim=rotary_embedding_dim,
    )  # fmt: skip


@op("PackedAttention", domain=DOMAIN)
def packed_attention(
    input: Tensor,
    weights: Tensor,
    bias: Tensor,
    token_offset: Any,
    cumulative_sequence_length: Any,
    attention_bias: Tensor | None = None,
    *,
    num_heads: int,
    qkv_hidden_sizes: Ints | None = None,
    scale: float | None = None,
) -> Tensor:
    q, k, v = _projected(unpack(input, token_offset), weights, bias, num_heads, qkv_hidden_sizes)
    lengths = cumulative_sequence_length.diff()
    y = _attended(q, k, v, _added(q, k, lengths, attention_bias, -math.inf, False), scale)
    return pack(_packed(y), token_offset, input.shape[0])


@op("PackedMultiHeadAttention", domain=DOMAIN)
def packed_multi_head_attention(
    query: Tensor,
    key: Tensor | None,
    value: Tensor | None,
    bias: Tensor | None,
    token_offset: Any,
    cumulative_sequence_length: Any,
    attention_bias: Tensor | None = None,
    *,
    mask_filter_value: float = -10000.0,
    num_heads: int,
    scale: float | None = None,
) -> Tensor:
    q = unpack(query, token_offset)
    k, v = (None if x is None else unpack(x, token_offset) for x in (key, value))
    y, *_ = multi_head_attention(
        q, k, v, bias, cumulative_sequence_length.diff(), attention_bias,
        mask_filter_value=-math.inf, num_heads=num_heads, scale=scale, n_outputs=1,
    )  # fmt: skip
    return pack(y, token_offset, query.shape[0])


@op("RelativePositionBias", domain=DOMAIN)
def relative_position_bias(
    bias_table: Tensor,
    query_length: int,
    key_length: int,
    *,
    is_bidirectional: bool = False,
    max_distance: int,
) -> Tensor:
    buckets, heads = bias_table.shape
    steps = torch.arange(key_length, device=bias_table.device)
    distances = steps - torch.arange(query_length, device=bias_table.device)[:, None]
    chosen = _buckets(distances, buckets, max_distance, is_bidirectional)
    # the table is stored by columns, whatever its shape says
    return bias_table.reshape(heads, buckets)[:, chosen].unsqueeze(0)


def _buckets(distances: Tensor, count: int, farthest: int, is_bidirectional: bool) -> Tensor:
    """The buckets of T5: one for each short distance, then ever wider ones."""
    first = torch.zeros_like(distances)
    if is_bidirectional:
        count //= 2
        first = (distances > 0) * count
        distances = distances.abs()
    else:
        distances = (-distances).clamp(min=0)
    exact = count // 2
    ratio = torch.log(distances.clamp(min=1).float() / exact) / math.log(farthest / exact)
    wide = (exact + (ratio * (count - exact)).long()).clamp(max=count - 1)
    return first + torch.where(distances < exact, distances, wide)


@op("GatedRelativePositionBias", domain=DOMAIN)
def gated_relative_position_bias(
    query_layer: Tensor,
    query_bias: Tensor,
    rel_pos: Tensor,
    weight: Tensor,
    bias: Tensor,
    eco_a: Tensor,
    token_offset: Any | None = None,
    *,
    num_heads: int,
) -> Tensor:
    query = query_layer if token_offset is None else unpack(query_layer, token_offset)
    gates = _heads(query + query_bias, num_heads) @ weight + bias
    update, reset = torch.sigmoid(gates.unflatten(-1, (2, -1)).sum(-1)).split(1, -1)
    return (update * (reset * eco_a - 1) + 2) * rel_pos
