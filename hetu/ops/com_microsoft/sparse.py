"""Attention to some of the keys: those near, and blocks."""

import torch

from hetu.ops.com_microsoft.caches import written
from hetu.ops.com_microsoft.grouped import (
    Softmax,
    attended,
    by_heads,
    rotated,
    visible_keys,
)
from hetu.ops.com_microsoft.multi_head import attend, in_a_row, projected
from hetu.ops.kinds import Any, Tensor
from hetu.ops.registry import op

DOMAIN = "com.microsoft"


@op("LongformerAttention", domain=DOMAIN)
def longformer_attention(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    mask: Tensor,
    global_weight: Tensor,
    global_bias: Tensor,
    global_: Any,
    *,
    num_heads: int,
    window: int,
) -> Tensor:
    q, k, v = projected(input, weight, bias, num_heads, None)
    places = torch.arange(input.shape[1], device=input.device)
    is_near = (places - places[:, None]).abs() <= window
    is_global = (global_ != 0)[:, None]
    padding = mask[:, None, None]
    visible = (is_near | is_global)[:, None]
    y = attend(q, k, v, torch.where(visible, padding, -torch.inf), None)
    q, k, v = projected(input, global_weight, global_bias, num_heads, None)
    return in_a_row(torch.where(is_global[..., None], attend(q, k, v, padding, None), y))


@op("SparseAttention", domain=DOMAIN)
def sparse_attention(
    query: Tensor, key: Tensor | None, value: Tensor | None, past_key: Tensor, past_value: Tensor,
    block_row_indices: Any, block_col_indices: Any, total_sequence_length: int,
    key_total_sequence_lengths: Any, cos_cache: Tensor | None = None,
    sin_cache: Tensor | None = None, *,
    do_rotary: bool = False, kv_num_heads: int, num_heads: int, rotary_interleaved: bool = False,
    scale: float | None = None, sparse_block_size: int,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    q, k, v = by_heads(query, key, value, num_heads, kv_num_heads)
    length, totals = q.shape[2], key_total_sequence_lengths.long()
    starts = torch.zeros_like(totals) if length == total_sequence_length else totals - length
    positions = starts[:, None] + torch.arange(length, device=q.device)
    if do_rotary:
        q, k = (rotated(x, cos_cache, sin_cache, positions, rotary_interleaved) for x in (q, k))
    k, v = written(past_key, k, positions), written(past_value, v, positions)
    keys = torch.arange(k.shape[2], device=q.device) // sparse_block_size
    blocks = _blocks(block_row_indices, block_col_indices)
    places = (positions // sparse_block_size).clamp(max=blocks.shape[1] - 1)
    layouts = blocks[:, places][..., keys.clamp(max=blocks.shape[2] - 1)].transpose(0, 1)
    chosen = layouts[:, torch.arange(num_heads, device=q.device) % len(blocks)]
    is_padding = (positions >= totals[:, None])[:, None, :, None]
    visible = visible_keys(positions, totals, k.shape[2], True, 0) & (chosen | is_padding)
    y = attended(q, k, v, visible, None, Softmax(scale))
    return in_a_row(y), k, v


def _blocks(rows: Tensor, columns: Tensor) -> Tensor:
    """Which blocks of keys the queries of a block see, (layouts, blocks, blocks), from CSR."""
    layouts, count = rows.shape[0], rows.shape[1] - 1
    places = torch.arange(columns.shape[1], device=rows.device).expand_as(columns)
    owners = torch.searchsorted(rows, places.to(rows.dtype).contiguous(), right=True) - 1
    layout, place = ((places < rows[:, -1:]) & (columns >= 0)).nonzero(as_tuple=True)
    blocks = torch.zeros(layouts, count, count, dtype=torch.bool, device=rows.device)
    found = layout, owners[layout, place], columns[layout, place].long()
    return blocks.index_put(found, torch.ones_like(place, dtype=torch.bool))
