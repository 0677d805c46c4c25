"""Operators whose gradient is not their derivative."""

from typing import Any

import torch

from hetu.ops.kinds import Tensor
from hetu.ops.registry import op


@op(
    "StopGradient",
    domain="hetu",
    body="""
    <domain: "hetu", opset_import: ["" : 13]>
    StopGradient (x) => (y) {
        y = Identity (x)
    }
    """,
)
def stop_gradient(x: Tensor) -> Tensor:
    return x.detach()


class _BinaryStep(torch.autograd.Function):
    """A step with the long-tailed gradient of Xu and Cheung 2019: 2 - 4|x|, then 0.4, then 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        size = x.abs()
        tail = torch.where(size <= 1, 0.4, 0.0).to(x.dtype)
        return grads[0] * torch.where(size <= 0.4, 2 - 4 * size, tail)


# The sign of what is positive, rather than a cast, leaves the type open.
@op(
    "BinaryStep",
    domain="hetu",
    body="""
    <domain: "hetu", opset_import: ["" : 13]>
    BinaryStep (x) => (y) {
        positive = Relu (x)
        y = Sign (positive)
    }
    """,
)
def binary_step(x: Tensor) -> Tensor:
    return _BinaryStep.apply(x)
