"""Averages of windows in training, by oneDNN's library."""

from typing import Any

import torch

from hetu import onednn
from hetu.ops.kinds import Ints, Tensor


def trained_average(x: Tensor, kind: str, kernel: Ints, strides: Ints, pads: Ints) -> Tensor:
    """The averages of images (`onednn.pool`), which are differentiable once."""
    return _Average.apply(x, kind, kernel, strides, pads)


class _Average(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kind: str, kernel: Ints, strides: Ints, pads: Ints) -> Tensor:
        ctx.settings = tuple(x.shape), kind, kernel, strides, pads
        return onednn.pool(x, kind, kernel, strides, pads)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return onednn.average_gradient(gradient, *ctx.settings), None, None, None, None
