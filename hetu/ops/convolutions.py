"""Convolutions with a weight that is trained, by oneDNN's library (`onednn/winograd.py`)."""

from typing import Any

import torch

from hetu import onednn
from hetu.ops.kinds import Ints, Tensor


def trained_convolution(x: Tensor, w: Tensor, bias: Tensor | None, pads: Ints) -> Tensor:
    """A convolution with windows of 3 x 3 at each pixel, which is differentiable once.

    The channels of the result lie side by side.
    """
    return _Convolution.apply(x, w, bias, pads)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, bias: Tensor | None, pads: Ints) -> Tensor:
        blocks = onednn.to_blocks(x)
        ctx.save_for_backward(blocks, w)
        ctx.pads = pads
        return onednn.from_blocks(onednn.trained_winograd(blocks, w, bias, pads))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, w = ctx.saved_tensors
        for_x, for_w, for_bias, _ = ctx.needs_input_grad
        blocks = onednn.to_blocks(gradient)
        return (
            onednn.from_blocks(onednn.winograd_gradient_x(blocks, w, ctx.pads)) if for_x else None,
            onednn.winograd_gradient_w(x, blocks, ctx.pads) if for_w else None,
            gradient.sum((0, 2, 3)) if for_bias else None,
            None,
        )
