"""Attention in decoders, one token at a time or over windows, with caches of their own forms."""

import torch

from hetu.errors import ModelError, UnsupportedError
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
from hetu.ops.kinds import Any, Tensor
from hetu.ops.registry import op

DOMAIN = "com.microsoft"


@op("DecoderMaskedMultiHeadAttention", domain=DOMAIN)
def decoder_masked_multi_head_attention(
    query: Tensor, key: Tensor | None = None, value: Tensor | None = None,
    mask_index: Any | None = None, attention_bias: Tensor | None = None,
    past_key: Tensor | None = None, past_value: Tensor | None = None,
    past_sequence_length: int | None = None, beam_width: int | None = None,
    cache_indirection: Any | None = None, bias: Tensor | None = None, *,
    mask_filter_value: float = -10000.0, num_heads: int, output_qk: bool = False,
    past_present_share_buffer: bool = False, scale: float | None = None,
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:  # fmt: skip
    if key is None or value is None:
        query, key, value = query.chunk(3, -1)
    q, k, v = separated(query, key, value, num_heads)
    is_cached = key.ndim == 4
    if bias is not None:
        q, k, v = biased(q, k, v, bias, is_cached)
    present_key, present_value = None, None
    if not is_cached:
        length = past_sequence_length if past_present_share_buffer else None
        k, present_key = extended(past_key, k, length)
        v, present_value = extended(past_value, v, length)
        k, v = by_beams(k, cache_indirection), by_beams(v, cache_indirection)
    added = score_bias(q, k, mask_index, attention_bias, mask_filter_value, False)
    shown = None
    if output_qk:
        shown = scaled_scores(q, k, scale)
        shown = shown if added is None else shown + added
    return in_a_row(attend(q, k, v, added, scale)), present_key, present_value, shown


@op("DecoderMaskedSelfAttention", domain=DOMAIN)
def decoder_masked_self_attention(
    input: Tensor, weights: Tensor, bias: Tensor, mask_index: Any | None, past: Tensor,
    attention_bias: Tensor | None, past_sequence_length: int, beam_width: int | None = None,
    cache_indirection: Any | None = None, *,
    do_rotary: bool = False, mask_filter_value: float = -10000.0, num_heads: int,
    past_present_share_buffer: bool = False, scale: float | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    if do_rotary:
        raise UnsupportedError("com.microsoft.DecoderMaskedSelfAttention with do_rotary")
    q, k, v = projected(input, weights, bias, num_heads, None)
    length = past_sequence_length if past_present_share_buffer else None
    k, present_key = extended(past[0], k, length)
    v, present_value = extended(past[1], v, length)
    k, v = by_beams(k, cache_indirection), by_beams(v, cache_indirection)
    added = score_bias(q, k, mask_index, attention_bias, mask_filter_value, False)
    return in_a_row(attend(q, k, v, added, scale)), torch.stack((present_key, present_value))


@op("DecoderAttention", domain=DOMAIN)
def decoder_attention(
    query: Tensor, key: Tensor, q_weight: Tensor, kv_weight: Tensor, bias: Tensor,
    key_padding_mask: Any | None, key_cache: Tensor | None, value_cache: Tensor | None,
    static_kv: bool, use_past: bool, has_layer_state: bool, has_key_padding_mask: bool, *,
    mask_filter_value: float = -10000.0, num_heads: int,
) -> tuple[Tensor, Tensor | None, Tensor | None]:  # fmt: skip
    """Time comes before the batch; a mask says which keys are padding."""
    size = q_weight.shape[1]
    q = by_heads((query @ q_weight + bias[:size]).transpose(0, 1), num_heads)
    if use_past and static_kv and has_layer_state:
        k, v = key_cache, value_cache
    else:
        source = key if static_kv else query
        both = (source @ kv_weight + bias[size:]).transpose(0, 1)
        k, v = (by_heads(part, num_heads) for part in both.chunk(2, -1))
        if use_past and has_layer_state:
            k, _ = extended(key_cache, k, None)
            v, _ = extended(value_cache, v, None)
    if k is None or v is None:
        raise ModelError("use_past needs key_cache and value_cache")
    added = None
    if has_key_padding_mask and key_padding_mask is not None:
        padding = key_padding_mask[:, None, None, : k.shape[2]]
        added = q.new_zeros(padding.shape).masked_fill(padding, mask_filter_value)
    y = in_a_row(attend(q, k, v, added, None)).transpose(0, 1)
    return y, k, v
