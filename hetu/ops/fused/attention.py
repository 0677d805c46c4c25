"""Attention in torch's fused kernels."""

import math

from torch.nn import functional as F  # noqa: N812

from hetu.ops.kinds import Tensor
from hetu.ops.registry import FUSED, op

FAR = 1e30
"""Scores that a number this large is subtracted from no longer matter in the sum."""


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

    `empty` says what becomes of queries for which the mask, then a float one, excludes every key:
    "nan", "zero", "mean" of the values, or "none" where there are no such queries. Three dimensions
    are those without heads.
    """
    if q.ndim == 3:
        q, k, v = (x.unsqueeze(1) for x in (q, k, v))
        mask = mask.unsqueeze(1) if mask is not None and mask.ndim == 3 else mask
        y = attention(q, k, v, mask, scale=scale, is_causal=is_causal, empty=empty)
        return y.squeeze(1)
    is_grouped = q.shape[1] != k.shape[1]
    if mask is not None:
        mask = _completed(mask, k.shape[2], empty)
        if empty == "mean" and q.requires_grad | k.requires_grad:  # the scores are constants there
            q = q.masked_fill((mask <= -FAR).all(-1, keepdim=True), 0)
    return F.scaled_dot_product_attention(
        q, k, v, mask, is_causal=is_causal, scale=scale, enable_gqa=is_grouped
    )


def _completed(mask: Tensor, keys: int, empty: str) -> Tensor:
    """The mask with two axes at least; NaN where the results of a query are to be."""
    mask = mask[(None,) * max(2 - mask.ndim, 0)]
    if empty == "nan":
        excluded = (mask == -math.inf).all(-1, keepdim=True)
        mask = mask.masked_fill(excluded, math.nan)
    return mask.expand(*mask.shape[:-1], keys)
