"""Attention, rotary embeddings and linear attention."""

import math
from collections.abc import Sequence
from functools import reduce

import torch
from torch.nn import functional as F  # noqa: N812

from hetu.errors import ModelError
from hetu.ops.kinds import DType, Tensor
from hetu.ops.registry import op
from hetu.ops.scaled_attention import scaled_attention


@op("Attention", since=23)
def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None = None,
    past_key: Tensor | None = None,
    past_value: Tensor | None = None,
    nonpad_kv_seqlen: Tensor | None = None,
    *,
    is_causal: bool = False,
    kv_num_heads: int | None = None,
    left_window_size: int = -1,
    q_num_heads: int | None = None,
    qk_matmul_output_mode: int = 0,
    right_window_size: int = -1,
    scale: float | None = None,
    softcap: float = 0.0,
    softmax_precision: DType | None = None,
    n_outputs: int,
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    is_packed = q.ndim == 3
    if is_packed:
        q, k, v = _heads(q, q_num_heads), _heads(k, kv_num_heads), _heads(v, kv_num_heads)
    if past_key is not None and past_value is not None:
        k, v = torch.cat((past_key, k), 2), torch.cat((past_value, v), 2)
    precision = (softmax_precision and softmax_precision.torch) or q.dtype
    is_native = n_outputs < 4 and not softcap and _is_native(precision, q.dtype)
    is_masked = left_window_size >= 0 or any(
        x is not None for x in (attn_mask, past_key, nonpad_kv_seqlen)
    )
    is_triangular = is_native and is_causal and not is_masked
    window = left_window_size, 0 if is_causal else right_window_size
    visible = None if is_triangular else _visible(q, k, window, past_key, nonpad_kv_seqlen)
    mask, scores = _mask(attn_mask, visible, q, k), None
    if is_native:
        y = _native(q, k, v, mask, scale, is_triangular)
    else:
        y, *modes = _written_out(q, k, v, mask, scale, softcap, precision)
        scores = modes[qk_matmul_output_mode]
    return _packed(y) if is_packed else y, k, v, scores


def _heads(x: Tensor, count: int | None) -> Tensor:
    """(batch, length, heads * size) as (batch, heads, length, size)."""
    if not count:
        raise ModelError("inputs with three dimensions need the numbers of heads as attributes")
    return x.unflatten(-1, (count, -1)).transpose(1, 2)


def _packed(x: Tensor) -> Tensor:
    """The inverse of `_heads`."""
    return x.transpose(1, 2).flatten(2)


def _is_native(precision: torch.dtype, dtype: torch.dtype) -> bool:
    """Whether the fused kernels, which take the softmax in float32 at least, are precise enough."""
    return precision in (dtype, torch.promote_types(dtype, torch.float32))


def _visible(
    q: Tensor, k: Tensor, window: tuple[int, int], past_key: Tensor | None, lengths: Tensor | None
) -> Tensor | None:
    """Which keys a query sees by their positions; None where it sees all.

    A query's position counts the keys that were there before the queries came.
    """
    keys = torch.arange(k.shape[2], device=q.device)
    queries = torch.arange(q.shape[2], device=q.device).unsqueeze(-1)
    if lengths is not None:
        lengths = lengths.reshape(-1, 1, 1, 1)
        queries = queries + lengths - q.shape[2]
    elif past_key is not None:
        queries = queries + past_key.shape[2]
    left, right = window
    conditions = [] if lengths is None else [keys < lengths]
    if left >= 0:
        conditions.append(keys >= queries - left)
    if right >= 0:
        conditions.append(keys <= queries + right)
    return reduce(torch.logical_and, conditions) if conditions else None


def _mask(mask: Tensor | None, visible: Tensor | None, q: Tensor, k: Tensor) -> Tensor | None:
    """What is added to the scores, or, if boolean, which scores count; None where all do."""
    if mask is None:
        return None if visible is None else _four_dims(visible)
    is_boolean = mask.dtype == torch.bool
    excluded = False if is_boolean else -math.inf
    mask = _four_dims(mask if is_boolean else mask.to(q.dtype))
    mask = F.pad(mask, (0, k.shape[2] - mask.shape[-1]), value=excluded)
    if visible is None:
        return mask
    return mask & visible if is_boolean else torch.where(visible, mask, excluded)


def _four_dims(x: Tensor) -> Tensor:
    return x[(None,) * (4 - x.ndim)]


def _without_empty_rows(mask: Tensor) -> tuple[Tensor, Tensor]:
    """The mask opened where it excludes every key of a query, and which queries those are.

    Otherwise neither their softmax nor its gradient would be a number.
    """
    if mask.dtype == torch.bool:
        empty = ~mask.any(-1, keepdim=True)
        return mask | empty, empty
    empty = (mask == -math.inf).all(-1, keepdim=True)
    return mask.masked_fill(empty, 0), empty


def _native(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    scale: float | None,
    is_triangular: bool,
) -> Tensor:
    if mask is None:
        return scaled_attention(q, k, v, is_causal=is_triangular, scale=scale)
    mask, empty = _without_empty_rows(mask)
    mask = mask.expand(*mask.shape[:2], q.shape[2], k.shape[2])
    y = scaled_attention(q, k, v, mask, scale=scale)
    return y.masked_fill(empty, 0)


def _written_out(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    scale: float | None,
    softcap: float,
    precision: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The result, and the scores as they are, capped, masked, and after the softmax."""
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    root = math.sqrt(1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    scores = (q * root) @ (k * root).transpose(-1, -2)
    capped = torch.tanh(scores / softcap) * softcap if softcap else scores
    masked, weights = _softmax(capped, mask, precision)
    return weights @ v, scores, capped, masked, weights


def _softmax(scores: Tensor, mask: Tensor | None, precision: torch.dtype) -> tuple[Tensor, Tensor]:
    """The masked scores, and the weights made of them."""
    if mask is None:
        return scores, scores.to(precision).softmax(-1).to(scores.dtype)
    opened, empty = _without_empty_rows(mask)
    weights = _masked(scores, opened).to(precision).softmax(-1).masked_fill(empty, 0)
    return _masked(scores, mask), weights.to(scores.dtype)


def _masked(scores: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask, scores, -math.inf) if mask.dtype == torch.bool else scores + mask


@op("RotaryEmbedding", since=23)
def rotary_embedding(
    x: Tensor,
    cos_cache: Tensor,
    sin_cache: Tensor,
    position_ids: Tensor | None = None,
    *,
    interleaved: bool = False,
    num_heads: int | None = None,
    rotary_embedding_dim: int = 0,
) -> Tensor:
    heads = _heads(x, num_heads) if x.ndim == 3 else x
    if position_ids is not None:
        cos_cache, sin_cache = cos_cache[position_ids], sin_cache[position_ids]
    cos, sin = cos_cache.unsqueeze(1), sin_cache.unsqueeze(1)
    size = rotary_embedding_dim or heads.shape[-1]
    rotating, resting = heads[..., :size], heads[..., size:]
    pair_axis = -1 if interleaved else -2
    pairs = rotating.unflatten(-1, (-1, 2) if interleaved else (2, -1))
    real, imaginary = pairs.unbind(pair_axis)
    rotated = (cos * real - sin * imaginary, sin * real + cos * imaginary)
    y = torch.cat((torch.stack(rotated, pair_axis).flatten(-2), resting), -1)
    return _packed(y) if x.ndim == 3 else y


@op("LinearAttention", since=27)
def linear_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    past_state: Tensor | None = None,
    decay: Tensor | None = None,
    beta: Tensor | None = None,
    *,
    chunk_size: int = 64,
    kv_num_heads: int,
    q_num_heads: int,
    scale: float = 0.0,
    update_rule: str = "gated_delta",
) -> tuple[Tensor, Tensor]:
    _check_gates(update_rule, decay, beta)
    dtype = torch.promote_types(query.dtype, torch.float32)
    q = _heads(query.to(dtype), q_num_heads)
    k, v = _heads(key.to(dtype), kv_num_heads), _heads(value.to(dtype), kv_num_heads)
    q = q.unflatten(1, (kv_num_heads, -1)) * (scale or 1 / math.sqrt(q.shape[-1]))
    state = k.new_zeros(*k.shape[:2], k.shape[-1], v.shape[-1])
    if past_state is not None:
        state = past_state.to(dtype)
    steps = zip(
        q.unbind(3), k.unbind(2), v.unbind(2), _per_step(decay, kv_num_heads, k),
        _per_step(beta, beta.shape[-1] if beta is not None else 1, k), strict=True,
    )  # fmt: skip
    outputs = []
    for q_t, k_t, v_t, decay_t, beta_t in steps:
        state = _updated(state, k_t.unsqueeze(-2), v_t.unsqueeze(-2), decay_t, beta_t)
        outputs.append(q_t @ state)
    y = torch.stack(outputs, 3) if outputs else v.new_zeros(*q.shape[:4], v.shape[-1])
    stored = query.dtype if past_state is None else past_state.dtype
    return _packed(y.flatten(1, 2)).to(query.dtype), state.to(stored)


def _check_gates(update_rule: str, decay: Tensor | None, beta: Tensor | None) -> None:
    needs_decay, needs_beta = "gated" in update_rule, "delta" in update_rule
    if needs_decay != (decay is not None) or needs_beta != (beta is not None):
        raise ModelError(
            f"update_rule {update_rule!r} goes {'with' if needs_decay else 'without'} decay "
            f"and {'with' if needs_beta else 'without'} beta"
        )


def _per_step(gate: Tensor | None, heads: int, k: Tensor) -> Sequence[Tensor | None]:
    """A gate's values at each step, (batch, heads, size); None at each where there is no gate."""
    if gate is None:
        return (None,) * k.shape[2]
    return _heads(gate.to(k.dtype), heads).unbind(2)


def _updated(
    state: Tensor, k: Tensor, v: Tensor, decay: Tensor | None, beta: Tensor | None
) -> Tensor:
    """The state after one more key and value, which are rows."""
    if decay is not None:
        state = state * decay.exp().unsqueeze(-1)
    if beta is not None:
        v = beta.unsqueeze(-1) * (v - k @ state)
    return state + k.transpose(-1, -2) * v
