"""Dropout with biases and residuals, and with masks of one bit per element."""

import torch
from torch.nn import functional as F  # noqa: N812

from hetu.ops.ai_onnx.random import dropout
from hetu.ops.kinds import Any, Context, Mask, Tensor
from hetu.ops.registry import op

DOMAIN = "com.microsoft"


@op("BiasDropout", domain=DOMAIN)
def bias_dropout(
    data: Tensor,
    bias: Tensor,
    residual: Tensor | None = None,
    ratio: float = 0.5,
    training_mode: bool = False,
    *,
    seed: int | None = None,
    ctx: Context,
) -> tuple[Tensor, Mask | None]:
    y, mask = dropout(data + bias, ratio, training_mode, seed=seed, ctx=ctx)
    return y if residual is None else y + residual, mask


@op("BitmaskDropout", domain=DOMAIN)
def bitmask_dropout(
    data: Tensor,
    ratio: float = 0.5,
    training_mode: bool = False,
    *,
    seed: int | None = None,
    ctx: Context,
) -> tuple[Tensor, Any | None]:
    y, mask = dropout(data, ratio, training_mode, seed=seed, ctx=ctx)
    return y, _bits(mask)


@op("BitmaskBiasDropout", domain=DOMAIN)
def bitmask_bias_dropout(
    data: Tensor,
    bias: Tensor,
    residual: Tensor | None = None,
    ratio: float = 0.5,
    training_mode: bool = False,
    *,
    seed: int | None = None,
    ctx: Context,
) -> tuple[Tensor, Any | None]:
    y, mask = bias_dropout(data, bias, residual, ratio, training_mode, seed=seed, ctx=ctx)
    return y, _bits(mask)


def _bits(mask: Any) -> Tensor:
    """Truth values 32 to a number, the first in the lowest bit."""
    flat = mask.flatten()
    words = F.pad(flat, (0, -len(flat) % 32)).unflatten(0, (-1, 32)).long()
    shifts = torch.arange(32, device=mask.device)
    return (words << shifts).sum(-1).to(torch.uint32)
