"""Attention to keys in pages of a cache that several requests share."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch.nn.utils.rnn import pad_sequence

from hetu.errors import ModelError, UnsupportedError
from hetu.ops.com_microsoft.caches import Form
from hetu.ops.com_microsoft.grouped import (
    Softmax,
    attended,
    by_heads,
    normalized,
    rotated,
    visible_keys,
)
from hetu.ops.kinds import Any, Ints, Tensor
from hetu.ops.registry import op
from hetu.types import dtype


@op("PagedAttention", domain="com.microsoft", fixed=("k_scale", "v_scale"))
def paged_attention(
    query: Tensor, key: Tensor | None, value: Tensor | None, key_cache: Any,
    value_cache: Any | None, cumulative_sequence_length: Ints, past_seqlens: Any, block_table: Any,
    cos_cache: Tensor | None = None, sin_cache: Tensor | None = None,
    slot_mapping: Any | None = None, head_sink: Tensor | None = None,
    q_norm_weight: Tensor | None = None, k_norm_weight: Tensor | None = None,
    k_scale: Tensor | None = None, v_scale: Tensor | None = None,
    attention_metadata: Any | None = None, *,
    do_rotary: bool = False, is_causal: bool = True, k_cache_dtype: str = "",
    k_quant_type: str = "NONE", kv_cache_layout: str = "SEPARATE", kv_num_heads: int,
    local_window_size: int = -1, num_heads: int, qk_norm_epsilon: float = 1e-6,
    rotary_interleaved: bool = False, rotary_offset: int = 0, scale: float | None = None,
    softcap: float = 0.0, v_cache_dtype: str = "", v_head_size: int = 0,
    v_quant_type: str = "NONE",
) -> tuple[Tensor, Any | None, Any | None]:  # fmt: skip
    is_latent = kv_cache_layout == "LATENT"
    q, k, v = by_heads(query, key, key if is_latent else value, num_heads, kv_num_heads)
    lengths = [end - start for start, end in pairwise(cumulative_sequence_length)]
    pages = _Pages(lengths, past_seqlens.long(), block_table.long(), key_cache.shape[1])
    q = normalized(q, q_norm_weight, qk_norm_epsilon)
    k = normalized(k, k_norm_weight, qk_norm_epsilon)
    if do_rotary:
        turn = cos_cache, sin_cache, pages.positions()[None], rotary_interleaved
        q, k = (_turned(x, rotary_offset, *turn) for x in (q, k))
    slots = pages.slots() if slot_mapping is None else slot_mapping.long()
    form = _form(k_quant_type, k_scale, k_cache_dtype)
    keys, key_cache = pages.extended(key_cache, k, form, slots)
    if is_latent:
        values = keys[..., : v_head_size or None]
    else:
        form = _form(v_quant_type, v_scale, v_cache_dtype)
        values, value_cache = pages.extended(value_cache, v, form, slots)
    visible = pages.visible(is_causal, local_window_size)
    softmax = Softmax(scale, softcap, head_sink)
    y = attended(pages.padded(q), keys, values, visible, None, softmax)
    return pages.unpadded(y).flatten(1), key_cache, value_cache


def _turned(x: Tensor, offset: int, *turn: Any) -> Tensor:
    """(heads, tokens, size) with what follows `offset` turned."""
    return torch.cat((x[..., :offset], rotated(x[None, ..., offset:], *turn)[0]), -1)


def _form(kind: str, scale: Tensor | None, element: str) -> Form:
    """How a cache holds numbers, whose type may not be the tensor's."""
    if element == "float4e2m1":
        raise UnsupportedError("com.microsoft.PagedAttention with a cache of float4e2m1")
    return Form(kind, scale, 4 if element == "int4" else 8, is_signed=True)


@dataclass(frozen=True, slots=True)
class _Pages:
    """Where the tokens of several requests lie.

    `lengths` and `past` count each request's new tokens and those before; `table`, (requests,
    pages), holds the numbers of its pages, -1 where it has none.
    """

    lengths: list[int]
    past: Tensor
    table: Tensor
    size: int

    def positions(self) -> Tensor:
        """The places of the new tokens, all in a row, in their sequences."""
        return torch.cat([
            start + torch.arange(length, device=start.device)
            for start, length in zip(self.past, self.lengths, strict=True)
        ])  # fmt: skip

    def slots(self) -> Tensor:
        """The rows of the cache that the new tokens go to, negative where that is none."""
        positions = self.positions()
        counts = torch.tensor(self.lengths, device=positions.device)
        requests = torch.arange(len(counts), device=positions.device).repeat_interleave(counts)
        numbers = self.table[requests, positions // self.size]
        return torch.where(numbers < 0, -1, numbers * self.size + positions % self.size)

    def extended(
        self, cache: Tensor | None, new: Tensor, form: Form, slots: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Each request's keys or values (requests, heads, keys, size), and the cache with `new`.

        `new` is (heads, tokens, size).
        """
        if cache is None:
            raise ModelError("a cache of its own for values is missing")
        element = dtype(cache.dtype)
        steps = form.rounded(new[None], element)[0].transpose(0, 1)
        is_kept = slots >= 0
        rows = _movable(cache).flatten(0, 1)
        written = _movable(form.written(steps, element))[is_kept]
        rows = rows.index_put((slots[is_kept],), written).view(cache.shape)
        held = form.read(_as(rows[self.table.clamp(min=0)], cache)).flatten(1, 2)
        numbers = held.transpose(1, 2).to(new.dtype)
        return numbers * form.spread(numbers), _as(rows, cache)

    def visible(self, is_causal: bool, window: int) -> Tensor:
        """Which keys each query sees, (requests, 1, queries, keys)."""
        counts = torch.tensor(self.lengths, device=self.past.device)
        steps = torch.arange(max(self.lengths, default=0), device=self.past.device)
        positions, totals = self.past[:, None] + steps, self.past + counts
        is_there = (self.table >= 0).repeat_interleave(self.size, 1)
        count = is_there.shape[1]
        visible = visible_keys(positions, totals, count, is_causal, window)
        is_padding = positions >= totals[:, None]
        return visible & (is_there[:, None] | is_padding[..., None])[:, None]

    def padded(self, x: Tensor) -> Tensor:
        """(requests, heads, longest, size) of (heads, tokens, size)."""
        parts = x.transpose(0, 1).split(self.lengths)
        return pad_sequence(list(parts), batch_first=True).transpose(1, 2)

    def unpadded(self, x: Tensor) -> Tensor:
        """(tokens, heads, size) of (requests, heads, longest, size)."""
        parts = zip(x.transpose(1, 2), self.lengths, strict=True)
        return torch.cat([part[:length] for part, length in parts])


def _movable(x: Tensor) -> Tensor:
    """Bytes as what torch can move; it has 8-bit floats but cannot index them."""
    return x.view(torch.uint8) if x.element_size() == 1 else x


def _as(x: Tensor, cache: Tensor) -> Tensor:
    """Bytes as what the cache holds; a view of a type passes no gradient."""
    return x if x.dtype is cache.dtype else x.view(cache.dtype)
