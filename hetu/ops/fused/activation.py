"""Activations whose gradients take one pass over memory."""

import math
from typing import Any

import numpy as np
import torch

from hetu.ops.kinds import Tensor
from hetu.ops.registry import FUSED, op


@op("Clip", domain=FUSED)
def clip(x: Tensor, *, low: float, high: float) -> Tensor:
    """`x` between two bounds; at the bounds themselves, gradients pass as in torch.clamp."""
    return _Clip.apply(x, low, high) if torch.is_grad_enabled() else x.clamp(low, high)


class _Clip(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.bounds = low, high
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """As between the numbers beside the bounds, where hardtanh's lets nothing pass."""
        (x,) = ctx.saved_tensors
        low, high = ctx.bounds
        below, above = _beside(x.dtype, low, -math.inf), _beside(x.dtype, high, math.inf)
        return torch.ops.aten.hardtanh_backward(gradient, x, below, above), None, None


def _beside(element: torch.dtype, number: float, towards: float) -> float:
    kind = np.float32 if element is torch.float32 else np.float64
    return float(np.nextafter(kind(number), kind(towards)))
