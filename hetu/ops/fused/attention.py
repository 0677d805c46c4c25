"""Attention in torch's fused kernels."""

import math

import torch

from hetu.ops.kinds import Tensor
from hetu.ops.registry import FUSED, op
from hetu.ops.scaled_attention import scaled_attention

FAR = 1e30
"""Scores that a number this large is subtracted from no longer matter in the sum."""


@op("AttentionMask", domain=FUSED)
def attention_mask(mask: Tensor, *, keys: int, empty: str) -> Tensor:
    """A mask as `Attention` takes it: over so many keys, NaN where a query's results are to be."""
    mask = mask[(None,) * max(2 - mask.ndim, 0)]
    if empty == "nan":
        excluded = (mask == -math.inf).all(-1, keepdim=True)
        mask = mask.masked_fill(excluded, math.nan)
    return mask.expand(*mask.shape[:-1], keys)


@op("Attention", domain=FUSED)
def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    *,
    scale: float,
    is_causal: bool = False,
    empty: str = "none",
) -> Tensor:
    """`softmax(q @ k.T * scale + mask) @ v` of (batch, heads, length, size).

    The mask is one that `AttentionMask` makes. `empty` says what becomes of queries for which it,
    then a float one, excludes every key: "nan", "zero", "mean" of the values, or "none" where there
    are no such queries. Three dimensions are those without heads.
    """
    if q.ndim == 3:
        q, k, v = (x.unsqueeze(1) for x in (q, k, v))
        mask = mask.unsqueeze(1) if mask is not None and mask.ndim == 3 else mask
        y = attention(q, k, v, mask, scale=scale, is_causal=is_causal, empty=empty)
        return y.squeeze(1)
    is_grouped = q.shape[1] != k.shape[1]
    if mask is not None and empty == "mean" and q.requires_grad | k.requires_grad:
        q = q.masked_fill((mask <= -FAR).all(-1, keepdim=True), 0)  # the scores are constants there
    is_plain = not (is_causal or is_grouped or empty == "zero")
    if is_plain and q.shape[-1] != v.shape[-1] and q.device.type == "cpu":
        return _by_products(q, k, v, mask, scale)
    return scaled_attention(
        q, k, v, mask, is_causal=is_causal, scale=scale, has_empty=empty == "zero"
    )


def _by_products(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """Attention in two batches of products, for sizes that torch's kernel on the CPU lacks.

    What torch does in its place takes twice the steps.
    """
    outer, shape = q.shape[:2], (*q.shape[:3], k.shape[2])
    summand = q.new_zeros(()) if mask is None else mask
    summand = summand.expand(shape).flatten(0, 1)
    q, k, v = (x.flatten(0, 1) for x in (q, k, v))
    scores = torch.baddbmm(summand, q, k.transpose(1, 2), beta=int(mask is not None), alpha=scale)
    return torch.bmm(scores.softmax(-1), v).unflatten(0, outer)
