"""Attention as ONNX Runtime fuses it: projections, caches, padding, rotary positions."""

import math

import torch

from hetu.errors import UnsupportedError
from hetu.ops.ai_onnx.attention import rotary_embedding as rotate
from hetu.ops.com_microsoft.multi_head import (
    attend,
    biased,
    by_beams,
    by_heads,
    extended,
    in_a_row,
    projected,
    scaled_scores,
    score_bias,
    separated,
)
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
    q, k, v = projected(input, weights, bias, num_heads, qkv_hidden_sizes)
    length = past_sequence_length if past_present_share_buffer else None
    k, present_k = extended(None if past is None else past[0], k, length)
    v, present_v = extended(None if past is None else past[1], v, length)
    added = score_bias(q, k, mask_index, attention_bias, mask_filter_value, unidirectional)
    present = torch.stack((present_k, present_v)) if k.shape == v.shape else None
    return in_a_row(attend(q, k, v, added, scale)), present


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
    q, k, v = separated(query, key, value, num_heads)
    if bias is not None:
        q, k, v = biased(q, k, v, bias, key is not None and key.ndim == 4)
    k, present_k = extended(past_key, k, past_sequence_length)
    v, present_v = extended(past_value, v, past_sequence_length)
    k, v = by_beams(k, cache_indirection), by_beams(v, cache_indirection)
    added = score_bias(q, k, key_padding_mask, attention_bias, mask_filter_value, unidirectional)
    scores = None
    if n_outputs > 3:
        scores = scaled_scores(q, k, scale)
        scores = scores if added is None else scores + added
    return in_a_row(attend(q, k, v, added, scale)), present_k, present_v, scores


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
    q, k, v = projected(unpack(input, token_offset), weights, bias, num_heads, qkv_hidden_sizes)
    lengths = cumulative_sequence_length.diff()
    y = attend(q, k, v, score_bias(q, k, lengths, attention_bias, -math.inf, False), scale)
    return pack(in_a_row(y), token_offset, input.shape[0])


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
    gates = by_heads(query + query_bias, num_heads) @ weight + bias
    update, reset = torch.sigmoid(gates.unflatten(-1, (2, -1)).sum(-1)).split(1, -1)
    return (update * (reset * eco_a - 1) + 2) * rel_pos
